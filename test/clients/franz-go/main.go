// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with franz-go: kgo for records, kadm for topics and groups.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	address, topic = os.Args[1], os.Args[2]
	group          = topic + "-group"
	ctx, _         = context.WithTimeout(context.Background(), 90*time.Second)
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, format string, about ...any) {
	if !holds {
		panic(fmt.Sprintf(format, about...))
	}
}

func done(step string) { fmt.Println("ok", step) }

func client(more ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, more...)...)
	must(err)
	return made
}

func produce(with *kgo.Client, from, count int, value func(int) []byte) {
	var records []*kgo.Record
	for i := from; i < from+count; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint("key-", i)), Value: value(i)})
	}
	must(with.ProduceSync(ctx, records...).FirstErr())
}

func small(i int) []byte { return []byte(fmt.Sprint("value-", i)) }

func compressible(i int) []byte { return bytes.Repeat([]byte(fmt.Sprint("value-", i, " ")), 50) }

// The next `count` records of the group, committed; their keys.
func consume(count int) map[string][]byte {
	reader := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit())
	defer reader.Close()
	got := map[string][]byte{}
	for len(got) < count {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err0())
		fetches.EachError(func(_ string, _ int32, err error) { panic(err) })
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Key)] = r.Value })
	}
	must(reader.CommitUncommittedOffsets(ctx))
	return got
}

func administer(admin *kadm.Client) {
	limit := "4000000"
	_, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"max.message.bytes": &limit}, topic)
	must(err)
	done("create")
	_, err = admin.CreateTopic(ctx, 3, 1, nil, topic)
	check(errors.Is(err, kerr.TopicAlreadyExists), "created twice: %v", err)
	done("refuse")
	topics, err := admin.ListTopics(ctx)
	must(err)
	check(len(topics[topic].Partitions) == 3, "partitions: %v", topics[topic].Partitions)
	done("list")
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	must(err)
	for _, config := range configs[0].Configs {
		if config.Key == "max.message.bytes" {
			check(config.MaybeValue() == limit, "%s=%s", config.Key, config.MaybeValue())
			done("describe")
		}
	}
}

func send(writer *kgo.Client) {
	produce(writer, 0, 300, small)
	done("produce")
	codecs := []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, codec := range codecs {
		with := client(kgo.ProducerBatchCompression(codec))
		produce(with, 300+50*i, 50, compressible)
		with.Close()
	}
	done("codecs")
	large := client(kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	produce(large, 500, 1, func(int) []byte { return make([]byte, 3_000_000) })
	done("big")
	err := large.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 5_000_000)}).FirstErr()
	check(errors.Is(err, kerr.MessageTooLarge), "too large: %v", err)
	large.Close()
	done("too-large")
}

func main() {
	writer := client()
	admin := kadm.NewClient(writer)
	administer(admin)
	send(writer)

	got := consume(501)
	for i := 0; i < 300; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], small(i)), "record %d", i)
	}
	for i := 300; i < 500; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], compressible(i)), "record %d", i)
	}
	check(len(got["key-500"]) == 3_000_000, "the big record has %d bytes", len(got["key-500"]))
	done("group")

	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	produce(writer, 600, 10, small)
	done("reconnect")
	got = consume(10)
	for i := 600; i < 610; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], small(i)), "record %d after the restart", i)
	}
	done("resume")

	// Its connections of before the restart had carried nothing yet, and franz-go does not trust such a one again.
	fresh := client()
	defer fresh.Close()
	admin = kadm.NewClient(fresh)
	groups, err := admin.DescribeGroups(ctx, group)
	must(err)
	check(groups[group].State == "Empty", "the group is %s", groups[group].State)
	listed, err := admin.ListGroups(ctx)
	must(err)
	check(listed[group].Group == group, "the group is not listed")
	removed, err := admin.DeleteGroups(ctx, group)
	must(err)
	must(removed.Error())
	done("groups")
	_, err = admin.DeleteTopic(ctx, topic)
	must(err)
	for {
		topics, err := admin.ListTopics(ctx, topic)
		must(err)
		if errors.Is(topics[topic].Err, kerr.UnknownTopicOrPartition) {
			break
		}
		check(topics[topic].Err == nil, "a deleted topic: %v", topics[topic].Err)
		time.Sleep(100 * time.Millisecond) // it knows the metadata of before for a while
	}
	done("delete")
	writer.Close()
}
