// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with kafkajs and the codecs that its own pages name.
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require("kafkajs");
const assert = require("assert");
const readline = require("readline");

CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");

const [address, topic] = process.argv.slice(2);
const group = `${topic}-group`;
const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });

const done = (step) => console.log("ok " + step);
const small = (i) => `value-${i}`;
const compressible = (i) => `value-${i} `.repeat(50);
const messages = (from, count, value) =>
  Array.from({ length: count }, (_, n) => ({ key: `key-${from + n}`, value: value(from + n) }));

// The next `count` records of the group, committed; their values by key.
async function consume(count) {
  const consumer = kafka.consumer({ groupId: group, maxBytesPerPartition: 8 << 20 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const got = new Map();
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error));
    consumer
      .run({
        eachMessage: async ({ message }) => {
          got.set(message.key.toString(), message.value);
          if (got.size === count) resolve();
        },
      })
      .catch(reject);
  });
  await consumer.disconnect(); // commits what it has worked on
  return got;
}

async function administer(admin) {
  const settings = { topic, numPartitions: 3, configEntries: [{ name: "max.message.bytes", value: "4000000" }] };
  assert.strictEqual(await admin.createTopics({ topics: [settings] }), true);
  done("create");
  assert.strictEqual(await admin.createTopics({ topics: [settings] }), false); // it exists
  done("refuse");
  assert((await admin.listTopics()).includes(topic));
  const known = await admin.fetchTopicMetadata({ topics: [topic] });
  assert.strictEqual(known.topics[0].partitions.length, 3);
  done("list");
  const described = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: topic, configNames: ["max.message.bytes"] }],
  });
  assert.strictEqual(described.resources[0].configEntries[0].configValue, "4000000");
  done("describe");
}

async function send(producer) {
  await producer.send({ topic, messages: messages(0, 300, small) });
  done("produce");
  for (const [n, compression] of [CompressionTypes.GZIP, CompressionTypes.Snappy].entries())
    await producer.send({ topic, compression, messages: messages(300 + 100 * n, 100, compressible) });
  done("codecs");
  await producer.send({ topic, messages: messages(500, 1, () => Buffer.alloc(3000000)) });
  done("big");
  await assert.rejects(producer.send({ topic, messages: messages(501, 1, () => Buffer.alloc(5000000)) }), (error) => {
    assert.strictEqual((error.cause || error).type || error.type, "MESSAGE_TOO_LARGE");
    return true;
  });
  done("too-large");
}

async function main() {
  const admin = kafka.admin();
  const producer = kafka.producer();
  await admin.connect();
  await producer.connect();
  await administer(admin);
  await send(producer);

  let got = await consume(501);
  for (let i = 0; i < 500; i++)
    assert.strictEqual(got.get(`key-${i}`).toString(), i < 300 ? small(i) : compressible(i));
  assert.strictEqual(got.get("key-500").length, 3000000);
  done("group");

  console.log("restart");
  const input = readline.createInterface({ input: process.stdin });
  await new Promise((resolve) => input.once("line", resolve));
  input.close();
  await producer.send({ topic, messages: messages(600, 10, small) });
  done("reconnect");
  got = await consume(10);
  for (let i = 600; i < 610; i++) assert.strictEqual(got.get(`key-${i}`).toString(), small(i));
  done("resume");

  const described = await admin.describeGroups([group]);
  assert.strictEqual(described.groups[0].state, "Empty");
  assert((await admin.listGroups()).groups.some((one) => one.groupId === group));
  await admin.deleteGroups([group]);
  done("groups");
  await admin.deleteTopics({ topics: [topic] });
  assert(!(await admin.listTopics()).includes(topic));
  done("delete");
  await producer.disconnect();
  await admin.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
