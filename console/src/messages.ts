// SPDX-License-Identifier: Apache-2.0
// A topic's messages: a page at a time as one scrolls, live, or searched on the server. What is asked for lives in the URL.
import { h, fill, bytes, clock, command, count, time, say, field, dialog } from "./dom";
import { bootstrap, stream, value as loadValue, session, type Message, type Progress, type TopicDetail } from "./api";
import { Scroller } from "./scroller";
import { firstPage, Messages } from "./window";
import { decode, unpack, parse, rowsOf, tree, grid, hex, plain, type Form } from "./view";
import { produce } from "./produce";

const ROW = 34, AHEAD = 60, LIVE_MAX = 5000, LOAD_AT_ONCE = 1 << 20;
const KINDS: [string, string, string][] = [
  ["text", "Text", "contains, e.g. order-42"], ["regex", "Regular expression", "e.g. err(or)?\\s\\d+"], ["json", "JSON path", "e.g. $.order.total > 100"],
  ["key", "Key", "contains, e.g. customer-7"], ["header", "Header", "name or name=value"],
];

interface Condition { kind: string; q: string }
/** The last of the conditions is the one in the search field. */
interface Ask { from: string; to: string; partition: string; conditions: Condition[]; live: boolean; open: boolean; after: string; before: string }

function readAsk(): Ask {
  const url = new URLSearchParams(location.search);
  const conditions = [...url].filter(([name, q]) => q && KINDS.some(([kind]) => kind === name)).map(([kind, q]) => ({ kind, q }));
  return { from: url.get("from") ?? "latest", to: url.get("to") ?? "", partition: url.get("partition") ?? "", conditions, live: url.get("live") === "1", open: url.get("open") === "newest", after: url.get("after") ?? "", before: url.get("before") ?? "" };
}

function toQuery(ask: Ask, forServer: boolean): URLSearchParams {
  const url = new URLSearchParams();
  if (ask.from && (forServer || ask.from !== "latest")) url.set("from", ask.from);
  for (const name of ["to", "partition", "after", "before"] as const) if (ask[name]) url.set(name, ask[name]);
  for (const { kind, q } of ask.conditions) url.append(kind, q);
  if (ask.live && !forServer) url.set("live", "1");
  if (ask.live && ask.open && !forServer) url.set("open", "newest");
  return url;
}

const isSearch = (ask: Ask) => ask.conditions.length > 0 || ask.after !== "" || ask.before !== "";

/** What the page of a topic asks first; null when it searches or listens. */
export function firstQuestion(topic: string): string | null {
  const ask = readAsk();
  return ask.live || isSearch(ask) ? null : firstPage(`/topics/${encodeURIComponent(topic)}/messages`, toQuery(ask, true));
}

const shown = (b: { text: string; encoding: string; size: number } | null) => b === null ? "null" : b.encoding === "utf8" ? b.text.slice(0, 400) : `${bytes(b.size)} of binary data`;

