// SPDX-License-Identifier: Apache-2.0

//! What test/clients/README.md asks of every client, with rust-rdkafka, which builds a librdkafka of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};

const WAIT: Duration = Duration::from_secs(10);

fn done(step: &str) {
    println!("ok {step}");
}

fn small(i: usize) -> Vec<u8> {
    format!("value-{i}").into_bytes()
}

fn compressible(i: usize) -> Vec<u8> {
    format!("value-{i} ").repeat(50).into_bytes()
}

struct Story {
    address: String,
    topic: String,
    group: String,
}

impl Story {
    fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut made = ClientConfig::new();
        made.set("bootstrap.servers", &self.address);
        for (name, value) in more {
            made.set(*name, *value);
        }
        made
    }

    fn producer(&self, more: &[(&str, &str)]) -> FutureProducer {
        self.config(more).create().unwrap()
    }

    async fn produce(&self, with: &FutureProducer, from: usize, count: usize, value: fn(usize) -> Vec<u8>) {
        let mut sent = Vec::new();
        for i in from..from + count {
            let (key, value) = (format!("key-{i}"), value(i));
            sent.push(with.send_result(FutureRecord::to(&self.topic).key(&key).payload(&value)).unwrap());
        }
        for one in sent {
            one.await.unwrap().unwrap();
        }
    }

    /// The next `count` records of the group, committed; their values by key.
    async fn consume(&self, count: usize) -> BTreeMap<String, Vec<u8>> {
        let settings = [("group.id", self.group.as_str()), ("auto.offset.reset", "earliest"), ("enable.auto.commit", "false")];
        let reader: StreamConsumer = self.config(&settings).create().unwrap();
        reader.subscribe(&[&self.topic]).unwrap();
        let mut got = BTreeMap::new();
        while got.len() < count {
            let record = reader.recv().await.unwrap();
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            got.insert(key, record.payload().unwrap().to_vec());
        }
        reader.commit_consumer_state(CommitMode::Sync).unwrap();
        got
    }

    async fn create(&self, admin: &AdminClient<DefaultClientContext>) -> Result<String, RDKafkaErrorCode> {
        let wanted = NewTopic::new(&self.topic, 3, TopicReplication::Fixed(1)).set("max.message.bytes", "4000000");
        let mut answers = admin.create_topics(&[wanted], &AdminOptions::new()).await.unwrap();
        answers.remove(0).map_err(|(_, code)| code)
    }

    async fn administer(&self, admin: &AdminClient<DefaultClientContext>) {
        self.create(admin).await.unwrap();
        done("create");
        assert_eq!(self.create(admin).await, Err(RDKafkaErrorCode::TopicAlreadyExists));
        done("refuse");
        let known = admin.inner().fetch_metadata(Some(&self.topic), WAIT).unwrap();
        assert_eq!(known.topics()[0].partitions().len(), 3);
        done("list");
        let of = [ResourceSpecifier::Topic(&self.topic)];
        let described = admin.describe_configs(&of, &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        assert_eq!(described.get("max.message.bytes").unwrap().value.as_deref(), Some("4000000"));
        done("describe");
    }

    async fn send(&self, writer: &FutureProducer) {
        self.produce(writer, 0, 300, small).await;
        done("produce");
        for (n, codec) in ["gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
            let one = self.producer(&[("compression.codec", codec)]);
            self.produce(&one, 300 + 50 * n, 50, compressible).await;
        }
        done("codecs");
        let large = self.producer(&[("message.max.bytes", "8388608")]);
        self.produce(&large, 500, 1, |_| vec![0; 3_000_000]).await;
        done("big");
        let value = vec![0; 5_000_000];
        let refused = large.send(FutureRecord::to(&self.topic).key("key-501").payload(&value), WAIT).await;
        let code = match &refused {
            Err((KafkaError::MessageProduction(code), _)) => Some(*code),
            _ => None,
        };
        assert_eq!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge), "{refused:?}");
        done("too-large");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given: Vec<String> = std::env::args().collect();
    let story = Story { address: given[1].clone(), topic: given[2].clone(), group: format!("{}-group", given[2]) };
    let admin: AdminClient<_> = story.config(&[]).create().unwrap();
    let writer = story.producer(&[]);
    story.administer(&admin).await;
    story.send(&writer).await;

    let got = story.consume(501).await;
    for i in 0..500 {
        assert_eq!(got[&format!("key-{i}")], if i < 300 { small(i) } else { compressible(i) }, "record {i}");
    }
    assert_eq!(got["key-500"].len(), 3_000_000);
    done("group");

    println!("restart");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    story.produce(&writer, 600, 10, small).await;
    done("reconnect");
    let got = story.consume(10).await;
    for i in 600..610 {
        assert_eq!(got[&format!("key-{i}")], small(i), "record {i}");
    }
    done("resume");

    let listed = admin.inner().fetch_group_list(Some(&story.group), WAIT).unwrap();
    assert_eq!(listed.groups()[0].state(), "Empty");
    admin.delete_groups(&[&story.group], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    done("groups");
    admin.delete_topics(&[&story.topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let left = admin.inner().fetch_metadata(None, WAIT).unwrap();
    assert!(left.topics().iter().all(|one| one.name() != story.topic));
    done("delete");
}
