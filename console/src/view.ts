// SPDX-License-Identifier: Apache-2.0
// One value as people see it: JSON as a folded tree, an array of rows as a table, text, hex; gzip and base64 recognised.
import { h, fill, bytes, count } from "./dom";

export type Form = "table" | "json" | "text" | "hex";
const TEXT_AT_ONCE = 200_000, HEX_AT_ONCE = 16_384, CHILDREN_SHOWN = 200, ROW_HEIGHT = 30, COLUMNS_MAX = 60;

export function decode(text: string): Uint8Array {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

const isGzip = (data: Uint8Array) => data.length > 2 && data[0] === 0x1f && data[1] === 0x8b;
function asText(data: Uint8Array): string | null {
  try { return new TextDecoder("utf-8", { fatal: true }).decode(data); } catch { return null; }
}

/** What the bytes hold once gzip and base64 are taken off, and how it was found. */
export async function unpack(data: Uint8Array): Promise<{ data: Uint8Array; text: string | null; notes: string[] }> {
  const notes: string[] = [];
  for (let round = 0; round < 3; round++) {
    if (isGzip(data)) {
      try {
        const unzipped = new Blob([data as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
        data = new Uint8Array(await new Response(unzipped).arrayBuffer());
        notes.push("gzip");
        continue;
      } catch { break; }
    }
    const text = data.length >= 16 && data.length % 4 === 0 ? asText(data) : null;
    if (text === null || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) break;
    const inner = decode(text), told = asText(inner);
    if (!isGzip(inner) && (told === null || /[\x00-\x08\x0e-\x1f]/.test(told))) break;
    data = inner;
    notes.push("base64");
  }
  return { data, text: asText(data), notes };
}

/** JSON.parse would round integers beyond 2^53: they become BigInts, where the browser tells how they were written. */
function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  return typeof value === "number" && source && /^-?\d+$/.test(source) && !Number.isSafeInteger(value) ? BigInt(source) : value;
}

export function parse(text: string | null): { value: unknown } | null {
  if (text === null || !/^\s*[[{"0-9tfn-]/.test(text)) return null;
  try { return { value: JSON.parse(text, /\d{16}/.test(text) ? exact : undefined) }; } catch { return null; }
}

/** JSON of what parse() gave. */
function written(value: unknown): string {
  const { rawJSON } = JSON as { rawJSON?: (text: string) => unknown };
  return JSON.stringify(value, (_key, v: unknown) => typeof v === "bigint" ? rawJSON ? rawJSON(String(v)) : String(v) : v);
}

export function rowsOf(value: unknown): Record<string, unknown>[] | null {
  const is = Array.isArray(value) && value.length > 0 && value.every(row => row !== null && typeof row === "object" && !Array.isArray(row));
  return is ? value as Record<string, unknown>[] : null;
}

/* ---- JSON */
function leaf(value: unknown): HTMLElement {
  const kind = value === null ? "null" : typeof value;
  return h("span", { class: `j-${kind === "bigint" ? "number" : kind}` }, typeof value === "string" ? JSON.stringify(value.length > 2000 ? `${value.slice(0, 2000)}…` : value) : String(value));
}

function branch(value: object, open: boolean, name: HTMLElement | string): HTMLElement {
  const entries = Array.isArray(value) ? value.map((v, i) => [String(i), v] as const) : Object.entries(value);
  const summary = Array.isArray(value) ? `[ ${count(entries.length)} ]` : `{ ${count(entries.length)} }`;
  const inside = h("div", { class: "j-in" });
  let from = 0;
  const more = () => {
    const part = entries.slice(from, from + CHILDREN_SHOWN);
    from += part.length;
    inside.querySelector(":scope > button")?.remove();
    inside.append(...part.map(([key, child]) => node(child, key, false)));
    if (from < entries.length) inside.append(h("button", { type: "button", class: "small", onclick: more }, `${count(entries.length - from)} more`));
  };
  const details = h("details", { ontoggle: () => { if (details.open && from === 0) more(); } }, h("summary", null, name, " ", h("span", { class: "j-sum" }, summary)), inside);
  if (open) { details.open = true; more(); }
  return details;
}

function node(value: unknown, key: string, open: boolean): HTMLElement {
  const name = h("span", { class: "j-key" }, key);
  if (value !== null && typeof value === "object") return branch(value, open, name);
  return h("div", { class: "j-leaf" }, name, ": ", leaf(value));
}

export function tree(value: unknown): HTMLElement {
  return h("div", { class: "tree" }, value !== null && typeof value === "object" ? branch(value, true, "") : leaf(value));
}

/* ---- rows, only those in sight */
export function grid(rows: Record<string, unknown>[]): HTMLElement {
  const names = new Set<string>();
  for (const row of rows) for (const key of Object.keys(row)) names.add(key);
  const columns = [...names].slice(0, COLUMNS_MAX);
  const cell = (v: unknown) => v === undefined ? "" : v === null ? "null" : typeof v === "object" ? written(v) : String(v);
  const head = h("div", { class: "g-row g-head", role: "row", "aria-rowindex": 1 }, h("div", { role: "columnheader", class: "g-n" }, "#"), columns.map(name => h("div", { role: "columnheader" }, name)));
  const space = h("div", { class: "g-space", role: "rowgroup" });
  space.style.height = `${rows.length * ROW_HEIGHT}px`;
  const box = h("div", { class: "grid", role: "table", tabindex: 0, "aria-label": `${count(rows.length)} rows`, "aria-rowcount": rows.length + 1, onscroll: () => draw() }, h("div", { role: "rowgroup", class: "g-sticky" }, head), space);
  const width = `${60 + columns.length * 150}px`;
  space.style.width = head.style.width = width;
  let first = -1;
  function draw() {
    const from = Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - 8);
    if (from === first) return;
    first = from;
    const to = Math.min(rows.length, from + Math.ceil((box.clientHeight || 600) / ROW_HEIGHT) + 24);
    fill(space, rows.slice(from, to).map((row, i) => {
      const line = h("div", { class: "g-row", role: "row", "aria-rowindex": from + i + 2 }, h("div", { class: "g-n", role: "rowheader" }, count(from + i + 1)), columns.map(name => h("div", { role: "cell", title: cell(row[name]).slice(0, 500) }, cell(row[name]).slice(0, 300))));
      line.style.transform = `translateY(${(from + i) * ROW_HEIGHT}px)`;
      return line;
    }));
  }
  draw();
  return names.size > COLUMNS_MAX ? h("div", { class: "g-more" }, h("p", { class: "faint" }, `The first ${COLUMNS_MAX} of ${count(names.size)} columns; all are in JSON.`), box) : box;
}

/** Text that is shown a part at a time; `part` tells from there on, and where the next part begins. */
function inParts(kind: string, label: string, size: number, told: (left: number) => string, part: (from: number) => [string, number]): HTMLElement {
  const text = h("pre", { class: kind, tabindex: 0, role: "region", "aria-label": label });
  let from = 0;
  const more = () => {
    const [next, to] = part(from);
    text.querySelector("button")?.remove();
    text.append(next);
    from = to;
    if (from < size) text.append(h("button", { type: "button", class: "small", onclick: more }, told(size - from)));
  };
  more();
  return text;
}

function hexLine(data: Uint8Array, at: number): string {
  const part = [...data.subarray(at, at + 16)];
  return `${at.toString(16).padStart(8, "0")}  ${part.map(b => b.toString(16).padStart(2, "0")).join(" ").padEnd(48)} ${part.map(b => b >= 32 && b < 127 ? String.fromCharCode(b) : "·").join("")}\n`;
}

export function hex(data: Uint8Array): HTMLElement {
  return inParts("raw", "Bytes in hexadecimal", data.length, left => `${bytes(left)} more`, from => {
    const to = Math.min(data.length, from + HEX_AT_ONCE);
    let lines = "";
    for (let at = from; at < to; at += 16) lines += hexLine(data, at);
    return [lines, to];
  });
}

export function plain(text: string): HTMLElement {
  return inParts("raw wrap", "Text", text.length, left => `${count(left)} characters more`, from => [text.slice(from, from + TEXT_AT_ONCE), Math.min(text.length, from + TEXT_AT_ONCE)]);
}
