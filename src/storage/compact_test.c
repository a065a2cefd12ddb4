// SPDX-License-Identifier: Apache-2.0
/* storage/compact_test.c - stories of compaction: of each key the newest record stays, where it is; deletes and markers go
 * when their time has come; whatever stops it half way, the log holds the old records or the cleaned ones. */
#include "storage/storage_test.h"

#include "wire/gen/errors.h"

enum { KEYS = 16, PRODUCER = 7, DAY_MS = 86400000 };

struct sent {
    const char *key, *value; // value NULL: a tombstone
};

static struct slice text_or_null(const char *text)
{
    return text ? slice_str(text) : SLICE_NULL;
}

static int64_t put(struct log *log, struct slice bytes)
{
    struct log_batch batch = {.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size},
                     *list[] = {&batch};
    record_facts_read(bytes, &batch.facts);
    assert_ok(log_append(log, list, 1, 0, STORY_MS));
    assert_int_equal(batch.error, KAFKA_NONE);
    return batch.base_offset;
}

static int64_t send(struct log *log, const struct sent *records, int count, enum record_codec codec, int16_t attributes,
                    int32_t sequence)
{
    struct record_builder builder = {0};
    struct slice bytes;
    record_builder_begin(&builder);
    for (int i = 0; i < count; i++)
        record_builder_add(&builder, STORY_MS + i, text_or_null(records[i].key), text_or_null(records[i].value));
    int64_t producer = sequence < 0 ? -1 : PRODUCER;
    assert_ok(record_builder_finish_packed(&builder, codec, 3, attributes, producer, (int16_t)(sequence < 0 ? -1 : 0),
                                           sequence, &bytes));
    int64_t offset = put(log, bytes);
    record_builder_free(&builder);
    return offset;
}

static int64_t send_one(struct log *log, const char *key, const char *value)
{
    return send(log, &(struct sent){key, value}, 1, RECORD_NONE, 0, -1);
}

static int64_t end_transaction(struct log *log, int type)
{
    uint8_t key[4] = {0, 0, 0, (uint8_t)type}, value[6] = {0, 0, 0, 0, 0, 9};
    struct record_builder builder = {0};
    record_builder_begin(&builder);
    record_builder_add(&builder, STORY_MS, slice_of(key, 4), slice_of(value, 6));
    int64_t offset = put(log, record_builder_finish(&builder, RECORD_ATTRIBUTE_TRANSACTIONAL | RECORD_ATTRIBUTE_CONTROL,
                                                    PRODUCER, 0, -1));
    record_builder_free(&builder);
    return offset;
}

static struct log *open_compacted(void **state)
{
    struct story *story = *state;
    story->config.cleanup_delete = false;
    story->config.cleanup_compact = true;
    story->config.min_cleanable_dirty_ratio = 0.5;
    story->config.max_compaction_lag_ms = INT64_MAX;
    return story_open(state);
}

static const struct log_compaction_options EVERYTHING = {
    .limit_offset = INT64_MAX, .now_ms = STORY_MS, .map_bytes_max = 1 << 20, .map_load_factor = 0.9};

static struct log_compaction *steps(struct log *log, const struct log_compaction_options *options, int64_t piece_bytes)
{
    struct log_compaction *compaction;
    assert_ok(log_compaction_begin(log, options, &compaction));
    bool done = compaction == NULL;
    while (!done) {
        int64_t bytes;
        assert_ok(log_compaction_step(compaction, piece_bytes, &bytes, &done));
        assert_true(bytes > 0 || done);
    }
    return compaction;
}

/* Where the next one begins. */
static int64_t compact(struct log *log, const struct log_compaction_options *options)
{
    struct log_compaction *compaction = steps(log, options, 100);
    if (compaction)
        assert_ok(log_compaction_end(compaction, options->now_ms));
    log_compaction_free(compaction);
    return log_first_dirty_offset(log);
}

