// SPDX-License-Identifier: Apache-2.0
// Topics, groups and the broker.
import { h, fill, bytes, count, rate, time, duration, command, dialog, field, say, table } from "./dom";
import { bootstrap, get, post, session, type Broker, type Config, type Group, type GroupDetail, type Page as Messages, type Topic, type TopicDetail } from "./api";
import { messagesPage } from "./messages";
import { chart, perSecond } from "./charts";

const READERS_SHOWN = 6, REDRAWN_MAX = 500;
type Page = (place: HTMLElement, signal: AbortSignal) => Promise<void>;
export const link = (href: string, ...text: (string | Node)[]) => h("a", { href }, ...text);
const topicPath = (name: string) => `/topics/${encodeURIComponent(name)}`, groupPath = (name: string) => `/groups/${encodeURIComponent(name)}`;

let isPressed = false; // what is drawn anew between press and release would not be clicked
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { isPressed = false; }, true);

function every(ms: number, signal: AbortSignal, run: () => Promise<void>) {
  const timer = setInterval(() => { if (!document.hidden && !isPressed) void run().catch(() => undefined); }, ms);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** What a topic's totals grow by a second, between two looks at it. */
class Rates {
  private readonly before = new Map<string, { at: number; totals: number[] }>();
  private readonly now = new Map<string, number[]>();
  add(name: string, at: number, topic: { writtenTotal: number; bytesInTotal: number; bytesOutTotal: number }) {
    const totals = [topic.writtenTotal, topic.bytesInTotal, topic.bytesOutTotal], last = this.before.get(name);
    if (last && at > last.at) this.now.set(name, totals.map((total, i) => Math.max(0, total - last.totals[i]!) / ((at - last.at) / 1000)));
    this.before.set(name, { at, totals });
  }
  /** Messages written, bytes in, bytes out. */
  told(name: string): string[] {
    const [written, bytesIn, bytesOut] = this.now.get(name) ?? [];
    return written === undefined ? ["–", "–", "–"] : [rate(written), `${bytes(bytesIn!)}/s`, `${bytes(bytesOut!)}/s`];
  }
}

/* ---- topics */
export const topicsPage: Page = async (place, signal) => {
  const rates = new Rates();
  const search = h("input", { type: "search", placeholder: "Filter topics", "aria-label": "Filter topics", oninput: () => draw() });
  const internal = h("input", { type: "checkbox", onchange: () => draw() });
  const list = h("div");
  let now: { at: number; topics: Topic[] } = { at: 0, topics: [] };
  const draw = () => {
    const there = now.topics.filter(t => (internal.checked || !t.internal) && t.name.toLowerCase().includes(search.value.toLowerCase()));
    if (now.topics.every(t => t.internal) && !internal.checked) { if (!list.querySelector(".empty")) void empty(); return; }
    fill(list, there.length === 0 ? h("p", { class: "faint" }, "No topic has that in its name.") : table("Topics", ["Topic", ["Partitions", "n"], ["Messages", "n"], ["Size", "n"], ["Written", "n"], ["In", "n"], ["Out", "n"], "State"], there.map(t => [link(topicPath(t.name), t.name), t.partitions, count(t.messages), bytes(t.sizeBytes), ...rates.told(t.name),
      t.offlinePartitions ? h("span", { class: "tag bad" }, `${t.offlinePartitions} offline`) : t.underReplicated ? h("span", { class: "tag warn" }, `${t.underReplicated} under-replicated`) : h("span", { class: "tag good" }, "healthy")])));
  };
  const empty = async () => {
    const address = await bootstrap();
    fill(list, h("div", { class: "empty" }, h("h2", null, "No topics yet"), h("p", null, "A topic comes into being with its first message:"), command(`echo 'hello, Ottla' | kcat -b ${address} -t greetings -P`), h("p", { class: "faint" }, "or run ", h("code", null, "make demo"), " for a topic full of events.")));
  };
  const load = async () => {
    now = await get("/topics", signal);
    for (const t of now.topics) rates.add(t.name, now.at, t);
    draw();
  };
  fill(place, h("div", { class: "title" }, h("h1", null, "Topics"), search, h("label", { class: "check" }, internal, "internal ones"), session.readOnly ? null : h("button", { type: "button", class: "primary", onclick: () => createTopic(load) }, "Create topic…")), list);
  await load();
  every(2000, signal, load);
  setTimeout(() => { if (!signal.aborted) void load().catch(() => undefined); }, 500); // rates are known after two looks
};

function createTopic(after: () => Promise<void>) {
  const name = h("input", { type: "text", required: true, pattern: "[a-zA-Z0-9._\\-]+", autocomplete: "off" }), partitions = h("input", { type: "number", min: 1, placeholder: "the broker's default" }), configs = h("textarea", { rows: 4, placeholder: "retention.ms=604800000\ncleanup.policy=compact" });
  dialog("Create a topic", [field("Name", name), field("Partitions", partitions), field("Settings", configs, "name=value, one a line")], "Create", async () => {
    const set: Record<string, string> = {};
    for (const line of configs.value.split("\n")) { const at = line.indexOf("="); if (at > 0) set[line.slice(0, at).trim()] = line.slice(at + 1).trim(); }
    await post("/topics", { name: name.value, ...(partitions.value ? { partitions: Number(partitions.value) } : {}), configs: set });
    say(`${name.value} is there`);
    await after();
    return true;
  });
}

function confirmName(title: string, name: string, text: string, action: string, run: () => Promise<void>) {
  const typed = h("input", { type: "text", autocomplete: "off" });
  dialog(title, [h("p", null, text), field(`Type ${name} to go on`, typed)], action, async () => {
    if (typed.value !== name) throw new Error("that is another name");
    await run();
    return true;
  }, true);
}

function configsTable(configs: Config[], change?: (config: Config) => void): HTMLElement {
  const search = h("input", { type: "search", placeholder: "Filter settings", "aria-label": "Filter settings", oninput: () => draw() }), only = h("input", { type: "checkbox", onchange: () => draw() }), list = h("div");
  const wanted = () => configs.filter(c => c.name.includes(search.value.toLowerCase()) && (!only.checked || c.source !== "default"));
  const draw = () => fill(list, wanted().length === 0 ? h("p", { class: "faint" }, only.checked ? "None of them is set." : "No setting has that in its name.") : table("Settings", ["Setting", "Value", "Source", "Type", "What it does", ...(change ? [""] : [])], wanted().map(c => [h("code", null, c.name), h("code", null, c.sensitive ? "hidden" : c.value ?? "–", c.source !== "default" && c.default !== null ? h("small", { class: "faint" }, ` default ${c.default}`) : null),
    h("span", { class: c.source === "default" ? "faint" : "tag good" }, c.source), c.type, h("span", { class: "doc" }, c.documentation ?? ""), ...(change ? [c.readOnly ? "" : h("button", { type: "button", class: "small", "aria-label": `Change ${c.name}`, onclick: () => change(c) }, "Change")] : [])])));
  draw();
  return h("div", null, h("div", { class: "title" }, search, h("label", { class: "check" }, only, "only those set")), list);
}

export const topicPage = (name: string, tab: string): Page => async (place, signal) => {
  const topic = await get<TopicDetail>(topicPath(name), signal), path = topicPath(name), starred = () => (JSON.parse(localStorage.getItem("ottla.stars") ?? "[]") as string[]);
  const star = h("button", { type: "button", class: "icon", "aria-label": "Favourite", "aria-pressed": String(starred().includes(name)), onclick: () => {
    const was = starred().includes(name);
    localStorage.setItem("ottla.stars", JSON.stringify(was ? starred().filter(s => s !== name) : [...starred(), name]));
    star.setAttribute("aria-pressed", String(!was));
    dispatchEvent(new Event("ottla-saved"));
  } }, "★");
  const tabs = [["", "Messages"], ["partitions", "Partitions"], ["settings", "Settings"]].map(([at, label]) => h("a", { href: at ? `${path}/${at}` : path, "aria-current": at === tab ? "page" : null }, label));
  const again = async () => { dispatchEvent(new Event("ottla-again")); };
  const head = h("div", { class: "title" }, h("h1", null, name), star, h("nav", { class: "tabs", "aria-label": "Topic" }, tabs), h("span", { class: "faint facts-line" }, `${count(topic.messages)} messages · ${bytes(topic.sizeBytes)}`));
  if (tab === "") {
    const readers = h("div", { class: "readers faint" });
    fill(place, head, readers, messagesPage(topic, signal));
    const load = async () => {
      const { groups } = await get<{ groups: Group[] }>(`/groups?topic=${encodeURIComponent(name)}`, signal);
      fill(readers, groups.length ? ["Read by ", groups.slice(0, READERS_SHOWN).map((g, i) => [i ? " · " : "", link(groupPath(g.id), g.id || "(empty name)"), ` ${g.lag === null ? "" : g.lag ? `${count(g.lag)} behind` : "up to date"}`]), groups.length > READERS_SHOWN ? ` and ${count(groups.length - READERS_SHOWN)} more` : null] : null);
    };
    void load().catch(() => undefined);
    every(2000, signal, load);
    return;
  }
  if (tab === "settings") {
    const change = (c: Config) => {
      const value = h("input", { type: "text", value: c.value ?? "" });
      dialog(c.name, [h("p", { class: "doc" }, c.documentation ?? ""), field(`Value (${c.type})`, value, c.default !== null ? `default: ${c.default}; empty takes the topic's own value away` : "empty takes the topic's own value away")], "Change", async () => {
        await post(`${path}/configs`, value.value === "" ? { unset: [c.name] } : { set: { [c.name]: value.value } });
        say(`${c.name} is changed`);
        await again();
        return true;
      });
    };
    fill(place, head, configsTable(topic.configs ?? [], session.readOnly ? undefined : change));
    return;
  }
  const trim = (p: number, start: number, end: number) => {
    const before = h("input", { type: "number", min: start, max: end, value: end }), typed = h("input", { type: "text", autocomplete: "off" });
    dialog(`Delete records of partition ${p}`, [field("Everything before offset", before), field(`Type ${name} to go on`, typed)], "Delete records", async () => {
      await post(`${path}/records/delete`, { partition: p, before: Number(before.value), confirm: typed.value });
      say("deleted");
      await again();
      return true;
    }, true);
  };
  const tiles = h("div", { class: "tiles" }), list = h("div"), rates = new Rates();
  const draw = (t: TopicDetail, oldest: number | undefined) => {
    const setting = (key: string, otherwise: string) => t.configs?.find(c => c.name === key)?.value ?? otherwise;
    const deletes = setting("cleanup.policy", "delete").includes("delete"), retention = Number(setting("retention.ms", "-1")), limit = Number(setting("retention.bytes", "-1"));
    const largest = Math.max(0, ...t.partitions.map(p => p.sizeBytes ?? 0)), [written, bytesIn, bytesOut] = rates.told(name);
    fill(tiles, tile("Messages", count(t.messages)), tile("Size", bytes(t.sizeBytes)), tile("Written", written!), tile("In", bytesIn!), tile("Out", bytesOut!), tile("Kept for", !deletes ? "the last of each key" : retention < 0 ? "ever" : duration(retention)),
      tile("Retention left", oldest === undefined || !deletes || retention < 0 ? "–" : duration(Math.max(0, oldest + retention - Date.now()))), tile("Oldest message", oldest === undefined ? "none" : `${duration(Math.max(0, Date.now() - oldest))} old`), tile("Size limit", limit < 0 ? "none" : `${bytes(limit)} a partition, ${Math.round(100 * largest / Math.max(1, limit))} % used`));
    fill(list, table("Partitions", [["Partition", "n"], ["Leader", "n"], "In sync", ["Start", "n"], ["End", "n"], ["Messages", "n"], ["Size", "n"], "State", ...(session.readOnly ? [] : [""])], t.partitions.map(p => [p.partition, p.leader, `${p.isr.join(", ")} of ${p.replicas.join(", ")}`, count(p.startOffset ?? 0), count(p.endOffset ?? 0), count((p.endOffset ?? 0) - (p.startOffset ?? 0)), bytes(p.sizeBytes ?? 0),
      p.offline ? h("span", { class: "tag bad" }, "offline") : h("span", { class: "tag good" }, "online"), ...(session.readOnly ? [] : [h("button", { type: "button", class: "small", "aria-label": `Delete records of partition ${p.partition}`, onclick: () => trim(p.partition, p.startOffset ?? 0, p.endOffset ?? 0) }, "Delete records…")])])));
  };
  const load = async () => {
    const t = await get<TopicDetail>(path, signal);
    rates.add(name, t.at, t);
    draw(t, (await get<Messages>(`${path}/messages?from=earliest&limit=1&preview=0`, signal)).messages[0]?.timestamp);
  };
  fill(place, head, tiles, list,
    session.readOnly ? null : h("div", { class: "actions left" }, h("button", { type: "button", onclick: () => {
      const n = h("input", { type: "number", min: topic.partitions.length + 1, value: topic.partitions.length + 1 });
      dialog("Add partitions", [h("p", null, "Keys may go to other partitions afterwards."), field("Partitions in all", n)], "Add", async () => { await post(`${path}/partitions`, { count: Number(n.value) }); await again(); return true; });
    } }, "Add partitions…"), h("button", { type: "button", class: "danger", onclick: () => confirmName(`Delete ${name}`, name, "All of its messages are lost.", "Delete topic", async () => { await post(`${path}/delete`, { confirm: name }); history.pushState(null, "", "/topics"); await again(); }) }, "Delete topic…")));
  rates.add(name, topic.at, topic);
  await load();
  if (topic.partitions.length <= REDRAWN_MAX) every(2000, signal, load);
};

/* ---- groups */
const state = (s: string) => h("span", { class: `tag ${s === "Stable" ? "good" : s === "Empty" || s === "Dead" ? "" : "warn"}` }, s);
const tile = (name: string, value: string | Node) => h("div", { class: "tile" }, h("span", null, name), h("b", null, value));

export const groupsPage: Page = async (place, signal) => {
  const list = h("div");
  const load = async () => {
    const { groups } = await get<{ groups: Group[] }>("/groups", signal);
    if (groups.length) fill(list, table("Groups", ["Group", "State", "Protocol", ["Lag", "n"]], groups.map(g => [link(groupPath(g.id), g.id || "(empty name)"), state(g.state), g.type, g.lag === null ? "–" : count(g.lag)])));
    else if (!list.hasChildNodes()) fill(list, h("div", { class: "empty" }, h("h2", null, "No consumer groups yet"), h("p", null, "A group comes into being with its first consumer:"), command(`kcat -b ${await bootstrap()} -G readers greetings`)));
  };
  fill(place, h("div", { class: "title" }, h("h1", null, "Groups")), list);
  await load();
  every(3000, signal, load);
};

function reset(group: GroupDetail, after: () => Promise<void>) {
  const topics = [...new Set([...group.offsets.map(o => o.topic), ...(group.members ?? []).flatMap(m => m.assignment.map(a => a.topic))])];
  const topic = topics.length ? h("select", null, topics.map(t => h("option", { value: t }, t))) : h("input", { type: "text" }), to = h("input", { type: "text", value: "earliest", list: "to-list" }), preview = h("div", { role: "status" });
  let seen = "";
  const ask = (isPreview: boolean) => post<{ changes: { partition: number; from: number | null; to: number }[] }>(`${groupPath(group.id)}/offsets`, { topic: topic.value, to: /^\d+$/.test(to.value) ? Number(to.value) : to.value, preview: isPreview });
  dialog(`Reset offsets of ${group.id}`, [field("Topic", topic), field("To", to, "earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z"), preview], "Preview, then reset", async form => {
    const wanted = `${topic.value} ${to.value}`;
    if (seen !== wanted) {
      const { changes } = await ask(true);
      seen = wanted;
      fill(preview, table("What will change", [["Partition", "n"], ["From", "n"], ["To", "n"]], changes.map(c => [c.partition, c.from === null ? "none" : count(c.from), count(c.to)])));
      form.querySelector("[type=submit]")!.textContent = "Reset";
      return false;
    }
    await ask(false);
    say(`${group.id} starts from there`);
    await after();
    return true;
  }, true);
}

export const groupPage = (id: string): Page => async (place, signal) => {
  const top = h("div"), rest = h("div"), lag = h("div");
  const broker = await get<Broker>("/broker", signal), row = broker.history.groups.find(g => g.id === id);
  const at = row ? broker.history.at.slice() : [], values: (number | null)[] = row ? row.lag.map(v => v < 0 ? null : v) : [];
  const plot = chart("Lag, last hour", at, [{ label: "lag", values, colour: "#0d9488" }], n => count(n));
  lag.append(plot.element);
  signal.addEventListener("abort", plot.end);
  const load = async () => {
    const group = await get<GroupDetail & { at: number }>(groupPath(id), signal);
    at.push(group.at); values.push(group.lag);
    if (at.length > 1500) { at.shift(); values.shift(); }
    plot.update(at, [{ label: "lag", values, colour: "#0d9488" }]);
    fill(top, h("div", { class: "tiles" }, tile("State", state(group.state)), tile("Lag", count(group.lag)), tile("Members", String(group.members?.length ?? 0)), tile("Protocol", group.type), tile("Assignor", group.assignor || "–")));
    const owner = (topic: string, partition: number) => group.members?.find(m => m.assignment.some(a => a.topic === topic && a.partitions.includes(partition)));
    fill(rest, h("h2", null, "Partitions"), table("Lag by partition", ["Topic", ["Partition", "n"], ["Committed", "n"], ["End", "n"], ["Lag", "n"], "Read by"], group.offsets.map(o => [link(topicPath(o.topic), o.topic), o.partition, count(o.committed), o.end === null ? "–" : count(o.end), o.lag === null ? "–" : h("b", null, count(o.lag)), owner(o.topic, o.partition)?.clientId ?? "nobody"])),
      h("h2", null, "Members"), group.members?.length ? table("Members", ["Client", "Host", "Member", "Partitions"], group.members.map(m => [m.clientId, m.host, h("code", null, m.id), m.assignment.map(a => `${a.topic}: ${a.partitions.join(", ")}`).join("; ") || "none"])) : h("p", { class: "faint" }, "Nobody is in this group now; its offsets are kept."),
      session.readOnly ? null : h("div", { class: "actions left" }, h("button", { type: "button", onclick: () => reset(group, load) }, "Reset offsets…"), h("button", { type: "button", class: "danger", onclick: () => confirmName(`Delete ${id}`, id, "Its committed offsets are lost.", "Delete group", async () => { await post(`${groupPath(id)}/delete`, { confirm: id }); history.pushState(null, "", "/groups"); dispatchEvent(new Event("ottla-again")); }) }, "Delete group…")));
  };
  fill(place, h("div", { class: "title" }, h("h1", null, id)), top, lag, rest);
  await load();
  every(3000, signal, load);
};

/* ---- the broker */
export const brokerPage: Page = async (place, signal) => {
  const first = await get<Broker>("/broker", signal), past = first.history;
  const at = past.at.slice(), totals = { in: past.bytesIn.slice(), out: past.bytesOut.slice(), requests: past.requests.slice(), messages: past.messages.slice(), connections: past.connections.slice(), memory: past.residentBytes.slice() };
  const IN = "#0d9488", OUT = "#d97706";
  const flow = () => [{ label: "in", values: perSecond(at, totals.in), colour: IN }, { label: "out", values: perSecond(at, totals.out), colour: OUT }];
  const written = () => [{ label: "messages", values: perSecond(at, totals.messages), colour: IN }];
  const asked = () => [{ label: "requests", values: perSecond(at, totals.requests), colour: IN }];
  const joined = () => [{ label: "connections", values: totals.connections as (number | null)[], colour: IN }], memory = () => [{ label: "memory", values: totals.memory as (number | null)[], colour: IN }];
  const charts = [chart("Throughput", at, flow(), n => `${bytes(n)}/s`, true), chart("Messages", at, written(), rate), chart("Requests", at, asked(), rate), chart("Connections", at, joined(), count), chart("Memory", at, memory(), bytes, true)];
  signal.addEventListener("abort", () => charts.forEach(c => c.end()));
  const tiles = h("div", { class: "tiles" }), apis = h("div"), clients = h("div"), disks = h("div"), log = h("pre", { class: "log", tabindex: 0, role: "region", "aria-label": "Last log lines" });
  const draw = (b: Broker) => {
    const up = b.at - b.startedAt * 1000;
    fill(tiles, tile("State", b.failed ? "failed" : b.ready ? "ready" : "starting"), tile("Durability", b.durability), tile("Up for", duration(up)), tile("Topics", count(b.topics)), tile("Partitions", count(b.partitions)), tile("Connections", count(b.connections)), tile("Memory", bytes(b.residentBytes)), tile("Flush p50 / p99", `${b.flushP50Ms.toFixed(1)} / ${b.flushP99Ms.toFixed(1)} ms`), tile("Stored", bytes(b.storedBytes)));
    fill(apis, table("Requests by API", ["API", ["Requests", "n"], ["p50", "n"], ["p99", "n"]], b.apis.slice().sort((x, y) => y.requests - x.requests).map(a => [a.name, count(a.requests), `${a.p50Ms} ms`, `${a.p99Ms} ms`])));
    fill(clients, b.clients.length ? table("Clients", ["Client", "Version", ["Connections since start", "n"], "Last"], b.clients.slice().sort((x, y) => y.seenAt - x.seenAt).map(c => [c.name, c.version, count(c.connections), time(c.seenAt)])) : h("p", { class: "faint" }, "No client has told its name yet."));
    fill(disks, table("Disks", ["Directory", ["Free", "n"]], b.disks.map(d => [h("code", null, d.path), bytes(d.freeBytes)])));
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
    log.textContent = b.log.slice(-200).join("\n");
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  const add = (b: Broker) => {
    at.push(b.at); totals.in.push(b.bytesIn); totals.out.push(b.bytesOut); totals.requests.push(b.requests); totals.messages.push(b.writtenTotal); totals.connections.push(b.connections); totals.memory.push(b.residentBytes);
    while (at.length > 0 && at[0]! < b.at - 3600_000) { at.shift(); for (const list of Object.values(totals)) list.shift(); }
  };
  fill(place, h("div", { class: "title" }, h("h1", null, "Broker"), h("span", { class: "faint" }, `node ${first.nodeId} of ${first.clusterId} · Ottla ${first.version} · ${first.listeners.map(l => `${l.name} ${l.host || "*"}:${l.port}`).join(", ")}`)), tiles, h("div", { class: "charts" }, charts.map(c => c.element)),
    h("div", { class: "two" }, h("section", null, h("h2", null, "Latency by API"), apis), h("section", null, h("h2", null, "Clients"), clients, h("h2", null, "Disks"), disks, h("h2", null, "Features"), table("Features", ["Feature", ["Level in force", "n"], "Known levels"], first.features.map(f => [f.name, f.level || "none", f.min === f.max ? String(f.min) : `${f.min} to ${f.max}`])))),
    h("h2", null, "Log"), log, h("h2", null, "Settings"), configsTable(first.configs ?? []));
  draw(first);
  add(first);
  log.scrollTop = log.scrollHeight;
  every(2000, signal, async () => {
    const b = await get<Broker>("/broker?parts=live", signal);
    add(b);
    draw(b);
    charts[0]!.update(at, flow()); charts[1]!.update(at, written()); charts[2]!.update(at, asked()); charts[3]!.update(at, joined()); charts[4]!.update(at, memory());
  });
};
