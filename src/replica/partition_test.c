// SPDX-License-Identifier: Apache-2.0
/* replica/partition_test.c - one partition, many threads: appends keep their order and are done once, the high watermark
 * follows the flush, watchers hear of what they wait for, chores have the turn to themselves.
 *
 * The threads here do what reactors and the flusher do. Run it under the thread sanitizer too.
 */
#include "replica/replica.h"
#include "wire/gen/errors.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1700000000000
enum { MAIL_OF_WATCH = 1, MAIL_OF_DIRTY, MAIL_OF_END };
enum { NODE = 1, LOOPS = 4 };
enum { CROWDED_SEGMENT_BYTES = 200 }; // two batches of one record, not three

/* ---- a world: a directory, a pool, a flusher's loop, one partition */
struct world {
    char directory[64];
    struct replica_options options;
    struct write_budget budget; // of the directory
    struct partition *partition;
    struct io_thread *flusher;
    struct io_mail end;
    _Atomic int rounds;
};

static void assert_ok(struct status s)
{
    if (!status_is_ok(s))
        fail_msg("%s: %s", s.what, strerror(s.error));
}

static const struct partition_config CONFIG = {
    .log = {.segment_bytes = 1 << 30,
            .segment_ms = 604800000,
            .segment_index_bytes = 10 << 20,
            .index_interval_bytes = 4096,
            .retention_ms = -1,
            .retention_bytes = -1,
            .file_delete_delay_ms = 60000,
            .producer_id_expiration_ms = 86400000,
            .cleanup_delete = true},
    .max_message_bytes = 1 << 20,
    .min_insync_replicas = 1,
    .flush_messages = INT64_MAX,
    .flush_ms = INT64_MAX,
    .compression_type = -1,
};

static void lead(struct world *w, int32_t epoch)
{
    static const int32_t ISR[] = {NODE};
    assert_ok(partition_duty_set(w->partition, &(struct partition_duty){NODE, epoch, ISR, 1}));
}

static struct log_open_options at_start(void)
{
    return (struct log_open_options){.flushed_offset = -1, .now_ms = NOW_MS};
}

/* With all that the first append needs. */
static void open_now(struct world *w, const struct log_open_options *options)
{
    assert_ok(partition_open(w->partition, options, false));
    assert_ok(log_prepare(partition_log(w->partition)));
}

static int setup(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    snprintf(w->directory, sizeof w->directory, "/tmp/ottla-replica-XXXXXX");
    if (!mkdtemp(w->directory))
        return -1;
    w->options = (struct replica_options){.flush_before_visible = true,
                                          .node_id = NODE,
                                          .loop_count = LOOPS,
                                          .flusher = io_loop_create(),
                                          .dirty_mail_kind = MAIL_OF_DIRTY,
                                          .watch_mail_kind = MAIL_OF_WATCH,
                                          .pool = io_pool_create((int[IO_LANE_COUNT]){1, 2, 1})};
    for (int i = 0; i < LOOPS; i++)
        w->options.loops[i] = io_loop_create();
    w->end.kind = MAIL_OF_END;
    w->partition = partition_create(&w->options, "t", (struct uuid){{7}}, 0, w->directory, false);
    partition_config_set(w->partition, &CONFIG);
    *state = w;
    return 0;
}

static int drop_mail(struct io_loop *loop)
{
    int count = 0;
    struct io_mail *chain = io_loop_mail(loop);
    for (struct io_mail *mail; (mail = io_mail_take(&chain)); count++) {
        if (mail->kind == MAIL_OF_DIRTY)
            partition_unref(partition_of_dirty_mail(mail));
        else if (mail->kind == MAIL_OF_WATCH)
            partition_unref(CONTAINER_OF(mail, struct partition_watch, mail)->partition);
    }
    return count;
}

static void remove_each(void *context, const char *name)
{
    char path[512];
    struct io_stat stat;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (io_stat(path, &stat) == 0 && stat.is_directory) {
        io_list_dir(path, remove_each, path);
        io_rmdir(path);
    } else {
        io_unlink(path);
    }
}