/* ---- what is in a log, as text: "offset:key=value ..." with - for null, [offset] for a batch without records */
static void tell_batch(struct buffer *out, struct slice batch)
{
    struct record_walk walk;
    struct record record;
    assert_true(record_batch_is_intact(batch));
    if (record_batch_count(batch.data) == 0)
        buffer_printf(out, "[%lld] ", (long long)record_batch_next_offset(batch.data) - 1);
    bool is_control = record_batch_attributes(batch.data) & RECORD_ATTRIBUTE_CONTROL;
    record_walk_begin(&walk, batch);
    while (record_walk_next(&walk, &record)) {
        if (is_control)
            buffer_printf(out, "%lld:marker ", (long long)record.offset);
        else
            buffer_printf(out, "%lld:%.*s=%.*s ", (long long)record.offset, (int)record.key.size,
                          (const char *)record.key.data, slice_is_null(record.value) ? 1 : (int)record.value.size,
                          slice_is_null(record.value) ? "-" : (const char *)record.value.data);
    }
    assert_false(walk.failed);
    record_walk_end(&walk);
}

static void tell(struct log *log, char *ret_text, size_t size)
{
    struct buffer out = {0};
    for (int64_t offset = log_start_offset(log); offset < log_end_offset(log);) {
        struct log_slice slice;
        assert_int_equal(log_read(log, offset, log_end_offset(log), 1 << 20, true, &slice), LOG_READ_OK);
        if (!slice.segment)
            break;
        uint8_t *bytes = mem_alloc(slice.size_bytes);
        assert_int_equal(io_pread(slice.file, bytes, slice.size_bytes, slice.position), slice.size_bytes);
        struct slice rest = slice_of(bytes, slice.size_bytes), batch;
        while (record_batch_next(&rest, &batch))
            tell_batch(&out, batch);
        assert_true(slice.next_offset > offset);
        offset = slice.next_offset;
        mem_free(bytes);
        log_slice_release(&slice);
    }
    snprintf(ret_text, size, "%.*s", (int)(out.size ? out.size - 1 : 0), out.data ? (const char *)out.data : "");
    buffer_free(&out);
}

#define assert_holds(log, text)                                                                                        \
    do {                                                                                                               \
        char told_[4096];                                                                                              \
        tell(log, told_, sizeof told_);                                                                                \
        assert_string_equal(told_, text);                                                                              \
    } while (0)

/* ---- stories */
static void of_each_key_the_newest_record_stays(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, "b", "1");
    send_one(log, "a", "2");
    assert_ok(log_roll(log));
    send_one(log, "b", "2");
    send_one(log, "c", "1");
    assert_ok(log_roll(log));
    send_one(log, "a", "3"); // in the active segment: neither cleaned nor counted
    assert_int_equal(compact(log, &EVERYTHING), 5);
    assert_holds(log, "2:a=2 3:b=2 4:c=1 5:a=3");
    assert_int_equal(log_start_offset(log), 0);
    assert_int_equal(send_one(log, "d", "1"), 6);
    story_end(state, log);
}

static void several_records_of_a_compressed_batch_keep_their_offsets(void **state)
{
    static const struct sent FIRST[] = {{"a", "1"}, {"b", "1"}, {"a", "2"}, {"c", "1"}};
    struct log *log = open_compacted(state);
    for (int codec = RECORD_NONE; codec <= RECORD_ZSTD; codec++)
        send(log, FIRST, 4, (enum record_codec)codec, 0, -1);
    assert_ok(log_roll(log));
    assert_int_equal(compact(log, &EVERYTHING), 20);
    assert_holds(log, "17:b=1 18:a=2 19:c=1");
    story_end(state, log);
}

static void a_tombstone_goes_after_its_delete_horizon(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, "a", NULL);
    send_one(log, "b", "1");
    assert_ok(log_roll(log));
    struct log_compaction_options options = EVERYTHING;
    compact(log, &options);
    assert_holds(log, "1:a=- 2:b=1");
    send_one(log, "c", "1");
    assert_ok(log_roll(log));
    options.now_ms += DAY_MS - 1;
    compact(log, &options);
    assert_holds(log, "1:a=- 2:b=1 3:c=1");
    send_one(log, "d", "1");
    assert_ok(log_roll(log));
    options.now_ms += 1;
    compact(log, &options);
    assert_holds(log, "2:b=1 3:c=1 4:d=1");
    story_end(state, log);
}

