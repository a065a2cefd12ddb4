// SPDX-License-Identifier: Apache-2.0
// A message typed by hand, or a file: its rows one by one, or pieces of at most 1 MiB, with progress.
import { h, dialog, field, say, count, bytes } from "./dom";
import { post, type TopicDetail } from "./api";

const CHUNK = 1_000_000, ROWS_AT_ONCE = 2000;
interface Out { key?: string | null; value: string | null; encoding?: string; headers?: { key: string; value: string }[] }

function toBase64(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return btoa(text);
}

/** The elements of a JSON array as they are written there: parsed and told again, large numbers would be rounded. */
function elementsOf(text: string): string[] {
  const elements: string[] = [];
  let depth = 0, from = 0, isText = false;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (isText) {
      if (c === 92) at++; // a backslash and what it escapes
      else if (c === 34) isText = false;
    } else if (c === 34) isText = true;
    else if (c === 91 || c === 123) { if (++depth === 1) from = at + 1; }
    else if ((c === 44 && depth === 1) || ((c === 93 || c === 125) && --depth === 0)) { elements.push(text.slice(from, at).trim()); from = at + 1; }
  }
  return elements.length === 1 && elements[0] === "" ? [] : elements;
}

/** Rows of a JSON array, or lines. */
async function rowsOf(file: File): Promise<string[]> {
  const text = await file.text();
  if (!text.trimStart().startsWith("[")) return text.split(/\r?\n/).filter(line => line !== "");
  JSON.parse(text); // says what is wrong with it
  return elementsOf(text);
}

/** Rows together as JSON arrays, each as large as fits. */
function chunksOf(rows: string[]): string[] {
  const chunks: string[] = [], encoder = new TextEncoder();
  let now: string[] = [], size = 2;
  for (const row of rows) {
    const length = encoder.encode(row).length + 1;
    if (size + length > CHUNK && now.length) { chunks.push(`[${now.join(",")}]`); now = []; size = 2; }
    now.push(row);
    size += length;
  }
  if (now.length) chunks.push(`[${now.join(",")}]`);
  return chunks;
}

async function messagesOf(file: File, how: string): Promise<Out[]> {
  if (how === "rows") return (await rowsOf(file)).map(value => ({ value }));
  if (how === "chunks") return chunksOf(await rowsOf(file)).map(value => ({ value }));
  const data = new Uint8Array(await file.arrayBuffer()), out: Out[] = [];
  for (let at = 0; at < data.length; at += CHUNK) out.push({ value: toBase64(data.subarray(at, at + CHUNK)), encoding: "base64" });
  return out;
}

/** Until all are sent, or `signal` ends it: false. */
async function sendAll(topic: string, partition: number | undefined, messages: Out[], progress: HTMLProgressElement, said: HTMLElement, signal: AbortSignal): Promise<boolean> {
  progress.hidden = false;
  progress.max = messages.length;
  for (let at = 0; at < messages.length && !signal.aborted;) {
    let to = at, size = 0;
    const sizeOf = (m: Out) => m.value?.length ?? 0;
    do size += sizeOf(messages[to++]!); while (to < messages.length && to - at < ROWS_AT_ONCE && size + sizeOf(messages[to]!) < CHUNK);
    await post(`/topics/${encodeURIComponent(topic)}/messages`, { partition, messages: messages.slice(at, to) });
    at = to;
    progress.value = at;
    said.textContent = `${count(at)} of ${count(messages.length)} messages sent`;
  }
  if (signal.aborted) say(`Cancelled after ${count(progress.value)} of ${count(messages.length)} messages`, "error");
  return !signal.aborted;
}

export function produce(topic: TopicDetail, after: () => void) {
  const partition = h("select", null, h("option", { value: "" }, "by key"), topic.partitions.map(p => h("option", { value: p.partition }, p.partition)));
  const key = h("input", { type: "text", placeholder: "none" }), text = h("textarea", { rows: 7, placeholder: '{"id": 1}' });
  const tombstone = h("input", { type: "checkbox", onchange: () => { text.disabled = tombstone.checked; } });
  const headers = h("textarea", { rows: 2, placeholder: "name=value, one a line" });
  const file = h("input", { type: "file" });
  const how = h("select", null, h("option", { value: "rows" }, "one message a row (a JSON array's, or lines)"), h("option", { value: "chunks" }, "rows in chunks of at most 1 MiB"), h("option", { value: "bytes" }, "its bytes in pieces of at most 1 MiB"));
  const progress = h("progress", { hidden: true, "aria-label": "Sent" }), said = h("p", { class: "faint", role: "status" });
  file.addEventListener("change", () => { const f = file.files?.[0]; said.textContent = f ? `${f.name}, ${bytes(f.size)}` : ""; });
  const sending = new AbortController();
  const box = dialog(`Produce to ${topic.name}`, [field("Partition", partition), field("Key", key), field("Value", text), h("label", { class: "check" }, tombstone, "null: a tombstone, which compaction takes as a deletion of its key"), field("Headers", headers),
    h("fieldset", null, h("legend", null, "or a file"), field("File", file), field("Split", how)), progress, said], "Send", async () => {
    const to = partition.value === "" ? undefined : Number(partition.value), chosen = file.files?.[0];
    if (chosen) {
      if (await sendAll(topic.name, to, await messagesOf(chosen, how.value), progress, said, sending.signal)) say(`${chosen.name} is in ${topic.name}`);
    } else {
      const pairs = headers.value.split("\n").filter(line => line.includes("=")).map(line => ({ key: line.slice(0, line.indexOf("=")).trim(), value: line.slice(line.indexOf("=") + 1) }));
      const answer = await post<{ partitions: { partition: number; baseOffset: number }[] }>(`/topics/${encodeURIComponent(topic.name)}/messages`, { partition: to, messages: [{ key: key.value === "" ? null : key.value, value: tombstone.checked ? null : text.value, headers: pairs }] });
      const place = answer.partitions[0];
      say(place ? `Stored in partition ${place.partition} at offset ${place.baseOffset}` : "Stored");
    }
    after();
    return true;
  });
  box.addEventListener("close", () => sending.abort());
}