static int teardown(void **state)
{
    struct world *w = *state;
    io_pool_destroy(w->options.pool);
    for (int i = 0; i < LOOPS; i++)
        drop_mail(w->options.loops[i]);
    drop_mail(w->options.flusher);
    partition_unref(w->partition);
    for (int i = 0; i < LOOPS; i++)
        io_loop_destroy(w->options.loops[i]);
    io_loop_destroy(w->options.flusher);
    io_list_dir(w->directory, remove_each, w->directory);
    io_rmdir(w->directory);
    mem_free(w);
    return 0;
}

static void flush_run(void *context)
{
    struct world *w = context;
    struct io_event event;
    for (bool ends = false; !ends;) {
        io_loop_wait(w->options.flusher, &event, 1, INT64_MAX);
        struct io_mail *chain = io_loop_mail(w->options.flusher);
        for (struct io_mail *mail; (mail = io_mail_take(&chain));) {
            ends |= mail->kind == MAIL_OF_END;
            if (mail->kind != MAIL_OF_DIRTY)
                continue;
            struct partition *p = partition_of_dirty_mail(mail);
            assert_ok(partition_flush(p));
            atomic_fetch_add(&w->rounds, 1);
            partition_unref(p);
        }
    }
}

static void flusher_start(struct world *w)
{
    w->flusher = io_thread_start("flusher", flush_run, w);
}

static void flusher_end(struct world *w)
{
    io_loop_send(w->options.flusher, &w->end);
    io_thread_join(w->flusher);
}

static void wait_for_mail(struct io_loop *loop, int wanted)
{
    struct io_event event;
    while (wanted > 0) {
        io_loop_wait(loop, &event, 1, INT64_MAX);
        wanted -= drop_mail(loop);
    }
}

/* ---- appends */
struct letter {
    struct append append;
    struct record_builder builder;
};

static struct append *letter_write(struct letter *letter, uint32_t loop, uint32_t number)
{
    record_builder_begin(&letter->builder);
    record_builder_add(&letter->builder, NOW_MS, SLICE_NULL, slice_of(&number, sizeof number));
    struct slice bytes = record_builder_finish(&letter->builder, 0, -1, -1, -1);
    letter->append =
        (struct append){.batch = {.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size},
                        .loop = loop,
                        .expected_leader_epoch = -1,
                        .waits_for_flush = true,
                        .now_ms = NOW_MS};
    record_facts_read(bytes, &letter->append.batch.facts);
    return &letter->append;
}

static int16_t send_one(struct world *w, int32_t epoch)
{
    struct letter letter = {0};
    struct append *append = letter_write(&letter, 0, 1);
    append->expected_leader_epoch = epoch;
    partition_enqueue(w->partition, append);
    partition_drain(w->partition, 0);
    assert_true(atomic_load(&append->done));
    int16_t error = append->error;
    record_builder_free(&letter.builder);
    return error;
}