static void a_small_map_takes_several_rounds(void **state)
{
    struct log *log = open_compacted(state);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i % 20);
        send_one(log, key, i < 20 ? "old" : "new");
        if (i % 8 == 7)
            assert_ok(log_roll(log));
    }
    struct log_compaction_options options = EVERYTHING;
    options.map_bytes_max = 12 * 24;
    int rounds = 0;
    for (int64_t next = 0; next < 40; rounds++) {
        int64_t before = next;
        next = compact(log, &options);
        assert_true(next > before);
    }
    assert_true(rounds > 2);
    assert_holds(log,
                 "20:k0=new 21:k1=new 22:k2=new 23:k3=new 24:k4=new 25:k5=new 26:k6=new 27:k7=new 28:k8=new 29:k9=new "
                 "30:k10=new 31:k11=new 32:k12=new 33:k13=new 34:k14=new 35:k15=new 36:k16=new 37:k17=new 38:k18=new "
                 "39:k19=new");
    story_end(state, log);
}

static void an_aborted_transaction_goes_and_a_committed_one_stays(void **state)
{
    static const struct sent ONE[] = {{"a", "aborted"}}, TWO[] = {{"b", "committed"}};
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send(log, ONE, 1, RECORD_NONE, RECORD_ATTRIBUTE_TRANSACTIONAL, 0);
    end_transaction(log, 0);
    send(log, TWO, 1, RECORD_NONE, RECORD_ATTRIBUTE_TRANSACTIONAL, 1);
    end_transaction(log, 1);
    assert_ok(log_roll(log));
    struct log_compaction_options options = EVERYTHING;
    compact(log, &options);
    assert_holds(log, "0:a=1 2:marker 3:b=committed 4:marker");
    struct arena arena;
    struct log_aborted *aborted;
    int32_t count;
    arena_init(&arena, 4096, 1 << 20);
    assert_ok(log_aborted_transactions(log, 0, 5, &arena, &aborted, &count));
    assert_int_equal(count, 1); // its marker stays for now, and a reader knows what it is about
    arena_free(&arena);
    for (int round = 0; round < 2; round++) { // the first finds the marker idle, the second one finds its time over
        options.now_ms += DAY_MS + 1;
        send_one(log, "c", "1");
        assert_ok(log_roll(log));
        compact(log, &options);
    }
    assert_holds(log, "0:a=1 3:b=committed 4:marker 6:c=1");
    story_end(state, log);
}

/* The second round begins to read behind the abort: what its producer committed later is not aborted. */
static void what_was_aborted_before_does_not_hide_what_is_committed_later(void **state)
{
    static const struct sent ABORTED[] = {{"b", "aborted"}}, COMMITTED[] = {{"a", "2"}};
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send(log, ABORTED, 1, RECORD_NONE, RECORD_ATTRIBUTE_TRANSACTIONAL, 0);
    end_transaction(log, 0);
    assert_ok(log_roll(log));
    compact(log, &EVERYTHING);
    send(log, COMMITTED, 1, RECORD_NONE, RECORD_ATTRIBUTE_TRANSACTIONAL, 1);
    end_transaction(log, 1);
    assert_ok(log_roll(log));
    compact(log, &EVERYTHING);
    assert_holds(log, "2:marker 3:a=2 4:marker");
    story_end(state, log);
}

static void a_producers_last_sequence_stays_without_its_records(void **state)
{
    static const struct sent ONE[] = {{"a", "1"}};
    struct log *log = open_compacted(state);
    send(log, ONE, 1, RECORD_NONE, 0, 0);
    send(log, ONE, 1, RECORD_NONE, 0, 1);
    send_one(log, "a", "2");
    send_one(log, "b", "1");
    assert_ok(log_roll(log));
    compact(log, &EVERYTHING);
    assert_holds(log, "[1] 2:a=2 3:b=1");
    log_free(log); // not cleanly: producers are read from the log
    log = open_compacted(state);
    assert_holds(log, "[1] 2:a=2 3:b=1");
    story_end(state, log);
}

