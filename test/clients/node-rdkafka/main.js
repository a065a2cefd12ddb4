// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with node-rdkafka, which brings a librdkafka of its own.
const Kafka = require("node-rdkafka");
const assert = require("assert");
const readline = require("readline");

const [address, topic] = process.argv.slice(2);
const group = `${topic}-group`;
const base = { "metadata.broker.list": address };

const TOPIC_ALREADY_EXISTS = 36;

const done = (step) => console.log("ok " + step);
const small = (i) => `value-${i}`;
const compressible = (i) => `value-${i} `.repeat(50);
const call = (object, name, ...given) =>
  new Promise((resolve, reject) => object[name](...given, (error, value) => (error ? reject(error) : resolve(value))));

async function connected(client) {
  await new Promise((resolve, reject) => {
    client.once("ready", resolve);
    client.once("connection.failure", reject);
    client.connect();
  });
  return client;
}

const producer = (more) => connected(new Kafka.HighLevelProducer({ ...base, ...more }));

async function produce(writer, from, count, value) {
  const sent = [];
  for (let i = from; i < from + count; i++)
    sent.push(call(writer, "produce", topic, null, Buffer.from(value(i)), `key-${i}`, Date.now()));
  await Promise.all(sent);
}

// The next `count` records of the group, committed; their values by key.
async function consume(count) {
  const reader = await connected(
    new Kafka.KafkaConsumer({ ...base, "group.id": group, "enable.auto.commit": false }, { "auto.offset.reset": "earliest" }),
  );
  const got = new Map();
  await new Promise((resolve) => {
    reader.on("data", (message) => {
      got.set(message.key.toString(), message.value);
      if (got.size === count) resolve();
    });
    reader.subscribe([topic]);
    reader.consume();
  });
  reader.commitSync();
  await call(reader, "disconnect");
  return got;
}

async function administer(admin) {
  const settings = { topic, num_partitions: 3, replication_factor: 1, config: { "max.message.bytes": "4000000" } };
  await call(admin, "createTopic", settings);
  done("create");
  await assert.rejects(call(admin, "createTopic", settings), (error) => error.code === TOPIC_ALREADY_EXISTS);
  done("refuse");
}

async function send(writer) {
  const known = await call(writer, "getMetadata", { topic, timeout: 10000 });
  assert.strictEqual(known.topics.find((one) => one.name === topic).partitions.length, 3);
  done("list");
  console.log("cannot describe: the library has no call for DescribeConfigs");
  await produce(writer, 0, 300, small);
  done("produce");
  for (const [n, codec] of ["gzip", "snappy", "lz4", "zstd"].entries()) {
    const one = await producer({ "compression.codec": codec });
    await produce(one, 300 + 50 * n, 50, compressible);
    await call(one, "disconnect");
  }
  done("codecs");
  const large = await producer({ "message.max.bytes": 8 << 20 });
  await produce(large, 500, 1, () => Buffer.alloc(3000000));
  done("big");
  await assert.rejects(produce(large, 501, 1, () => Buffer.alloc(5000000)), /message size too large/i);
  await call(large, "disconnect");
  done("too-large");
}

async function main() {
  const admin = Kafka.AdminClient.create(base);
  const writer = await producer({});
  await administer(admin);
  await send(writer);

  let got = await consume(501);
  for (let i = 0; i < 500; i++)
    assert.strictEqual(got.get(`key-${i}`).toString(), i < 300 ? small(i) : compressible(i));
  assert.strictEqual(got.get("key-500").length, 3000000);
  done("group");

  console.log("restart");
  const input = readline.createInterface({ input: process.stdin });
  await new Promise((resolve) => input.once("line", resolve));
  input.close();
  await produce(writer, 600, 10, small);
  done("reconnect");
  got = await consume(10);
  for (let i = 600; i < 610; i++) assert.strictEqual(got.get(`key-${i}`).toString(), small(i));
  done("resume");

  console.log("cannot groups: the library has no calls for groups in its admin client");
  await call(admin, "deleteTopic", topic);
  const left = await call(writer, "getMetadata", { timeout: 10000 });
  assert(!left.topics.some((one) => one.name === topic));
  done("delete");
  await call(writer, "disconnect");
  admin.disconnect();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