export function messagesPage(topic: TopicDetail, signal: AbortSignal): HTMLElement {
  const ask = readAsk(), path = `/topics/${encodeURIComponent(topic.name)}`;
  const held = new Messages(`${path}/messages`);
  let loading = false, running: AbortController | null = null, selected = -1, wanted = -1;
  let chosen: Message | null = null;

  /* ---- the list: only rows in sight are in the page */
  const space = h("div", { class: "m-space", role: "rowgroup" });
  const status = h("div", { class: "status", role: "status" });
  const box = h("div", { class: "m-list", role: "grid", tabindex: 0, "aria-label": "Messages", onkeydown: onKey as unknown }, h("div", { class: "m-top", role: "rowgroup" },
    h("div", { class: "m-row m-head", role: "row" }, ["Time", "P", "Offset", "Key", "Value", "Size"].map((name, i) => h("div", { role: "columnheader", class: `c${i}` }, name)))), space);
  const detail = h("aside", { class: "detail", "aria-label": "Message", hidden: true });
  const scroller = new Scroller(box, space, ROW, () => draw());
  const listened = new ResizeObserver(() => draw(true));
  listened.observe(box);
  signal.addEventListener("abort", () => { running?.abort(); listened.disconnect(); });

  let drawn = "", isVacant = false; // it says that there is nothing
  function draw(force = false) {
    if (isVacant && held.count === 0) return;
    scroller.count = held.count;
    const seen = Math.floor(scroller.top / ROW), end = held.base + held.list.length;
    const from = Math.max(held.base, seen - 6), to = Math.min(end, seen + Math.ceil(scroller.height / ROW) + 8);
    const state = `${from}-${to}-${held.base}-${held.count}-${scroller.place(0)}-${selected}`;
    if (held.isPaged && !loading) reach(seen, end);
    if (state === drawn && !force) return;
    drawn = state;
    box.setAttribute("aria-rowcount", String(held.count + 1));
    fill(space, held.list.slice(Math.max(0, from - held.base), Math.max(0, to - held.base)).map((m, i) => {
      const at = from + i;
      const row = h("div", { class: "m-row", role: "row", id: `m-${m.partition}-${m.offset}`, "aria-rowindex": at + 2, "aria-selected": at === selected ? "true" : "false", onclick: () => { stay(); void select(at); } },
        h("div", { role: "gridcell", class: "c0", title: time(m.timestamp) }, clock(m.timestamp)), h("div", { role: "gridcell", class: "c1" }, m.partition), h("div", { role: "gridcell", class: "c2" }, m.offset),
        h("div", { role: "gridcell", class: m.key ? "c3" : "c3 faint" }, m.key ? shown(m.key) : "–"), h("div", { role: "gridcell", class: m.value ? "c4" : "c4 faint" }, m.value ? shown(m.value) : "null (tombstone)"),
        h("div", { role: "gridcell", class: "c5" }, bytes(m.sizeBytes)));
      row.style.transform = `translateY(${scroller.place(at)}px)`;
      return row;
    }));
  }

  /** What is needed for the rows in sight, and a little ahead of them. */
  function reach(seen: number, end: number) {
    const rows = Math.ceil(scroller.height / ROW);
    const isElsewhere = held.list.length > 0 && (seen > end + AHEAD || seen + rows < held.base - AHEAD);
    if (isElsewhere && (held.hasAfter || held.hasBefore)) void load(async (query, signal) => { await held.jump(Math.max(0, Math.min(seen - 20, held.count - rows - 20)), query, signal); return 0; });
    else if (held.hasAfter && seen + rows + AHEAD > end) void load((query, signal) => held.after(query, signal));
    else if (held.hasBefore && seen - AHEAD < held.base) void load((query, signal) => held.before(query, signal));
  }

  function onKey(event: KeyboardEvent) {
    const jump: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -1e9, End: 1e9 };
    if (event.key in jump && held.count) {
      event.preventDefault();
      const at = Math.max(0, Math.min(held.count - 1, (wanted >= 0 ? wanted : selected) + jump[event.key]!)), top = at * ROW;
      if (top < scroller.top) scroller.go(top);
      else if (top + 2 * ROW > scroller.top + scroller.height) scroller.go(top + 2 * ROW - scroller.height);
      stay();
      void select(at);
    } else if (event.key === "Escape") close();
  }

  /** A row that is not here yet is selected when it has come. */
  async function select(at: number): Promise<void> {
    const m = held.list[at - held.base];
    wanted = m ? -1 : at;
    if (!m) { draw(); return; }
    selected = at;
    chosen = m;
    draw();
    box.setAttribute("aria-activedescendant", `m-${m.partition}-${m.offset}`);
    await showDetail(m);
  }

  /** Live, the newest message is opened as it arrives, a second apart and not before the last one is shown, until one is chosen by hand. */
  let isOpening = false;
  function openNewest() {
    if (!ask.open || isOpening || held.list.length === 0 || held.list[0] === chosen) return;
    isOpening = true;
    const second = new Promise<void>(over => setTimeout(over, 1000));
    void Promise.allSettled([select(0), second]).then(() => { isOpening = false; if (!signal.aborted) openNewest(); });
  }

  function stay() {
    if (!ask.open) return;
    ask.open = false;
    newest.setAttribute("aria-pressed", "false");
    remember();
  }

  function close() {
    stay();
    selected = wanted = -1;
    chosen = null;
    detail.hidden = true;
    draw();
    box.focus();
  }

  /* ---- one message */
  let form: Form | null = null;
  async function showDetail(m: Message, whole?: Uint8Array) {
    if (m.value?.truncated && !whole && m.value.size <= LOAD_AT_ONCE) {
      whole = await loadValue(topic.name, m, "value", signal).catch(() => undefined); // then its preview is shown
      if (chosen !== m) return;
    }
    detail.hidden = false;
    const body = h("div", { class: "d-body" }), tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Seen as" });
    const load = async () => {
      fill(body, h("p", { class: "faint" }, `loading ${bytes(m.value!.size)} …`));
      try {
        await showDetail(m, await loadValue(topic.name, m, "value", signal));
      } catch (reason) {
        if (!signal.aborted) fill(body, h("p", { class: "wrong", role: "alert" }, (reason as Error).message));
      }
    };
    const facts: [string, string][] = [["Timestamp", `${time(m.timestamp)} (${m.timestampType})`], ["Size", `${m.key ? `key ${bytes(m.key.size)}, ` : ""}value ${bytes(m.value?.size ?? 0)}`],
      ["Batch", `${m.batch.count === 1 ? "1 message" : `${count(m.batch.count)} messages`} from offset ${m.batch.baseOffset}, ${bytes(m.batch.sizeBytes)}, ${m.batch.codec === "none" ? "not compressed" : m.batch.codec}`], ["Leader epoch", String(m.batch.leaderEpoch)], ["Producer", m.batch.producerId < 0 ? "not idempotent" : `id ${m.batch.producerId}, epoch ${m.batch.producerEpoch}, sequence ${m.batch.baseSequence}${m.batch.transactional ? ", transactional" : ""}`]];
    fill(detail, h("header", null, h("h2", null, `Partition ${m.partition}, offset ${m.offset}`), h("button", { type: "button", class: "icon", "aria-label": "Close message", onclick: close }, "✕")),
      h("dl", { class: "facts" }, h("dt", null, "Key"), h("dd", { class: "mono" }, m.key ? shown(m.key) : "null"),
        m.headers.map(x => [h("dt", null, "Header ", h("b", null, x.key)), h("dd", { class: "mono" }, shown(x.value))]), facts.map(([name, text]) => [h("dt", null, name), h("dd", null, text)])),
      h("div", { class: "d-tools" }, tabs, h("a", { class: "small button", href: `/api/v1${path}/messages/${m.partition}/${m.offset}/value?download=${encodeURIComponent(topic.name)}-${m.partition}-${m.offset}` }, "Save value")), body);
    if (!m.value) { fill(body, h("p", { class: "faint" }, "The value is null: a tombstone, which compaction takes as a deletion of its key.")); return; }
    const raw = whole ?? (m.value.encoding === "base64" ? decode(m.value.text) : new TextEncoder().encode(m.value.text));
    const cut = m.value.truncated && !whole, inside = cut ? { data: raw, text: m.value.encoding === "utf8" ? m.value.text : null, notes: [] } : await unpack(raw);
    if (chosen !== m) return;
    const parsed = cut ? null : parse(inside.text), rows = parsed ? rowsOf(parsed.value) : null;
    const forms: [Form, string, boolean][] = [["table", "Table", !!rows], ["json", "JSON", !!parsed], ["text", "Text", inside.text !== null], ["hex", "Hex", true]];
    const there = forms.filter(([, , is]) => is), first = there.find(([name]) => name === form)?.[0] ?? there[0]![0];
    const show = (name: Form) => {
      for (const tab of tabs.children) tab.setAttribute("aria-selected", String((tab as HTMLElement).dataset["form"] === name));
      fill(body, cut ? h("p", { class: "cut" }, `The first ${bytes(raw.length)} of ${bytes(m.value!.size)}. `, h("button", { type: "button", class: "small", onclick: load }, `Load all ${bytes(m.value!.size)}`)) : null,
        inside.notes.length ? h("p", { class: "faint" }, `unpacked: ${inside.notes.join(", ")}`) : null,
        name === "table" ? grid(rows!) : name === "json" ? tree(parsed!.value) : name === "text" ? plain(inside.text!) : hex(inside.data));
    };
    fill(tabs, there.map(([name, label]) => h("button", { type: "button", role: "tab", "data-form": name, onclick: () => { form = name; show(name); } }, label)));
    show(first);
  }

  /* ---- getting messages */
  function tell(text: string, busy = false) {
    fill(status, busy ? h("span", { class: "spinner", "aria-hidden": "true" }) : null, h("span", null, text), busy && isSearch(ask) ? h("button", { type: "button", class: "small", onclick: () => { running?.abort(); tell(`${count(held.list.length)} found; cancelled`); } }, "Cancel") : null);
  }

  async function load(run: (query: URLSearchParams, signal: AbortSignal) => Promise<number>) {
    const mine = running!;
    loading = true;
    try {
      const moved = await run(toQuery(ask, true), mine.signal);
      if (mine !== running) return;
      loading = false;
      move(moved);
      tell(held.count > 0 ? `${count(held.count)} messages, ${ask.from === "latest" ? "newest" : "oldest"} first` : "");
      if (wanted >= 0) {
        const at = Math.min(wanted, held.count - 1);
        if (held.list[at - held.base]) void select(at);
      }
      draw(true);
      if (held.count === 0) empty();
    } catch (reason) {
      if (mine !== running) return;
      loading = false;
      if (!mine.signal.aborted) { tell((reason as Error).message); status.classList.add("wrong"); held.hold(); }
    }
  }

  /** What is seen and selected stays where it is when rows have come or gone above it. */
  function move(rows: number) {
    const top = scroller.top;
    scroller.count = held.count;
    if (rows !== 0) scroller.go(top + rows * ROW);
    if (selected >= 0) selected += rows;
  }

  function empty() {
    isVacant = true;
    const next = h("div");
    if (!isSearch(ask)) void bootstrap().then(address => fill(next, h("p", { class: "faint" }, session.readOnly ? "Produce one:" : "Produce one with the button above, or:"), command(`echo 'hello, Ottla' | kcat -b ${address} -t ${topic.name} -P`))).catch(() => undefined);
    fill(space, h("div", { class: "empty", role: "row" }, h("div", { role: "gridcell" }, h("p", null, isSearch(ask) ? "Nothing matches." : "No messages here yet."), next)));
    space.style.height = "180px";
  }

  function add(m: Message) {
    if (!ask.live) {
      const at = held.insert(m, ask.from === "latest");
      if (at <= selected) selected++;
      return;
    }
    held.prepend(m, LIVE_MAX);
    if (scroller.top > 0) move(1);
    else if (selected >= 0) selected++;
  }

  async function follow(kind: "search" | "tail") {
    const query = toQuery(ask, true);
    if (kind === "search") query.set("limit", "2000");
    let pending = false, mine = running!;
    const soon = () => { if (!pending) { pending = true; requestAnimationFrame(() => { pending = false; draw(true); }); } };
    tell(kind === "tail" ? "live: waiting for messages" : "searching", true);
    try {
      await stream(`${path}/${kind}?${query}`, mine.signal, (event, data) => {
        if (event === "message") { add(data as Message); soon(); if (ask.live) openNewest(); return; }
        const p = data as Progress, speed = p.elapsedMs > 0 ? p.scannedBytes / 1048576 / (p.elapsedMs / 1000) : 0;
        if (kind === "tail") tell(`live: ${count(p.hits)} arrived${p.skipped ? `, ${count(p.skipped)} more not shown` : ""}`, true);
        else if (event === "done") tell(`${count(p.hits)} found in ${count(p.scanned)} messages, ${bytes(p.scannedBytes)} in ${(p.elapsedMs / 1000).toFixed(2)} s (${speed.toFixed(0)} MiB/s)${ask.from === "latest" ? ", newest first" : ", oldest first"}${p.reason === "limit" ? "; stopped at the limit: narrow the search" : ""}`);
        else tell(`${((p.share ?? 0) * 100).toFixed(0)} %: ${count(p.hits)} found in ${count(p.scanned)} messages`, true);
        if (event === "done" && held.count === 0) empty();
      });
    } catch (reason) {
      if (mine.signal.aborted) return;
      tell((reason as Error).message);
      status.classList.add("wrong");
    }
    if (kind === "tail" && !mine.signal.aborted) { // the broker went away: it may come back
      tell("live: the broker does not answer; trying again", true);
      setTimeout(() => { if (!mine.signal.aborted) { status.classList.remove("wrong"); void follow("tail"); } }, 1000);
    }
  }

  function remember() {
    const query = toQuery(ask, false).toString();
    history.replaceState(null, "", `${path}${query ? `?${query}` : ""}`);
  }

  async function start() {
    running?.abort();
    running = new AbortController();
    held.clear(); loading = false; selected = wanted = -1; chosen = null; drawn = ""; isVacant = false;
    detail.hidden = true;
    scroller.count = 0;
    scroller.go(0);
    status.classList.remove("wrong");
    remember();
    draw(true);
    if (ask.live) { ask.from = "latest"; await Promise.all([isSearch(ask) ? null : load(async (query, signal) => { await held.open(query, signal); held.hold(); openNewest(); return 0; }), follow("tail")]); }
    else if (isSearch(ask)) await follow("search");
    else await load(async (query, signal) => { await held.open(query, signal); return 0; });
  }

  /* ---- what is asked for */
  const word = ["latest", "earliest"].includes(ask.from) ? ask.from : "at";
  const at = h("input", { type: "text", value: word === "at" ? ask.from : "", placeholder: "offset or 2026-01-31T12:00Z", "aria-label": "Offset or time", hidden: word !== "at", onchange: () => { ask.from = at.value || "latest"; void start(); } });
  const from = h("select", { onchange: () => { at.hidden = from.value !== "at"; if (from.value === "at") at.focus(); else { ask.from = from.value; void start(); } } }, h("option", { value: "latest" }, "Newest first"), h("option", { value: "earliest" }, "Oldest first"), h("option", { value: "at" }, "From offset or time…"));
  from.value = word;
  const partition = h("select", { onchange: () => { ask.partition = partition.value; void start(); } }, h("option", { value: "" }, "All"), topic.partitions.map(p => h("option", { value: p.partition }, p.partition)));
  partition.value = ask.partition;
  const kind = h("select", { "aria-label": "Search by", onchange: () => { q.placeholder = KINDS.find(k => k[0] === kind.value)![2]; } }, KINDS.map(([name, label]) => h("option", { value: name }, label)));
  const last = ask.conditions.at(-1) ?? { kind: "text", q: "" };
  let others = ask.conditions.slice(0, -1);
  kind.value = last.kind;
  const q = h("input", { type: "search", value: last.q, placeholder: KINDS.find(k => k[0] === last.kind)![2], "aria-label": "Search for", id: "q" });
  const typed = (): Condition[] => q.value.trim() ? [{ kind: kind.value, q: q.value.trim() }] : [];
  const search = () => { ask.conditions = [...others, ...typed()]; void start(); };
  const chips = h("div", { class: "chips" });
  const drawChips = () => fill(chips, others.map(one => h("span", { class: "tag" }, `${KINDS.find(k => k[0] === one.kind)![1]}: ${one.q} `, h("button", { type: "button", class: "icon", "aria-label": `Remove ${one.kind} ${one.q}`, onclick: () => { others = others.filter(o => o !== one); drawChips(); search(); } }, "✕"))), others.length ? h("span", { class: "faint" }, "and what the field says") : null);
  const and = h("button", { type: "button", "aria-label": "And another condition", title: "And another condition", onclick: () => { others = [...others, ...typed()]; q.value = ""; drawChips(); q.focus(); } }, "+");
  drawChips();
  const live = h("button", { type: "button", class: "live", "aria-pressed": String(ask.live), onclick: () => { ask.live = !ask.live; live.setAttribute("aria-pressed", String(ask.live)); from.disabled = ask.live; newest.hidden = !ask.live; void start(); } }, h("i", { "aria-hidden": "true" }), "Live");
  const newest = h("button", { type: "button", hidden: !ask.live, "aria-pressed": String(ask.open), onclick: () => { if (ask.open) { stay(); return; } ask.open = true; newest.setAttribute("aria-pressed", "true"); remember(); openNewest(); } }, "Open newest");
  from.disabled = ask.live;
  const download = (format: string) => {
    const query = toQuery({ ...ask, from: ask.from === "latest" ? "earliest" : ask.from }, true);
    query.set("format", format);
    location.assign(`/api/v1${path}/download?${query}`);
    more.open = false;
  };
  const range = () => {
    const after = h("input", { type: "text", value: ask.after, placeholder: "2026-01-31T12:00:00Z" }), before = h("input", { type: "text", value: ask.before, placeholder: "2026-01-31T13:00:00Z" }), to = h("input", { type: "text", value: ask.to, placeholder: "offset or time" });
    dialog("Narrow by time and offset", [field("Timestamp from", after), field("Timestamp before", before), field("Up to", to, "the offset or time where reading ends")], "Apply", async () => { ask.after = after.value.trim(); ask.before = before.value.trim(); ask.to = to.value.trim(); void start(); return true; });
  };
  const more = h("details", { class: "menu" }, h("summary", { class: "button" }, "More"), h("div", null,
    h("button", { type: "button", onclick: () => download("ndjson") }, "Download as NDJSON"), h("button", { type: "button", onclick: () => download("csv") }, "Download as CSV"), h("button", { type: "button", onclick: () => { more.open = false; range(); } }, "Time and offset range…"),
    h("button", { type: "button", onclick: () => { const name = prompt("Name of this view", topic.name); if (name) { save(name); more.open = false; } } }, "Save this view…")));
  const bar = h("form", { class: "bar", role: "search", onsubmit: (event: Event) => { event.preventDefault(); search(); } },
    h("label", null, h("span", null, "Show"), from), at, h("label", null, h("span", null, "Partition"), partition), h("span", { class: "joined" }, kind, q, h("button", { type: "submit" }, "Search"), and), live, newest, more,
    session.readOnly ? null : h("button", { type: "button", class: "primary", onclick: () => produce(topic, () => { if (!ask.live) void start(); }) }, "Produce…"));
  void start();
  return h("section", { class: "messages" }, bar, chips, status, h("div", { class: "split" }, box, detail));
}

/* ---- saved views, in this browser */
export function saved(): { name: string; url: string }[] {
  try { return JSON.parse(localStorage.getItem("ottla.saved") ?? "[]"); } catch { return []; }
}
export function save(name: string, url = location.pathname + location.search) {
  localStorage.setItem("ottla.saved", JSON.stringify([...saved().filter(s => s.name !== name), { name, url }]));
  dispatchEvent(new Event("ottla-saved"));
  say(`Saved “${name}”`);
}
export function forget(name: string) {
  localStorage.setItem("ottla.saved", JSON.stringify(saved().filter(s => s.name !== name)));
  dispatchEvent(new Event("ottla-saved"));
}
