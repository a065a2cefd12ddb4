// SPDX-License-Identifier: Apache-2.0

// What test/clients/README.md asks of every client, with sarama.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
)

var (
	brokers = []string{os.Args[1]}
	topic   = os.Args[2]
	group   = topic + "-group"
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

// The default settings, and what sarama asks of a synchronous producer.
func settings() *sarama.Config {
	made := sarama.NewConfig()
	made.Producer.Return.Successes = true
	return made
}

func message(i int, value []byte) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint("key-", i)), Value: sarama.ByteEncoder(value)}
}

func produce(with *sarama.Config, from, count int, value func(int) []byte) error {
	writer, err := sarama.NewSyncProducer(brokers, with)
	must(err)
	defer writer.Close()
	return produceBy(writer, from, count, value)
}

func produceBy(writer sarama.SyncProducer, from, count int, value func(int) []byte) error {
	var messages []*sarama.ProducerMessage
	for i := from; i < from+count; i++ {
		messages = append(messages, message(i, value(i)))
	}
	return writer.SendMessages(messages)
}

func small(i int) []byte { return []byte(fmt.Sprint("value-", i)) }

func compressible(i int) []byte { return bytes.Repeat([]byte(fmt.Sprint("value-", i, " ")), 50) }

// A member of the group that ends its session once it has seen `count` records.
type member struct {
	count int
	got   chan *sarama.ConsumerMessage
	stop  context.CancelFunc
}

func (m *member) Setup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case record, open := <-claim.Messages():
			if !open {
				return nil
			}
			session.MarkMessage(record, "")
			m.got <- record
			if len(m.got) == m.count {
				m.stop()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func consume(count int) map[string][]byte {
	with := settings()
	with.Consumer.Offsets.Initial = sarama.OffsetOldest
	joined, err := sarama.NewConsumerGroup(brokers, group, with)
	must(err)
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	one := &member{count, make(chan *sarama.ConsumerMessage, count), stop}
	must(joined.Consume(ctx, []string{topic}, one))
	must(joined.Close())
	close(one.got)
	got := map[string][]byte{}
	for record := range one.got {
		got[string(record.Key)] = record.Value
	}
	check(len(got) == count, "%d of %d records", len(got), count)
	return got
}

func administer(admin sarama.ClusterAdmin) {
	limit := "4000000"
	detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{"max.message.bytes": &limit}}
	must(admin.CreateTopic(topic, detail, false))
	done("create")
	err := admin.CreateTopic(topic, detail, false)
	check(errors.Is(err, sarama.ErrTopicAlreadyExists), "created twice: %v", err)
	done("refuse")
	topics, err := admin.ListTopics()
	must(err)
	check(topics[topic].NumPartitions == 3, "partitions: %d", topics[topic].NumPartitions)
	done("list")
	configs, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"max.message.bytes"}})
	must(err)
	check(len(configs) == 1 && configs[0].Value == limit, "described: %v", configs)
	done("describe")
}

func send() {
	must(produce(settings(), 0, 300, small))
	done("produce")
	codecs := []sarama.CompressionCodec{sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD}
	for i, codec := range codecs {
		with := settings()
		with.Producer.Compression = codec
		must(produce(with, 300+50*i, 50, compressible))
	}
	done("codecs")
	large := settings()
	large.Producer.MaxMessageBytes = 8 << 20
	must(produce(large, 500, 1, func(int) []byte { return make([]byte, 3_000_000) }))
	done("big")
	err := produce(large, 501, 1, func(int) []byte { return make([]byte, 5_000_000) })
	var refused sarama.ProducerErrors
	check(errors.As(err, &refused) && errors.Is(refused[0].Err, sarama.ErrMessageSizeTooLarge), "too large: %v", err)
	done("too-large")
}

func main() {
	admin, err := sarama.NewClusterAdmin(brokers, settings())
	must(err)
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

	writer, err := sarama.NewSyncProducer(brokers, settings())
	must(err)
	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	must(produceBy(writer, 600, 10, small))
	must(writer.Close())
	done("reconnect")
	got = consume(10)
	for i := 600; i < 610; i++ {
		check(bytes.Equal(got[fmt.Sprint("key-", i)], small(i)), "record %d after the restart", i)
	}
	done("resume")

	groups, err := admin.DescribeConsumerGroups([]string{group})
	must(err)
	check(groups[0].State == "Empty", "the group is %s", groups[0].State)
	listed, err := admin.ListConsumerGroups()
	must(err)
	check(listed[group] == "consumer", "the group's type: %v", listed)
	must(admin.DeleteConsumerGroup(group))
	done("groups")
	must(admin.DeleteTopic(topic))
	described, err := admin.DescribeTopics([]string{topic})
	must(err)
	check(described[0].Err == sarama.ErrUnknownTopicOrPartition, "a deleted topic: %v", described[0].Err)
	done("delete")
	must(admin.Close())
}