static void the_high_watermark_follows_the_flush(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    struct log_slice slice;
    open_now(w, &options);
    lead(w, 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(partition_end_offset(w->partition), 1);
    assert_int_equal(partition_high_watermark(w->partition), 0);
    assert_false(partition_is_acked(w->partition, 1, 1));
    assert_false(partition_is_acked(w->partition, -1, 1));
    assert_true(partition_is_acked(w->partition, 0, 1));
    assert_int_equal(partition_read(w->partition, READ_AS_CONSUMER, 0, 1000, true, &slice), 0);
    assert_null(slice.segment); // written, but nobody may see it
    assert_ok(partition_flush(w->partition));
    assert_int_equal(partition_high_watermark(w->partition), 1);
    assert_true(partition_is_acked(w->partition, 1, 1));
    assert_true(partition_is_acked(w->partition, -1, 1));
    assert_int_equal(partition_read(w->partition, READ_AS_CONSUMER, 0, 1000, true, &slice), 0);
    assert_int_equal(slice.next_offset, 1);
    log_slice_release(&slice);
}

static void in_page_cache_mode_what_is_written_is_seen(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    w->options.flush_before_visible = false;
    open_now(w, &options);
    lead(w, 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(partition_high_watermark(w->partition), 1);
    assert_true(partition_is_acked(w->partition, 1, 1));
    assert_int_equal(partition_flushed_offset(w->partition), 0);
}

static void open_in_page_cache_mode(struct world *w, int64_t flush_messages, int64_t flush_ms)
{
    struct partition_config config = CONFIG;
    struct log_open_options options = at_start();
    config.flush_messages = flush_messages;
    config.flush_ms = flush_ms;
    w->options.flush_before_visible = false;
    partition_config_set(w->partition, &config);
    open_now(w, &options);
    lead(w, 0);
}

static void no_more_is_acknowledged_unflushed_than_flush_messages_allows(void **state)
{
    struct world *w = *state;
    open_in_page_cache_mode(w, 3, INT64_MAX);
    for (int64_t end = 1; end <= 2; end++) {
        assert_int_equal(send_one(w, -1), 0);
        assert_true(partition_is_acked(w->partition, 1, end));
        assert_true(partition_is_acked(w->partition, -1, end));
    }
    assert_int_equal(drop_mail(w->options.flusher), 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(drop_mail(w->options.flusher), 1);
    assert_false(partition_is_acked(w->partition, 1, 3));
    assert_false(partition_is_acked(w->partition, -1, 3));
    assert_int_equal(partition_high_watermark(w->partition), 2); // it does not go back
    assert_ok(partition_flush(w->partition));
    assert_true(partition_is_acked(w->partition, 1, 3));
    assert_true(partition_is_acked(w->partition, -1, 3));
    assert_int_equal(send_one(w, -1), 0);
    assert_true(partition_is_acked(w->partition, -1, 4));
}

static void flush_messages_changes_while_the_partition_is_used(void **state)
{
    struct world *w = *state;
    open_in_page_cache_mode(w, INT64_MAX, INT64_MAX);
    assert_int_equal(send_one(w, -1), 0);
    assert_true(partition_is_acked(w->partition, -1, 1));
    struct partition_config config = CONFIG;
    config.flush_messages = 1;
    partition_config_set(w->partition, &config);
    assert_int_equal(send_one(w, -1), 0);
    assert_false(partition_is_acked(w->partition, -1, 2));
    assert_int_equal(drop_mail(w->options.flusher), 1);
}

static void what_is_unflushed_for_flush_ms_is_flushed_at_the_next_look(void **state)
{
    struct world *w = *state;
    open_in_page_cache_mode(w, INT64_MAX, 60000);
    int64_t now_ms = io_now_ms();
    partition_flush_if_due(w->partition, now_ms + 100000);
    assert_int_equal(drop_mail(w->options.flusher), 0); // nothing is there
    assert_int_equal(send_one(w, -1), 0);
    partition_flush_if_due(w->partition, now_ms + 20000);
    assert_int_equal(drop_mail(w->options.flusher), 0);
    partition_flush_if_due(w->partition, now_ms + 100000);
    assert_int_equal(drop_mail(w->options.flusher), 1);
    assert_ok(partition_flush(w->partition));
    partition_flush_if_due(w->partition, now_ms + 200000);
    assert_int_equal(drop_mail(w->options.flusher), 0);
}

static void only_the_leader_of_the_epoch_appends(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    open_now(w, &options);
    assert_int_equal(send_one(w, -1), KAFKA_NOT_LEADER_OR_FOLLOWER);
    lead(w, 3);
    assert_int_equal(send_one(w, 3), 0);
    assert_int_equal(send_one(w, 2), KAFKA_NOT_LEADER_OR_FOLLOWER);
    assert_int_equal(partition_check_epoch(w->partition, 2), KAFKA_FENCED_LEADER_EPOCH);
    assert_int_equal(partition_check_epoch(w->partition, 4), KAFKA_UNKNOWN_LEADER_EPOCH);
    assert_int_equal(partition_check_epoch(w->partition, 3), 0);
    assert_int_equal(log_epoch_latest(partition_log(w->partition)), 3);
    partition_retire(w->partition);
    assert_int_equal(send_one(w, 3), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(partition_end_offset(w->partition), 1);
}

static void a_restored_high_watermark_is_bounded_by_what_is_flushed(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    open_now(w, &options);
    lead(w, 0);
    assert_int_equal(send_one(w, -1), 0);
    partition_high_watermark_restore(w->partition, 100);
    assert_int_equal(partition_high_watermark(w->partition), 0);
    assert_ok(partition_flush(w->partition));
    partition_high_watermark_restore(w->partition, 0);
    assert_int_equal(partition_high_watermark(w->partition), 1); // it never goes back
}

/* ---- the budget of bytes that are written and not flushed */
static struct write_budget *under_a_budget(struct world *w, int64_t drain_bytes, int64_t limit_bytes)
{
    w->budget = (struct write_budget){.log_dir = w->directory,
                                      .drain_bytes = drain_bytes,
                                      .limit_bytes = limit_bytes,
                                      .drain = {.kind = MAIL_OF_END}};
    struct log_open_options options = at_start();
    partition_budget_set(w->partition, &w->budget);
    open_now(w, &options);
    lead(w, 0);
    return &w->budget;
}

static void what_is_flushed_leaves_the_budget(void **state)
{
    struct world *w = *state;
    struct write_budget *budget = under_a_budget(w, 0, 1 << 20);
    assert_int_equal(send_one(w, -1), 0);
    int64_t one = atomic_load(&budget->unflushed.bytes);
    assert_true(one > 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(atomic_load(&budget->unflushed.bytes), 2 * one);
    assert_int_equal(log_unflushed_bytes(partition_log(w->partition)), 2 * one);
    assert_ok(partition_flush(w->partition));
    assert_int_equal(atomic_load(&budget->unflushed.bytes), 0);
    assert_int_equal(atomic_load(&budget->unflushed.bytes_most), 2 * one);
    assert_int_equal(atomic_load(&budget->taken), 0);
    partition_unref(w->partition); // what a log takes with it is not waited for either
    w->partition = NULL;
    drop_mail(w->options.flusher);
    assert_int_equal(atomic_load(&budget->unflushed.bytes), 0);
}

/* The thread that appends never writes beyond the limit; the pool does, and syncs before each group. */
static void beyond_the_budget_the_pool_writes_and_syncs_first(void **state)
{
    enum { APPENDS = 50 };
    struct world *w = *state;
    struct write_budget *budget = under_a_budget(w, 0, 1);
    struct letter letters[APPENDS] = {0};
    assert_int_equal(send_one(w, -1), 0); // nothing was unflushed yet
    int64_t one = atomic_load(&budget->unflushed.bytes);
    assert_true(partition_is_over_budget(w->partition));
    struct partition_watch *watch = partition_watch_get(w->partition, 0);
    partition_watch_arm(watch);
    for (uint32_t i = 0; i < APPENDS; i++) {
        partition_enqueue(w->partition, letter_write(&letters[i], 0, i));
        partition_drain(w->partition, 0);
    }
    for (uint32_t i = 0; i < APPENDS; i++) {
        while (!atomic_load(&letters[i].append.done))
            wait_for_mail(w->options.loops[0], 1);
        assert_int_equal(letters[i].append.error, 0);
        assert_int_equal(letters[i].append.batch.base_offset, i + 1);
        record_builder_free(&letters[i].builder);
    }
    assert_int_equal(atomic_load(&budget->taken), APPENDS); // each its own group: a larger one is beyond the limit
    assert_int_equal(atomic_load(&budget->unflushed.bytes_most), one);
    partition_watch_disarm(watch);
}

static void in_page_cache_mode_the_flusher_hears_when_much_is_unflushed(void **state)
{
    struct world *w = *state;
    w->options.flush_before_visible = false;
    under_a_budget(w, 100, 1 << 20);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(drop_mail(w->options.flusher), 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(drop_mail(w->options.flusher), 1); // at most once in the mailbox
    assert_true(partition_write_back(w->partition));
    assert_ok(partition_flush(w->partition));
    assert_int_equal(send_one(w, -1), 0);
    assert_int_equal(drop_mail(w->options.flusher), 0);
}

static void a_roll_that_is_due_happens_beyond_the_budget_too(void **state)
{
    struct world *w = *state;
    struct partition_config config = CONFIG;
    struct letter letters[9] = {0};
    config.log.segment_bytes = CROWDED_SEGMENT_BYTES;
    partition_config_set(w->partition, &config);
    under_a_budget(w, 0, 1);
    partition_watch_arm(partition_watch_get(w->partition, 0));
    for (uint32_t i = 0; i < COUNT_OF(letters); i++) {
        partition_enqueue(w->partition, letter_write(&letters[i], 0, i));
        partition_drain(w->partition, 0);
    }
    for (uint32_t i = 0; i < COUNT_OF(letters); i++) {
        while (!atomic_load(&letters[i].append.done))
            wait_for_mail(w->options.loops[0], 1);
        record_builder_free(&letters[i].builder);
    }
    assert_int_equal(partition_end_offset(w->partition), COUNT_OF(letters));
    partition_watch_disarm(partition_watch_get(w->partition, 0));
}

/* ---- watches */
static void a_watch_is_told_once_and_only_while_armed(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    open_now(w, &options);
    lead(w, 0);
    struct partition_watch *watch = partition_watch_get(w->partition, 2);
    assert_ptr_equal(partition_watch_get(w->partition, 2), watch);
    assert_int_equal(send_one(w, -1), 0);
    assert_ok(partition_flush(w->partition));
    assert_int_equal(drop_mail(w->options.loops[2]), 0);
    partition_watch_arm(watch);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_one(w, -1), 0);
        assert_ok(partition_flush(w->partition));
    }
    assert_int_equal(drop_mail(w->options.loops[2]), 1); // the node is queued at most once
    partition_retire(w->partition);
    assert_int_equal(drop_mail(w->options.loops[2]), 1);
    partition_watch_disarm(watch);
    partition_wake_all(w->partition);
    assert_int_equal(drop_mail(w->options.loops[2]), 0);
}

/* ---- chores and late opening */
struct test_chore {
    struct chore chore;
    _Atomic bool *others_inside;
    struct io_loop *loop;
    struct io_mail mail;
};

static void chore_run(struct chore *chore)
{
    struct test_chore *own = CONTAINER_OF(chore, struct test_chore, chore);
    assert_false(atomic_exchange(own->others_inside, true)); // the turn is ours alone
    assert_false(partition_turn_try(chore->partition));
    atomic_store(own->others_inside, false);
    io_loop_send(own->loop, &own->mail);
}

static void chores_run_one_at_a_time_with_the_turn(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    _Atomic bool inside = false;
    struct test_chore chores[8] = {0};
    open_now(w, &options);
    lead(w, 0);
    for (size_t i = 0; i < COUNT_OF(chores); i++) {
        chores[i] = (struct test_chore){.chore = {.run = chore_run},
                                        .others_inside = &inside,
                                        .loop = w->options.loops[3],
                                        .mail = {.kind = MAIL_OF_END}};
        partition_chore(w->partition, &chores[i].chore);
    }
    wait_for_mail(w->options.loops[3], (int)COUNT_OF(chores));
}

static void the_first_append_opens_the_log(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    struct letter letter = {0};
    flusher_start(w);
    assert_ok(partition_open(w->partition, &options, true));
    lead(w, 5);
    assert_null(partition_log(w->partition));
    assert_int_equal(partition_end_offset(w->partition), 0);
    struct partition_watch *watch = partition_watch_get(w->partition, 1);
    partition_watch_arm(watch);
    struct append *append = letter_write(&letter, 1, 1);
    partition_enqueue(w->partition, append);
    partition_drain(w->partition, 1);
    while (!atomic_load(&append->done) || partition_high_watermark(w->partition) < 1)
        wait_for_mail(w->options.loops[1], 1);
    assert_int_equal(append->error, 0);
    assert_int_equal(append->batch.base_offset, 0);
    assert_int_equal(log_epoch_latest(partition_log(w->partition)), 5);
    partition_watch_disarm(watch);
    flusher_end(w);
    record_builder_free(&letter.builder);
}

/* What a start has left out is read by the pool, so the reactor that appends goes on meanwhile. */
static void the_pool_prepares_the_first_append(void **state)
{
    struct world *w = *state;
    struct log_open_options options = at_start();
    struct letter letter = {0};
    flusher_start(w);
    assert_ok(partition_open(w->partition, &options, false));
    lead(w, 2);
    assert_false(log_is_prepared(partition_log(w->partition)));
    struct partition_watch *watch = partition_watch_get(w->partition, 1);
    partition_watch_arm(watch);
    struct append *append = letter_write(&letter, 1, 1);
    partition_enqueue(w->partition, append);
    partition_drain(w->partition, 1);
    while (!atomic_load(&append->done) || partition_high_watermark(w->partition) < 1)
        wait_for_mail(w->options.loops[1], 1);
    assert_int_equal(append->error, 0);
    assert_true(log_is_prepared(partition_log(w->partition)));
    partition_watch_disarm(watch);
    flusher_end(w);
    record_builder_free(&letter.builder);
}

static void segment_measure(void *context, const char *name)
{
    const struct world *w = context;
    char path[512];
    struct io_stat stat;
    size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 4, ".log") != 0)
        return;
    snprintf(path, sizeof path, "%s/t-0/%s", w->directory, name);
    assert_int_equal(io_stat(path, &stat), 0);
    assert_in_range(stat.size_bytes, 1, CROWDED_SEGMENT_BYTES);
}

static void what_was_queued_together_still_fills_segments_one_by_one(void **state)
{
    enum { CROWD = 7 };
    struct world *w = *state;
    struct partition_config config = CONFIG;
    struct log_open_options options = at_start();
    struct letter letters[CROWD] = {0};
    char path[128];
    config.log.segment_bytes = CROWDED_SEGMENT_BYTES;
    partition_config_set(w->partition, &config);
    open_now(w, &options);
    lead(w, 0);
    partition_watch_arm(partition_watch_get(w->partition, 1));
    for (uint32_t i = 0; i < CROWD; i++)
        partition_enqueue(w->partition, letter_write(&letters[i], 1, i));
    partition_drain(w->partition, 1);
    while (!atomic_load(&letters[CROWD - 1].append.done))
        wait_for_mail(w->options.loops[1], 1);
    partition_watch_disarm(partition_watch_get(w->partition, 1));
    assert_int_equal(partition_end_offset(w->partition), CROWD);
    snprintf(path, sizeof path, "%s/t-0", w->directory);
    io_list_dir(path, segment_measure, w);
    for (int i = 0; i < CROWD; i++)
        record_builder_free(&letters[i].builder);
}

static void settings_that_change_reach_the_log_before_the_next_append(void **state)
{
    struct world *w = *state;
    struct partition_config config = CONFIG;
    struct log_open_options options = at_start();
    open_now(w, &options);
    lead(w, 0);
    assert_int_equal(send_one(w, -1), 0);
    int64_t one = log_size_bytes(partition_log(w->partition));
    assert_true(log_segment_holds(partition_log(w->partition), (uint64_t)one * 3));
    config.log.segment_bytes = one * 2;
    partition_config_set(w->partition, &config);
    assert_int_equal(send_one(w, -1), 0);
    assert_false(log_segment_holds(partition_log(w->partition), (uint64_t)one * 3));
}

/* ---- many threads */
enum { LETTERS = 300, WINDOW = 7 };
struct writer {
    struct world *w;
    uint32_t loop;
    int64_t offsets[LETTERS];
};

static void await_done(struct writer *writer, struct append *append)
{
    while (!atomic_load(&append->done) ||
           (append->error == 0 && !partition_is_acked(writer->w->partition, 1, append->batch.end_offset)))
        wait_for_mail(writer->w->options.loops[writer->loop], 1);
}

/* A reactor: keeps several appends on their way, hears by its watch. */
static void write_run(void *context)
{
    struct writer *writer = context;
    struct partition *p = writer->w->partition;
    struct letter letters[WINDOW] = {0};
    partition_watch_arm(partition_watch_get(p, writer->loop));
    for (uint32_t i = 0; i < LETTERS + WINDOW; i++) {
        struct letter *letter = &letters[i % WINDOW];
        if (i >= WINDOW) {
            await_done(writer, &letter->append);
            assert_int_equal(letter->append.error, 0);
            writer->offsets[i - WINDOW] = letter->append.batch.base_offset;
        }
        if (i >= LETTERS)
            continue;
        partition_enqueue(p, letter_write(letter, writer->loop, writer->loop << 16 | i));
        if (i % 3 != 0) // sometimes several at once
            partition_drain(p, writer->loop);
        if (i % 3 == 0 || i + 1 == LETTERS)
            partition_drain(p, writer->loop);
    }
    partition_watch_disarm(partition_watch_get(p, writer->loop));
    for (int i = 0; i < WINDOW; i++)
        record_builder_free(&letters[i].builder);
}

static uint32_t number_at(struct partition *p, int64_t offset)
{
    struct log_slice slice;
    uint8_t bytes[512];
    struct record_walk walk;
    struct record record;
    uint32_t number = UINT32_MAX;
    assert_int_equal(partition_read(p, READ_AS_CONSUMER, offset, 1, true, &slice), 0);
    assert_in_range(slice.size_bytes, RECORD_BATCH_HEAD_BYTES, sizeof bytes);
    assert_int_equal(io_pread(slice.file, bytes, slice.size_bytes, slice.position), slice.size_bytes);
    record_walk_begin(&walk, slice_of(bytes, slice.size_bytes));
    assert_true(record_walk_next(&walk, &record));
    assert_int_equal(record.value.size, sizeof number);
    memcpy(&number, record.value.data, sizeof number);
    record_walk_end(&walk);
    log_slice_release(&slice);
    return number;
}

/* Small segments, so that rolls come in between. Every append is done once, at an offset of its own, in its sender's order. */
static void many_threads_append_and_each_keeps_its_order(void **state)
{
    struct world *w = *state;
    struct partition_config config = CONFIG;
    struct log_open_options options = at_start();
    config.log.segment_bytes = 4000;
    partition_config_set(w->partition, &config);
    open_now(w, &options);
    lead(w, 0);
    flusher_start(w);
    struct writer writers[LOOPS];
    struct io_thread *threads[LOOPS];
    for (uint32_t i = 0; i < LOOPS; i++) {
        writers[i] = (struct writer){.w = w, .loop = i};
        threads[i] = io_thread_start("writer", write_run, &writers[i]);
    }
    for (uint32_t i = 0; i < LOOPS; i++)
        io_thread_join(threads[i]);
    flusher_end(w);
    assert_int_equal(partition_end_offset(w->partition), LOOPS * LETTERS);
    assert_int_equal(partition_high_watermark(w->partition), LOOPS * LETTERS);
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        int64_t last = -1;
        for (uint32_t i = 0; i < LETTERS; i++) {
            assert_true(writers[loop].offsets[i] > last);
            last = writers[loop].offsets[i];
            assert_int_equal(number_at(w->partition, last), loop << 16 | i);
        }
    }
    assert_true(atomic_load(&w->rounds) < LOOPS * LETTERS); // a round covers many appends
}

int main(void)
{
#define IN_WORLD(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(the_high_watermark_follows_the_flush),
        IN_WORLD(in_page_cache_mode_what_is_written_is_seen),
        IN_WORLD(no_more_is_acknowledged_unflushed_than_flush_messages_allows),
        IN_WORLD(flush_messages_changes_while_the_partition_is_used),
        IN_WORLD(what_is_unflushed_for_flush_ms_is_flushed_at_the_next_look),
        IN_WORLD(only_the_leader_of_the_epoch_appends),
        IN_WORLD(a_restored_high_watermark_is_bounded_by_what_is_flushed),
        IN_WORLD(a_watch_is_told_once_and_only_while_armed),
        IN_WORLD(chores_run_one_at_a_time_with_the_turn),
        IN_WORLD(the_first_append_opens_the_log),
        IN_WORLD(the_pool_prepares_the_first_append),
        IN_WORLD(what_is_flushed_leaves_the_budget),
        IN_WORLD(beyond_the_budget_the_pool_writes_and_syncs_first),
        IN_WORLD(in_page_cache_mode_the_flusher_hears_when_much_is_unflushed),
        IN_WORLD(a_roll_that_is_due_happens_beyond_the_budget_too),
        IN_WORLD(what_was_queued_together_still_fills_segments_one_by_one),
        IN_WORLD(settings_that_change_reach_the_log_before_the_next_append),
        IN_WORLD(many_threads_append_and_each_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
