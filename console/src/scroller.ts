// SPDX-License-Identifier: Apache-2.0
// Scrolling through more rows than an element can be high. Beyond HIGHEST px, the element is that high and its middle stands
// for more: dragging the bar lands in proportion, wheel and keys move row by row (the place then drifts from the bar's and is
// put right when scrolling rests). Near both ends a pixel is a pixel.
const HIGHEST = 8_000_000, EXACT = 200_000;

export class Scroller {
  private rows = 0;
  private shift = 0; // what a place among all rows has more than the same place in the element
  private last = 0;
  private resting = 0;

  constructor(private readonly box: HTMLElement, private readonly space: HTMLElement, private readonly row: number, private readonly moved: () => void) {
    box.addEventListener("scroll", () => this.scrolled());
  }

  /** Of all rows, in px: where what is seen begins. */
  get top(): number { return Math.max(0, this.box.scrollTop + this.shift); }
  get height(): number { return this.box.clientHeight || 700; }
  /** Where a row lies in the element. */
  place(at: number): number { return at * this.row - this.shift; }

  private get full() { return this.rows * this.row; }
  private get high() { return Math.min(this.full, HIGHEST); }

  /** The element's place for one among all rows, and back. */
  private toElement(top: number): number {
    const more = this.full - this.high;
    if (more <= 0 || top <= EXACT) return top;
    if (top >= this.full - EXACT) return top - more;
    return EXACT + (top - EXACT) * (this.high - 2 * EXACT) / (this.full - 2 * EXACT);
  }
  private toAll(place: number): number {
    const more = this.full - this.high;
    if (more <= 0 || place <= EXACT) return place;
    if (place >= this.high - EXACT) return place + more;
    return EXACT + (place - EXACT) * (this.full - 2 * EXACT) / (this.high - 2 * EXACT);
  }

  set count(rows: number) {
    if (rows === this.rows) return;
    const top = this.top;
    this.rows = rows;
    this.space.style.height = `${this.high}px`;
    if (this.full <= HIGHEST && this.shift === 0) return;
    this.go(Math.min(top, Math.max(0, this.full - this.row)));
  }

  /** To that place among all rows. */
  go(top: number) {
    this.box.scrollTop = Math.round(this.toElement(Math.max(0, top)));
    this.last = this.box.scrollTop;
    this.shift = this.full > HIGHEST ? Math.round(Math.max(0, top)) - this.last : 0;
  }

  private scrolled() {
    const now = this.box.scrollTop, by = Math.abs(now - this.last), end = this.box.scrollHeight - this.box.clientHeight;
    const isAtEnd = now < 2 * this.height || now > end - 2 * this.height;
    this.last = now;
    if (this.full > HIGHEST) {
      if (by > 3 * this.height || isAtEnd) this.shift = Math.round(this.toAll(now)) - now;
      clearTimeout(this.resting);
      this.resting = setTimeout(() => { const top = this.top; this.go(top); this.moved(); }, 150);
    }
    this.moved();
  }
}
