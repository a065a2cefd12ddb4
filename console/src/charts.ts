// SPDX-License-Identifier: Apache-2.0
// Charts over the last hour (uPlot), in the page's colours.
import uPlot from "uplot";
import { h } from "./dom";

export interface Series { label: string; values: (number | null)[]; colour: string }

/** Differences of a total, a second each. */
export function perSecond(at: number[], totals: number[]): (number | null)[] {
  return totals.map((total, i) => i === 0 ? null : Math.max(0, (total - totals[i - 1]!) / Math.max(0.001, (at[i]! - at[i - 1]!) / 1000)));
}

export function chart(title: string, at: number[], series: Series[], told: (n: number) => string, binary = false): { element: HTMLElement; update: (at: number[], series: Series[]) => void; end: () => void } {
  const box = h("div", { class: "plot" }), last = h("span", { class: "faint" });
  const element = h("figure", { class: "chart" }, h("figcaption", null, title, " ", last), box);
  const style = getComputedStyle(document.documentElement), line = style.getPropertyValue("--line").trim(), faint = style.getPropertyValue("--faint").trim();
  const data = (t: number[], s: Series[]) => [t.map(ms => ms / 1000), ...s.map(one => one.values)] as uPlot.AlignedData;
  const axis = { stroke: faint, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "11px system-ui" };
  const steps = Array.from({ length: 50 }, (_, i) => binary ? 2 ** i : [1, 2, 5][i % 3]! * 10 ** Math.floor(i / 3));
  const clock = (ticks: number[]) => ticks.map(s => new Date(s * 1000).toTimeString().slice(0, ticks.length > 1 && ticks[1]! - ticks[0]! < 60 ? 8 : 5));
  const plot = new uPlot({ width: 400, height: 170, cursor: { points: { size: 6 } }, legend: { show: series.length > 1, live: false }, scales: { x: { range: (_u, min, max) => [Math.min(min, max - 120), max] }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.15 : 1] } },
    axes: [{ ...axis, space: 80, values: (_u, ticks) => clock(ticks) }, { ...axis, size: 70, incrs: steps, values: (_u, ticks) => ticks.map(told) }],
    series: [{}, ...series.map(s => ({ label: s.label, stroke: s.colour, width: 2, fill: series.length === 1 ? `${s.colour}22` : undefined, points: { show: false }, value: (_u: uPlot, v: number | null) => v === null ? "–" : told(v) }))] }, data(at, series), box);
  const size = new ResizeObserver(() => { if (box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: 170 }); });
  size.observe(box);
  const sayLast = (s: Series[]) => { const v = s[0]?.values.at(-1); last.textContent = v === null || v === undefined ? "" : s.map(one => `${s.length > 1 ? `${one.label} ` : ""}${told(one.values.at(-1) ?? 0)}`).join(" · "); };
  sayLast(series);
  return { element, update: (t, s) => { plot.setData(data(t, s)); sayLast(s); }, end: () => { size.disconnect(); plot.destroy(); } };
}
