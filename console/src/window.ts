// SPDX-License-Identifier: Apache-2.0
// The part of all messages that the page holds: it grows at both ends as one scrolls, is cut at the far end, and is begun
// anew at any place. A place is an offset in each partition, so nothing is counted: messages before a place, by offsets, are
// its row. Where offsets have gaps (compaction) rows are fewer than offsets; the row numbers follow as the gaps are met.
import { get, type Message, type Page } from "./api";

export const PAGE = 200, HELD_MAX = 4000;
interface Range { from: number; to: number }
/** Of each partition the bounds of what is held, in the list's order: the first is nearer to its start. */
interface Ends { first: number; last: number }

export function firstPage(path: string, query: URLSearchParams): string {
  const asked = new URLSearchParams(query);
  asked.set("limit", String(PAGE));
  return `${path}?${asked}`;
}

export class Messages {
  list: Message[] = [];
  base = 0; // the row of list[0]
  count = 0; // rows in all
  private ranges = new Map<number, Range>();
  private ends = new Map<number, Ends>();
  private newest = true;
  isPaged = false; // the rest can be asked for

  constructor(private readonly path: string) {}

  private start(p: number) { const r = this.ranges.get(p)!; return this.newest ? r.to : r.from; }
  private end(p: number) { const r = this.ranges.get(p)!; return this.newest ? r.from : r.to; }

  private ask(query: URLSearchParams, places: [number, number][], signal: AbortSignal): Promise<Page> {
    const asked = new URLSearchParams(query);
    asked.set("limit", String(PAGE));
    asked.set("cursor", places.map(([p, offset]) => `${p}:${offset}`).join(","));
    return get<Page>(`${this.path}?${asked}`, signal);
  }

  /** Row numbers from the places; by how many rows what was at `row` has moved. */
  private settle(message: Message | undefined, row: number): number {
    let before = 0, after = 0;
    for (const [p, e] of this.ends) { before += Math.abs(e.first - this.start(p)); after += Math.abs(this.end(p) - e.last); }
    this.base = before;
    this.count = before + this.list.length + after;
    const at = message ? this.list.indexOf(message) : -1;
    return at < 0 ? 0 : this.base + at - row;
  }

  async open(query: URLSearchParams, signal: AbortSignal) {
    const page = await get<Page>(firstPage(this.path, query), signal);
    this.newest = page.order === "newest";
    this.ranges = new Map(page.partitions.map(p => [p.partition, { from: p.fromOffset, to: p.toOffset }]));
    this.ends = new Map(page.partitions.map(p => [p.partition, { first: this.start(p.partition), last: this.start(p.partition) }]));
    this.list = page.messages;
    this.isPaged = true;
    this.reachLast(page);
    this.settle(undefined, 0);
  }

  private reachLast(page: Page) {
    const left = new Map((page.cursor ?? "").split(",").filter(Boolean).map(part => part.split(":").map(Number) as [number, number]));
    for (const [p, e] of this.ends) e.last = left.get(p) ?? this.end(p);
  }

  get hasAfter() { return this.isPaged && [...this.ends].some(([p, e]) => e.last !== this.end(p)); }
  get hasBefore() { return this.isPaged && [...this.ends].some(([p, e]) => e.first !== this.start(p)); }

  /** Begins anew near that row. */
  async jump(row: number, query: URLSearchParams, signal: AbortSignal) {
    const share = this.count > 0 ? Math.min(1, Math.max(0, row / this.count)) : 0;
    const places = [...this.ranges].map(([p, r]) => [p, this.newest ? r.to - Math.round(share * (r.to - r.from)) : r.from + Math.round(share * (r.to - r.from))] as [number, number]);
    const page = await this.ask(query, places, signal);
    for (const [p, offset] of places) this.ends.set(p, { first: offset, last: offset });
    this.list = page.messages;
    this.reachLast(page);
    this.settle(undefined, 0);
  }

  /** More at the end; by how many rows those that stay have moved. */
  async after(query: URLSearchParams, signal: AbortSignal): Promise<number> {
    const page = await this.ask(query, [...this.ends].filter(([p, e]) => e.last !== this.end(p)).map(([p, e]) => [p, e.last]), signal);
    const kept = this.list.at(-1), row = this.base + this.list.length - 1;
    this.list = [...this.list, ...page.messages];
    this.reachLast(page);
    const dropped = this.list.splice(0, Math.max(0, this.list.length - HELD_MAX));
    for (const m of dropped) this.ends.get(m.partition)!.first = this.newest ? m.offset : m.offset + 1;
    return this.settle(kept, row);
  }

  /** More at the start: the same messages are asked for in the other order. */
  async before(query: URLSearchParams, signal: AbortSignal): Promise<number> {
    const asked = new URLSearchParams(query);
    asked.set("from", this.newest ? "earliest" : "latest");
    const page = await this.ask(asked, [...this.ends].filter(([p, e]) => e.first !== this.start(p)).map(([p, e]) => [p, e.first]), signal);
    const left = new Map((page.cursor ?? "").split(",").filter(Boolean).map(part => part.split(":").map(Number) as [number, number]));
    const isOurs = (p: number, offset: number) => { const r = this.ranges.get(p)!; return offset >= r.from && offset < r.to; };
    const kept = this.list[0], row = this.base;
    this.list = [...page.messages.filter(m => isOurs(m.partition, m.offset)).reverse(), ...this.list];
    for (const [p, e] of this.ends) {
      const reached = left.get(p) ?? this.start(p);
      e.first = this.newest ? Math.min(reached, this.start(p)) : Math.max(reached, this.start(p));
    }
    const dropped = this.list.splice(Math.min(this.list.length, HELD_MAX));
    for (const m of dropped.reverse()) this.ends.get(m.partition)!.last = this.newest ? m.offset + 1 : m.offset;
    return this.settle(kept, row);
  }

  /** Rows that come one by one, of a search or live. */
  clear() { this.list = []; this.base = 0; this.count = 0; this.isPaged = false; this.ends.clear(); }
  hold() { this.isPaged = false; this.base = 0; this.count = this.list.length; }
  /** In its place by time, behind those of the same time; where that is. */
  insert(m: Message, newestFirst: boolean): number {
    let low = 0, high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1, other = this.list[middle]!.timestamp;
      if (newestFirst ? other >= m.timestamp : other <= m.timestamp) low = middle + 1; else high = middle;
    }
    this.list.splice(low, 0, m);
    this.count = this.list.length;
    return low;
  }
  prepend(m: Message, most: number) { this.list.unshift(m); if (this.list.length > most) this.list.pop(); this.count = this.list.length; }
}