static void records_without_a_key_go(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, NULL, "x");
    send_one(log, "a", "1");
    assert_ok(log_roll(log));
    compact(log, &EVERYTHING);
    assert_holds(log, "1:a=1");
    story_end(state, log);
}

static void the_end_of_the_cleaned_range_stays_even_when_empty(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, NULL, "x");
    assert_ok(log_roll(log));
    assert_int_equal(compact(log, &EVERYTHING), 2);
    assert_holds(log, "0:a=1 [1]");
    story_end(state, log);
}

static void dirt_is_counted_as_bytes_and_by_age(void **state)
{
    struct story *story = *state;
    struct log *log = open_compacted(state);
    struct log_dirt dirt;
    send_one(log, "a", "1");
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS, &dirt));
    assert_false(dirt.is_due); // the active segment is not touched
    assert_ok(log_roll(log));
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS, &dirt));
    assert_true(dirt.is_due && dirt.cleanable_bytes > 0 && dirt.clean_bytes == 0);
    assert_ok(log_dirt(log, 0, STORY_MS, &dirt));
    assert_int_equal(dirt.cleanable_bytes, 0); // not below the limit
    compact(log, &EVERYTHING);
    for (int i = 0; i < 3; i++)
        assert_ok(log_roll(log));
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS, &dirt));
    assert_false(dirt.is_due);
    story->config.min_compaction_lag_ms = 1000;
    log_config_set(log, &story->config);
    send_one(log, "b", "1");
    assert_ok(log_roll(log));
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS + 999, &dirt));
    assert_int_equal(dirt.cleanable_bytes, 0);
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS + 1000, &dirt));
    assert_true(dirt.cleanable_bytes > 0 && dirt.clean_bytes > 0);
    story->config.min_compaction_lag_ms = 0;
    story->config.min_cleanable_dirty_ratio = 0.99;
    story->config.max_compaction_lag_ms = 5000;
    log_config_set(log, &story->config);
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS + 5000, &dirt));
    assert_false(dirt.is_due);
    assert_ok(log_dirt(log, INT64_MAX, STORY_MS + 5001, &dirt));
    assert_true(dirt.is_due);
    story_end(state, log);
}

static void segments_are_joined_up_to_their_size(void **state)
{
    struct story *story = *state;
    struct log *log = open_compacted(state);
    for (int i = 0; i < 6; i++) {
        send_one(log, "a", "1");
        assert_ok(log_roll(log));
    }
    compact(log, &EVERYTHING);
    assert_true(story_file_size(story, "00000000000000000000.log") > 0);
    assert_int_equal(story_file_size(story, "00000000000000000003.log"), -1);
    assert_true(story_file_size(story, "00000000000000000003.log.deleted") > 0);
    assert_int_equal(story_file_size(story, "00000000000000000000.log.cleaned"), -1);
    assert_int_equal(story_file_size(story, "00000000000000000000.log.swap"), -1);
    assert_ok(log_retain(log, log_end_offset(log), STORY_MS + story->config.file_delete_delay_ms));
    assert_int_equal(story_file_size(story, "00000000000000000003.log.deleted"), -1);
    assert_true(story_file_size(story, "00000000000000000000.log") > 0);
    assert_holds(log, "5:a=1");
    story_end(state, log);
}

static void retention_meanwhile_wins(void **state)
{
    struct log *log = open_compacted(state);
    for (int i = 0; i < 3; i++) {
        send_one(log, "a", "1");
        assert_ok(log_roll(log));
    }
    struct log_compaction *compaction = steps(log, &EVERYTHING, 1 << 20);
    assert_ok(log_start_offset_set(log, 2));
    assert_ok(log_retain(log, 3, STORY_MS));
    assert_ok(log_compaction_end(compaction, STORY_MS));
    assert_int_equal(log_first_dirty_offset(log), 0);
    log_compaction_free(compaction);
    assert_holds(log, "2:a=1");
    story_end(state, log);
}

