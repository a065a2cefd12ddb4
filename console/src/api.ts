// SPDX-License-Identifier: Apache-2.0
// The console knows only what /api/v1 tells; openapi.json describes it.
export interface Bytes { size: number; encoding: "utf8" | "base64"; text: string; truncated: boolean }
export interface Message {
  partition: number; offset: number; timestamp: number; timestampType: string; sizeBytes: number;
  key: Bytes | null; value: Bytes | null; headers: { key: string; value: Bytes | null }[];
  batch: { baseOffset: number; count: number; sizeBytes: number; codec: string; leaderEpoch: number; producerId: number; producerEpoch: number; baseSequence: number; transactional: boolean };
}
export interface Page { order: string; messages: Message[]; cursor: string | null; partitions: { partition: number; startOffset: number; endOffset: number; fromOffset: number; toOffset: number }[] }
export interface Topic { name: string; internal: boolean; partitions: number; replicationFactor: number; underReplicated: number; messages: number; writtenTotal: number; bytesInTotal: number; bytesOutTotal: number; sizeBytes: number; offlinePartitions: number }
export interface Config { name: string; value: string | null; source: string; type: string; readOnly: boolean; sensitive: boolean; default: string | null; documentation: string | null }
export interface Partition { partition: number; leader: number; leaderEpoch: number; replicas: number[]; isr: number[]; startOffset?: number; endOffset?: number; highWatermark?: number; sizeBytes?: number; offline?: boolean }
export interface TopicDetail extends Omit<Topic, "partitions"> { at: number; id: string; partitions: Partition[]; configs: Config[] }
export interface Group { id: string; state: string; type: string; protocolType: string; lag: number | null }
export interface Member { id: string; instanceId: string | null; clientId: string; host: string; assignment: { topic: string; partitions: number[] }[] }
export interface GroupDetail { id: string; state: string; type: string; assignor?: string; members?: Member[]; lag: number; offsets: { topic: string; partition: number; committed: number; start: number | null; end: number | null; lag: number | null; metadata: string | null }[] }
export interface Broker {
  at: number; version: string; nodeId: number; clusterId: string; durability: string; ready: boolean; failed: boolean; requests: number; requestErrors: number;
  bytesIn: number; bytesOut: number; connections: number; topics: number; partitions: number; offlinePartitions: number; flushRounds: number; flushFailures: number;
  flushP50Ms: number; flushP99Ms: number; residentBytes: number; openFiles: number; startedAt: number; storedBytes: number; writtenTotal: number;
  apis: { name: string; requests: number; p50Ms: number; p99Ms: number }[]; clients: { name: string; version: string; connections: number; seenAt: number }[]; disks: { path: string; freeBytes: number }[];
  listeners: { name: string; host: string; port: number }[]; features: { name: string; min: number; max: number; level: number }[]; configs: Config[]; log: string[];
  history: { stepMs: number; at: number[]; bytesIn: number[]; bytesOut: number[]; requests: number[]; messages: number[]; connections: number[]; residentBytes: number[]; flushP99Us: number[]; groups: { id: string; lag: number[] }[] };
}
export interface Progress { hits: number; scanned: number; scannedBytes: number; skipped: number; elapsedMs: number; share?: number; reason?: string }

export let session = { token: "", readOnly: false, version: "" };

async function failure(answer: Response): Promise<Error> {
  const body = await answer.json().catch(() => null) as { message?: string } | null;
  return new Error(body?.message ?? `the broker answers ${answer.status}`);
}

/** Asked before anybody waits for it, so that what a page needs comes at once and not one after the other; get() takes it. */
const early = new Map<string, Promise<Response>>();
export function askEarly(path: string) {
  const answer = fetch(`/api/v1${path}`);
  answer.catch(() => undefined); // who takes it is told
  early.set(path, answer);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const asked = early.get(path);
  early.delete(path);
  const answer = await (asked ?? fetch(`/api/v1${path}`, { signal }));
  if (!answer.ok) throw await failure(answer);
  return await answer.json() as T;
}

/** The token is that of the broker's run: after a restart the new one is asked for. */
export async function post<T>(path: string, body: unknown): Promise<T> {
  const send = () => fetch(`/api/v1${path}`, { method: "POST", headers: { "Content-Type": "application/json", "X-Ottla-Token": session.token }, body: JSON.stringify(body) });
  let answer = await send();
  if (answer.status === 403 && (await answer.clone().json().catch(() => ({})) as { error?: string }).error === "TOKEN") {
    await open();
    answer = await send();
  }
  if (!answer.ok) throw await failure(answer);
  return await answer.json() as T;
}

/** Where clients of this machine find the broker. */
export async function bootstrap(): Promise<string> {
  const { listeners } = await get<Broker>("/broker"), listener = listeners.find(l => l.name !== "CONTROLLER") ?? listeners[0];
  return `${!listener || listener.host === "" || listener.host === "0.0.0.0" ? "127.0.0.1" : listener.host}:${listener?.port ?? 9092}`;
}

export async function open() {
  session = await get("/session");
}

export async function value(topic: string, message: Message, part: "key" | "value", signal?: AbortSignal): Promise<Uint8Array> {
  const answer = await fetch(`/api/v1/topics/${encodeURIComponent(topic)}/messages/${message.partition}/${message.offset}/value?part=${part}`, { signal });
  if (!answer.ok) throw await failure(answer);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Server-sent events by fetch, so that a refusal can be read and a stream cancelled. */
export async function stream(path: string, signal: AbortSignal, on: (event: string, data: unknown) => void) {
  const answer = await fetch(`/api/v1${path}`, { signal });
  if (!answer.ok || !answer.body) throw await failure(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value: part, done } = await reader.read();
    if (done) return;
    text += part;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const [first, second] = text.slice(0, end).split("\n");
      if (first?.startsWith("event: ") && second?.startsWith("data: ")) on(first.slice(7), JSON.parse(second.slice(6)));
    }
  }
}
