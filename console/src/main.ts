// SPDX-License-Identifier: Apache-2.0
// The frame around the pages, and which page the path asks for.
import "uplot/dist/uPlot.min.css";
import "./console.css";
import { h, fill } from "./dom";
import { askEarly, open, session } from "./api";
import { brokerPage, groupPage, groupsPage, topicPage, topicsPage } from "./pages";
import { firstQuestion, forget, saved } from "./messages";

const place = h("main", { id: "main", tabindex: -1 });
const nav = h("nav", { class: "side", "aria-label": "Console" });
const told = h("div", { id: "told", role: "status", "aria-live": "polite" });
let now = new AbortController();

function page(path: string) {
  const [kind = "", name, tab = ""] = path.split("/").filter(Boolean).map(decodeURIComponent);
  if (kind === "groups") return name === undefined ? groupsPage : groupPage(name);
  if (kind === "broker") return brokerPage;
  if (name !== undefined) return topicPage(name, tab);
  return topicsPage;
}

function drawNav() {
  const here = location.pathname === "/" ? "/topics" : location.pathname;
  const item = (href: string, text: string) => h("a", { href, "aria-current": here.startsWith(href) ? "page" : null }, text);
  const stars = JSON.parse(localStorage.getItem("ottla.stars") ?? "[]") as string[], views = saved();
  const scheme = h("button", { type: "button", class: "icon", "aria-label": "Light or dark", onclick: () => { const next = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark"; theme(next); localStorage.setItem("ottla.theme", next); go(); } }, "◐");
  fill(nav, h("div", { class: "brand" }, h("a", { href: "/topics" }, h("img", { src: "/favicon.svg", alt: "", width: 24, height: 24 }), "Ottla"), scheme), item("/topics", "Topics"), item("/groups", "Groups"), item("/broker", "Broker"),
    stars.length ? h("div", { class: "saved" }, h("h2", null, "Favourites"), stars.map(name => h("a", { href: `/topics/${encodeURIComponent(name)}` }, name))) : null,
    views.length ? h("div", { class: "saved" }, h("h2", null, "Saved views"), views.map(v => h("span", { class: "view" }, h("a", { href: v.url }, v.name), h("button", { type: "button", class: "icon", "aria-label": `Forget ${v.name}`, onclick: () => forget(v.name) }, "✕")))) : null,
    session.readOnly ? h("p", { class: "faint" }, "read-only") : null);
}

function theme(name: string) {
  document.documentElement.dataset["theme"] = name;
}

function go() {
  now.abort();
  now = new AbortController();
  const mine = now;
  drawNav();
  const name = location.pathname.split("/").filter(Boolean).map(decodeURIComponent).slice(0, 2).join(" · ");
  document.title = name ? `${name} · Ottla` : "Ottla";
  page(location.pathname)(place, mine.signal).catch((reason: Error) => {
    if (mine.signal.aborted) return;
    const again = setTimeout(go, 3000);
    mine.signal.addEventListener("abort", () => clearTimeout(again));
    fill(place, h("div", { class: "empty", role: "alert" }, h("h1", null, "That did not work"), h("p", null, reason.message), h("p", { class: "faint" }, "It is tried again every few seconds."), h("p", null, h("a", { href: "/topics" }, "All topics"))));
  });
}

document.addEventListener("click", event => {
  const target = (event.target as Element).closest("a");
  if (!target || target.origin !== location.origin || target.pathname.startsWith("/api/") || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  history.pushState(null, "", target.href);
  go();
  place.focus();
});
document.addEventListener("keydown", event => {
  if (event.key === "/" && !(event.target as Element).closest("input, textarea, select")) {
    const search = document.querySelector<HTMLInputElement>("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  }
});
addEventListener("popstate", go);
addEventListener("ottla-again", go);
addEventListener("ottla-saved", drawNav);

theme(localStorage.getItem("ottla.theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
document.body.append(h("a", { class: "skip", href: "#main", onclick: (event: Event) => { event.preventDefault(); event.stopPropagation(); place.focus(); } }, "Skip to content"), nav, place, told);
const [kind, name, tab] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
if (kind === "topics" && name !== undefined) {
  askEarly(`/topics/${encodeURIComponent(name)}`);
  const question = tab === undefined ? firstQuestion(name) : null;
  if (question !== null) askEarly(question);
}
open().then(go, (reason: Error) => fill(place, h("div", { class: "empty", role: "alert" }, h("h1", null, "The broker does not answer"), h("p", null, reason.message))));
