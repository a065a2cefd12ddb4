// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with platformatic's client.
import assert from "node:assert";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Admin, Consumer, Producer, stringSerializers, stringDeserializers } from "@platformatic/kafka";

const [address, topic] = process.argv.slice(2);
const group = `${topic}-group`;
const base = { clientId: "platformatic", bootstrapBrokers: [address] };

const done = (step) => console.log("ok " + step);
const small = (i) => `value-${i}`;
const compressible = (i) => `value-${i} `.repeat(50);
const messages = (from, count, value) =>
  Array.from({ length: count }, (_, n) => ({ topic, key: `key-${from + n}`, value: value(from + n) }));

// True when an error or one that it was made of is Kafka's `id`.
function means(error, id) {
  return error.apiId === id || [...(error.errors ?? []), error.cause].some((inner) => inner && means(inner, id));
}

// The next `count` records of the group, committed; their values by key.
async function consume(count) {
  const consumer = new Consumer({ ...base, groupId: group, deserializers: stringDeserializers, maxBytes: 16 << 20 });
  const stream = await consumer.consume({ topics: [topic], mode: "committed", fallbackMode: "earliest", autocommit: false });
  const got = new Map();
  for await (const message of stream) {
    got.set(message.key, message.value);
    await message.commit();
    if (got.size === count) break;
  }
  await consumer.close(true);
  return got;
}

async function administer(admin) {
  const configs = [{ name: "max.message.bytes", value: "4000000" }];
  const settings = { topics: [topic], partitions: 3, replicas: 1, configs };
  const created = await admin.createTopics(settings);
  assert.strictEqual(created[0].partitions, 3);
  done("create");
  await assert.rejects(admin.createTopics(settings), (error) => means(error, "TOPIC_ALREADY_EXISTS"));
  done("refuse");
  assert((await admin.listTopics()).includes(topic));
  const known = await admin.metadata({ topics: [topic] });
  assert.strictEqual(known.topics.get(topic).partitionsCount, 3);
  done("list");
  const described = await admin.describeConfigs({
    resources: [{ resourceType: 2, resourceName: topic, configurationKeys: ["max.message.bytes"] }],
  });
  assert.strictEqual(described[0].configs[0].value, "4000000");
  done("describe");
}

async function send(producer) {
  await producer.send({ messages: messages(0, 300, small) });
  done("produce");
  for (const [n, compression] of ["gzip", "snappy", "lz4", "zstd"].entries())
    await producer.send({ messages: messages(300 + 50 * n, 50, compressible), compression });
  done("codecs");
  await producer.send({ messages: messages(500, 1, () => "x".repeat(3000000)) });
  done("big");
  await assert.rejects(producer.send({ messages: messages(501, 1, () => "x".repeat(5000000)) }), (error) =>
    means(error, "MESSAGE_TOO_LARGE"),
  );
  done("too-large");
}

const admin = new Admin(base);
const producer = new Producer({ ...base, serializers: stringSerializers });
await administer(admin);
await send(producer);

let got = await consume(501);
for (let i = 0; i < 500; i++) assert.strictEqual(got.get(`key-${i}`), i < 300 ? small(i) : compressible(i));
assert.strictEqual(got.get("key-500").length, 3000000);
done("group");

console.log("restart");
const input = createInterface({ input: process.stdin });
await once(input, "line");
input.close();
await producer.send({ messages: messages(600, 10, small) });
done("reconnect");
got = await consume(10);
for (let i = 600; i < 610; i++) assert.strictEqual(got.get(`key-${i}`), small(i));
done("resume");

const groups = await admin.describeGroups({ groups: [group] });
assert.strictEqual(groups.get(group).state, "Empty");
assert((await admin.listGroups()).has(group));
await admin.deleteGroups({ groups: [group] });
done("groups");
await admin.deleteTopics({ topics: [topic] });
assert(!(await admin.listTopics()).includes(topic));
done("delete");
await producer.close();
await admin.close();
process.exit(0);