static void a_reader_keeps_what_it_holds(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, "a", "2");
    assert_ok(log_roll(log));
    struct log_slice slice;
    assert_int_equal(log_read(log, 0, 2, 1 << 20, true, &slice), LOG_READ_OK);
    compact(log, &EVERYTHING);
    uint8_t head[RECORD_BATCH_HEAD_BYTES];
    assert_int_equal(io_pread(slice.file, head, sizeof head, slice.position), sizeof head);
    assert_int_equal(record_batch_base_offset(head), 0);
    assert_int_equal(record_batch_next_offset(head), 1);
    log_slice_release(&slice);
    assert_holds(log, "1:a=2");
    story_end(state, log);
}

static void what_was_not_ended_is_as_if_it_had_not_begun(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, "a", "2");
    assert_ok(log_roll(log));
    log_compaction_free(steps(log, &EVERYTHING, 1));
    assert_int_equal(story_file_size(*state, "00000000000000000000.log.cleaned"), -1);
    assert_int_equal(story_file_size(*state, "00000000000000000000.index.cleaned"), -1);
    assert_holds(log, "0:a=1 1:a=2");
    story_end(state, log);
}

static void a_broken_batch_is_told_and_left_alone(void **state)
{
    struct log *log = open_compacted(state);
    send_one(log, "a", "1");
    send_one(log, "a", "2");
    assert_ok(log_roll(log));
    story_damage(*state, "00000000000000000000.log", 65);
    struct log_compaction *compaction;
    assert_ok(log_compaction_begin(log, &EVERYTHING, &compaction));
    int64_t bytes;
    bool done;
    struct status s = log_compaction_step(compaction, 1 << 20, &bytes, &done);
    assert_int_equal(s.error, EBADMSG);
    log_compaction_free(compaction);
    assert_false(log_is_offline(log));
    log_free(log);
}

/* Random histories against a model: nothing but the newest record of each key is left below the cleaned offset. */
static void random_histories_keep_what_a_model_keeps(void **state)
{
    struct random random;
    random_seed(&random, 42);
    struct log *log = open_compacted(state);
    int64_t newest[KEYS], next = 0;
    char value_of[KEYS][16] = {0};
    for (int i = 0; i < KEYS; i++)
        newest[i] = -1;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 40; i++) {
            int key = (int)random_below(&random, KEYS);
            char name[8];
            snprintf(name, sizeof name, "k%d", key);
            snprintf(value_of[key], sizeof value_of[key], "%d.%d", round, i);
            newest[key] = send_one(log, name, value_of[key]);
            if (random_below(&random, 10) == 0)
                assert_ok(log_roll(log));
        }
        assert_ok(log_roll(log));
        next = compact(log, &EVERYTHING);
        assert_int_equal(next, log_end_offset(log));
        struct buffer expected CLEANUP(buffer_free) = {0};
        for (int64_t offset = 0; offset < next; offset++)
            for (int key = 0; key < KEYS; key++)
                if (newest[key] == offset)
                    buffer_printf(&expected, "%s%lld:k%d=%s", expected.size ? " " : "", (long long)offset, key,
                                  value_of[key]);
        buffer_append(&expected, "", 1);
        assert_holds(log, (const char *)expected.data);
    }
    story_end(state, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        story_test(of_each_key_the_newest_record_stays),
        story_test(several_records_of_a_compressed_batch_keep_their_offsets),
        story_test(a_tombstone_goes_after_its_delete_horizon),
        story_test(a_small_map_takes_several_rounds),
        story_test(an_aborted_transaction_goes_and_a_committed_one_stays),
        story_test(what_was_aborted_before_does_not_hide_what_is_committed_later),
        story_test(a_producers_last_sequence_stays_without_its_records),
        story_test(records_without_a_key_go),
        story_test(the_end_of_the_cleaned_range_stays_even_when_empty),
        story_test(dirt_is_counted_as_bytes_and_by_age),
        story_test(segments_are_joined_up_to_their_size),
        story_test(retention_meanwhile_wins),
        story_test(a_reader_keeps_what_it_holds),
        story_test(what_was_not_ended_is_as_if_it_had_not_begun),
        story_test(a_broken_batch_is_told_and_left_alone),
        story_test(random_histories_keep_what_a_model_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
