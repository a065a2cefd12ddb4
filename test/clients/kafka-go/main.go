// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with segmentio's kafka-go.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
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

func writer(codec kafka.Compression) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, Balancer: &kafka.Hash{}, Compression: codec,
		RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond, BatchBytes: 8 << 20}
}

func produce(with *kafka.Writer, from, count int, value func(int) []byte) error {
	var messages []kafka.Message
	for i := from; i < from+count; i++ {
		messages = append(messages, kafka.Message{Key: []byte(fmt.Sprint("key-", i)), Value: value(i)})
	}
	return with.WriteMessages(ctx, messages...)
}

func small(i int) []byte { return []byte(fmt.Sprint("value-", i)) }

func compressible(i int) []byte { return bytes.Repeat([]byte(fmt.Sprint("value-", i, " ")), 50) }

// The next `count` records of the group, committed.
func consume(count int) map[string][]byte {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, GroupID: group, Topic: topic,
		StartOffset: kafka.FirstOffset, MaxBytes: 8 << 20})
	got := map[string][]byte{}
	for len(got) < count {
		record, err := reader.FetchMessage(ctx)
		must(err)
		got[string(record.Key)] = record.Value
		must(reader.CommitMessages(ctx, record))
	}
	must(reader.Close())
	return got
}

func create(admin *kafka.Client) error {
	answer, err := admin.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 3,
		ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "4000000"}}}}})
	must(err)
	return answer.Errors[topic]
}

func administer(admin *kafka.Client) {
	must(create(admin))
	done("create")
	err := create(admin)
	check(errors.Is(err, kafka.TopicAlreadyExists), "created twice: %v", err)
	done("refuse")
	known, err := admin.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	must(err)
	check(len(known.Topics[0].Partitions) == 3, "partitions: %v", known.Topics)
	done("list")
	described, err := admin.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"max.message.bytes"}}}})
	must(err)
	entries := described.Resources[0].ConfigEntries
	check(len(entries) == 1 && entries[0].ConfigValue == "4000000", "described: %v", entries)
	done("describe")
}

func send() {
	plain := writer(0)
	must(produce(plain, 0, 300, small))
	done("produce")
	for i, codec := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		with := writer(codec)
		must(produce(with, 300+50*i, 50, compressible))
		must(with.Close())
	}
	done("codecs")
	must(produce(plain, 500, 1, func(int) []byte { return make([]byte, 3_000_000) }))
	done("big")
	err := produce(plain, 501, 1, func(int) []byte { return make([]byte, 5_000_000) })
	var refused kafka.WriteErrors
	check(errors.Is(err, kafka.MessageSizeTooLarge) || errors.As(err, &refused) && errors.Is(refused[0], kafka.MessageSizeTooLarge),
		"too large: %v", err)
	must(plain.Close())
	done("too-large")
}

func main() {
	admin := &kafka.Client{Addr: kafka.TCP(address)}
	administer(admin)
	send()

	got := consume(501)
	for i := 0; i < 300; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], small(i)), "record %d", i)
	}
	for i := 300; i < 500; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], compressible(i)), "record %d", i)
	}
	check(len(got["key-500"]) == 3_000_000, "the big record has %d bytes", len(got["key-500"]))
	done("group")

	again := writer(0)
	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	must(produce(again, 600, 10, small))
	must(again.Close())
	done("reconnect")
	got = consume(10)
	for i := 600; i < 610; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], small(i)), "record %d after the restart", i)
	}
	done("resume")

	described, err := admin.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	must(err)
	check(described.Groups[0].GroupState == "Empty", "the group is %s", described.Groups[0].GroupState)
	listed, err := admin.ListGroups(ctx, &kafka.ListGroupsRequest{})
	must(err)
	check(len(listed.Groups) > 0, "no group is listed")
	removed, err := admin.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	must(err)
	must(removed.Errors[group])
	done("groups")
	gone, err := admin.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	must(err)
	must(gone.Errors[topic])
	// The transport of before would answer from what it remembers.
	fresh := &kafka.Client{Addr: kafka.TCP(address), Transport: &kafka.Transport{}}
	known, err := fresh.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	must(err)
	check(errors.Is(known.Topics[0].Error, kafka.UnknownTopicOrPartition), "a deleted topic: %v", known.Topics[0].Error)
	done("delete")
}
