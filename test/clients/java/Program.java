// SPDX-License-Identifier: Apache-2.0

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.IntFunction;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What test/clients/README.md asks of every client, with Apache Kafka's own; the same source for all its versions. */
public class Program {
    static String address, topic, group;

    static void done(String step) {
        System.out.println("ok " + step);
    }

    static void check(boolean holds, Object about) {
        if (!holds)
            throw new AssertionError(about);
    }

    interface Call {
        void run() throws Exception;
    }

    static void refused(Class<? extends Throwable> as, Call call) throws Exception {
        try {
            call.run();
        } catch (ExecutionException e) {
            check(as.isInstance(e.getCause()), e.getCause());
            return;
        }
        throw new AssertionError("not refused with " + as);
    }

    static KafkaProducer<String, byte[]> producer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", address);
        return new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer());
    }

    static void produce(KafkaProducer<String, byte[]> writer, int from, int count, IntFunction<byte[]> value) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = from; i < from + count; i++)
            sent.add(writer.send(new ProducerRecord<>(topic, "key-" + i, value.apply(i))));
        for (Future<RecordMetadata> one : sent)
            check(one.get().offset() >= 0, one);
    }

    static byte[] small(int i) {
        return ("value-" + i).getBytes();
    }

    static byte[] compressible(int i) {
        return ("value-" + i + " ").repeat(50).getBytes();
    }

    /** The next records of the group, committed; their values by key. */
    static Map<String, byte[]> consume(int count) {
        Map<String, Object> settings = Map.of("bootstrap.servers", address, "group.id", group, "auto.offset.reset", "earliest");
        Map<String, byte[]> got = new HashMap<>();
        try (KafkaConsumer<String, byte[]> reader =
                new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            reader.subscribe(List.of(topic));
            while (got.size() < count)
                for (ConsumerRecord<String, byte[]> record : reader.poll(Duration.ofMillis(500)))
                    got.put(record.key(), record.value());
            reader.commitSync();
        }
        return got;
    }

    static void administer(Admin admin) throws Exception {
        Set<NewTopic> wanted = Set.of(new NewTopic(topic, 3, (short) 1).configs(Map.of("max.message.bytes", "4000000")));
        admin.createTopics(wanted).all().get();
        done("create");
        refused(TopicExistsException.class, () -> admin.createTopics(wanted).all().get());
        done("refuse");
        check(admin.listTopics().names().get().contains(topic), "not listed");
        try (KafkaProducer<String, byte[]> any = producer(Map.of())) {
            check(any.partitionsFor(topic).size() == 3, "partitions");
        }
        done("list");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        String told = admin.describeConfigs(Set.of(resource)).all().get().get(resource).get("max.message.bytes").value();
        check(told.equals("4000000"), told);
        done("describe");
    }

    static void send(KafkaProducer<String, byte[]> writer) throws Exception {
        produce(writer, 0, 300, Program::small);
        done("produce");
        String[] codecs = {"gzip", "snappy", "lz4", "zstd"};
        for (int i = 0; i < codecs.length; i++)
            try (KafkaProducer<String, byte[]> one = producer(Map.of("compression.type", codecs[i]))) {
                produce(one, 300 + 50 * i, 50, Program::compressible);
            }
        done("codecs");
        try (KafkaProducer<String, byte[]> large = producer(Map.of("max.request.size", 8 << 20))) {
            produce(large, 500, 1, i -> new byte[3_000_000]);
            done("big");
            refused(RecordTooLargeException.class, () -> produce(large, 501, 1, i -> new byte[5_000_000]));
            done("too-large");
        }
    }

    /** The groups' ids by whichever call this version has. */
    static boolean isListed(Admin admin) throws Exception {
        return admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group));
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        topic = arguments[1];
        group = topic + "-group";
        Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", address));
        administer(admin);
        KafkaProducer<String, byte[]> writer = producer(Map.of());
        send(writer);

        Map<String, byte[]> got = consume(501);
        for (int i = 0; i < 500; i++)
            check(Arrays.equals(got.get("key-" + i), i < 300 ? small(i) : compressible(i)), i);
        check(got.get("key-500").length == 3_000_000, "the big record");
        done("group");

        System.out.println("restart");
        System.in.read();
        produce(writer, 600, 10, Program::small);
        writer.close();
        done("reconnect");
        got = consume(10);
        for (int i = 600; i < 610; i++)
            check(Arrays.equals(got.get("key-" + i), small(i)), i);
        done("resume");

        String state = admin.describeConsumerGroups(Set.of(group)).all().get().get(group).state().toString();
        check(state.equals("Empty"), state);
        check(isListed(admin), "the group is not listed");
        admin.deleteConsumerGroups(Set.of(group)).all().get();
        done("groups");
        admin.deleteTopics(Set.of(topic)).all().get();
        ConfigResource gone = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        refused(UnknownTopicOrPartitionException.class, () -> admin.describeConfigs(Set.of(gone)).all().get());
        done("delete");
        admin.close();
    }
}
