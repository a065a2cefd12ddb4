// SPDX-License-Identifier: Apache-2.0
// Elements, texts and numbers: the few things every page needs.
type Child = Node | string | number | null | undefined | false | Child[];
type Props = Record<string, unknown>;

/** h("button", {class: "x", onclick: f, "aria-label": "y"}, "text"): properties that start with on are listeners. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "value") (element as HTMLInputElement).value = String(value);
    else if (name === "class") element.className = String(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element: Element, children: Child[]) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
}

/** What has the focus in there, and how far things are scrolled, while all of it is made anew. */
function kept(element: Element): () => void {
  const active = document.activeElement, told = (e: Element) => `${e.tagName} ${e.getAttribute("href") ?? ""} ${e.getAttribute("aria-label") ?? e.textContent}`;
  const focused = active && active !== element && element.contains(active) ? told(active) : null;
  const places = [...element.querySelectorAll(".scroll")].map(box => [box.scrollLeft, box.scrollTop] as const);
  return () => {
    element.querySelectorAll(".scroll").forEach((box, i) => { [box.scrollLeft, box.scrollTop] = places[i] ?? [0, 0]; });
    if (focused !== null) [...element.querySelectorAll<HTMLElement>("a, button, [tabindex]")].find(e => told(e) === focused)?.focus({ preventScroll: true });
  };
}

export function fill(element: Element, ...children: Child[]) {
  const keep = kept(element);
  element.replaceChildren();
  append(element, children);
  keep();
}

const whole = new Intl.NumberFormat("en");
export const count = (n: number) => whole.format(Math.round(n));

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${unit === 0 ? Math.round(n) : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

export function rate(n: number): string {
  return n >= 1e6 ? `${(n / 1e6).toFixed(1)} M/s` : n >= 1e4 ? `${(n / 1e3).toFixed(1)} k/s` : n >= 10 || n === 0 ? `${Math.round(n)}/s` : `${n.toFixed(1)}/s`;
}

export function duration(ms: number): string {
  if (ms < 0) return "for ever";
  const s = ms / 1000;
  if (s < 1) return `${ms} ms`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(s % 3600 ? 1 : 0)} h`;
  return `${(s / 86400).toFixed(s % 86400 ? 1 : 0)} days`;
}

export function time(ms: number): string {
  if (ms < 0) return "–";
  const d = new Date(ms), two = (n: number) => String(n).padStart(2, "0");
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${day} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

/** The time of day; with the day when it is another one. */
export function clock(ms: number): string {
  const text = time(ms);
  return text.slice(0, 10) === time(Date.now()).slice(0, 10) ? text.slice(11) : text.slice(5, 19);
}

/** A command with a button that copies it. */
export function command(text: string): HTMLElement {
  const button = h("button", { type: "button", class: "small", onclick: async () => {
    await navigator.clipboard.writeText(text).catch(() => undefined);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 3000);
  } }, "Copy");
  return h("div", { class: "command" }, h("code", null, text), button);
}

/** Told to a screen reader, and shown for a moment. */
export function say(text: string, kind: "ok" | "error" = "ok") {
  const place = document.getElementById("told");
  if (!place) return;
  const note = h("div", { class: `note ${kind}` }, text);
  place.append(note);
  setTimeout(() => note.remove(), kind === "error" ? 8000 : 3500);
}

/** A dialog with a form; `done` returns true when it may close. */
export function dialog(title: string, fields: Child[], action: string, done: (form: HTMLFormElement) => Promise<boolean>, danger = false): HTMLDialogElement {
  const error = h("p", { class: "wrong", role: "alert" });
  const submit = h("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
  const form = h("form", { method: "dialog", onsubmit: async (event: Event) => {
    event.preventDefault();
    submit.disabled = true;
    error.textContent = "";
    try {
      if (await done(form)) box.close();
    } catch (reason) {
      error.textContent = (reason as Error).message;
    }
    submit.disabled = false;
  } }, h("h2", null, title), fields, error,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"), submit));
  const box = h("dialog", { "aria-label": title, onclose: () => box.remove() }, form);
  document.body.append(box);
  box.showModal();
  return box;
}

let fields = 0;
export function field(label: string, control: HTMLElement, hint?: string): HTMLElement {
  const id = `field-${++fields}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint ? h("small", { id: `${id}-hint` }, hint) : null);
}

export function table(caption: string, heads: (string | [string, string])[], rows: Child[][]): HTMLElement {
  const kinds = heads.map(head => Array.isArray(head) ? head[1] : "");
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", null, h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, heads.map((head, i) => h("th", { scope: "col", class: kinds[i] }, Array.isArray(head) ? head[0] : head)))),
    h("tbody", null, rows.map(row => h("tr", null, row.map((cell, i) => h("td", { class: kinds[i] }, cell)))))));
}
