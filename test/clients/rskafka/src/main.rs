// SPDX-License-Identifier: Apache-2.0

//! What test/clients/README.md asks of every client, with rskafka, which knows topics and partitions but no groups.

use std::collections::BTreeMap;

use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;

const PARTITIONS: i32 = 3;

fn done(step: &str) {
    println!("ok {step}");
}

fn small(i: usize) -> Vec<u8> {
    format!("value-{i}").into_bytes()
}

fn compressible(i: usize) -> Vec<u8> {
    format!("value-{i} ").repeat(50).into_bytes()
}

/// Of the record with this number: it goes to partition `i % 3`.
fn record(i: usize, value: Vec<u8>) -> Record {
    let key = Some(format!("key-{i}").into_bytes());
    Record { key, value: Some(value), headers: BTreeMap::new(), timestamp: chrono::Utc::now() }
}

async fn produce(to: &[PartitionClient], from: usize, count: usize, codec: Compression, value: fn(usize) -> Vec<u8>) {
    for (partition, client) in to.iter().enumerate() {
        let records: Vec<_> =
            (from..from + count).filter(|i| i % to.len() == partition).map(|i| record(i, value(i))).collect();
        let expected = records.len();
        assert_eq!(client.produce(records, codec).await.unwrap().len(), expected);
    }
}

/// Every record of the topic, by key.
async fn read_all(from: &[PartitionClient]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut got = BTreeMap::new();
    for client in from {
        let mut offset = client.get_offset(OffsetAt::Earliest).await.unwrap();
        let end = client.get_offset(OffsetAt::Latest).await.unwrap();
        while offset < end {
            let (records, _) = client.fetch_records(offset, 1..8_000_000, 1000).await.unwrap();
            for one in records {
                assert_eq!(one.offset, offset);
                offset += 1;
                got.insert(one.record.key.unwrap(), one.record.value.unwrap());
            }
        }
    }
    got
}

async fn send(partitions: &[PartitionClient]) {
    produce(partitions, 0, 300, Compression::NoCompression, small).await;
    done("produce");
    let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (n, codec) in codecs.into_iter().enumerate() {
        produce(partitions, 300 + 50 * n, 50, codec, compressible).await;
    }
    done("codecs");
    partitions[0].produce(vec![record(500, vec![0; 900_000])], Compression::NoCompression).await.unwrap();
    done("big");
    let refused = partitions[0].produce(vec![record(501, vec![0; 2_000_000])], Compression::NoCompression).await;
    let too_large = matches!(&refused, Err(Error::ServerError { protocol_error: ProtocolError::MessageTooLarge, .. }));
    assert!(too_large, "{refused:?}");
    done("too-large");
}

async fn partitions_of(client: &Client, topic: &str) -> Vec<PartitionClient> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        all.push(client.partition_client(topic, partition, UnknownTopicHandling::Retry).await.unwrap());
    }
    all
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given: Vec<String> = std::env::args().collect();
    let (address, topic) = (given[1].clone(), given[2].as_str());
    let client = ClientBuilder::new(vec![address]).build().await.unwrap();
    let admin = client.controller_client().unwrap();
    admin.create_topic(topic, PARTITIONS, 1, 5000).await.unwrap();
    done("create");
    let again = admin.create_topic(topic, PARTITIONS, 1, 5000).await;
    let exists = matches!(&again, Err(Error::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. }));
    assert!(exists, "{again:?}");
    done("refuse");
    let listed = client.list_topics().await.unwrap();
    assert_eq!(listed.iter().find(|one| one.name == topic).unwrap().partitions.len(), PARTITIONS as usize);
    done("list");
    // Nor can a topic be made with settings, so that its limit is the default, a MiB.
    println!("cannot describe: the library has no call for DescribeConfigs");

    let partitions = partitions_of(&client, topic).await;
    send(&partitions).await;
    for step in ["group", "resume", "groups"] {
        println!("cannot {step}: the library has no groups");
    }
    println!("restart");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    produce(&partitions, 600, 10, Compression::NoCompression, small).await;
    let got = read_all(&partitions).await;
    assert_eq!(got.len(), 511);
    for i in (0..500).chain(600..610) {
        let expected = if (300..500).contains(&i) { compressible(i) } else { small(i) };
        assert_eq!(got[format!("key-{i}").as_bytes()], expected, "record {i}");
    }
    assert_eq!(got[&b"key-500"[..]].len(), 900_000);
    done("reconnect");

    admin.delete_topic(topic, 5000).await.unwrap();
    assert!(client.list_topics().await.unwrap().iter().all(|one| one.name != topic));
    done("delete");
}
