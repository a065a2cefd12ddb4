// SPDX-License-Identifier: Apache-2.0
/* sim/storage_sim.c - one log under many seeds: a writer, a flusher and a reader, on a disk with faults, through crashes.
 *
 *   storage_sim FROM COUNT [none|sync|sync_dir]   runs COUNT seeds; the mutant makes that call do nothing
 *
 * Every record carries a number that only ever grows. After each restart the whole log is read and must hold:
 *   - every record below the flushed offset that was ever reported, at its offset, with its number;
 *   - offsets without gaps and numbers that grow: nothing twice, nothing out of order;
 *   - and the log opens, unless a fault was injected into the opening itself; in the last life there are no faults.
 * While it runs the reader holds every record below the flushed offset against the same memory.
 *
 *   - and where a bit below the flushed mark has flipped meanwhile: either the log does not open, and its files are as they
 *     were below the mark; or, where no scan is due, nothing is missing but the damaged batch, which shows itself to who reads it.
 *
 * What the broker floor keeps beside the log is kept here as it would: recovery points in Kafka's file, the clean mark, and
 * a flushed mark that lags behind. Exit status: 0 all held, 1 a seed failed (its number and why are printed).
 */
#include "io/io.h"
#include "io/sim.h"
#include "storage/storage.h"

#include <errno.h>
#include <stdlib.h>

enum { RECORDS_MAX = 1 << 16, LIVES_MAX = 8 };
static const int64_t MINUTE_NS = 60000000000;
static const char *const ROOT = "/data", *const PARTITION = "/data/t-0";
static const char *const RECOVERY_POINTS = "/data/recovery-point-offset-checkpoint";
static const struct uuid TOPIC = {{1, 2, 3}};

/* What is known outside the machine: never lost in a crash. */
static struct witness {
    uint32_t number_at[RECORDS_MAX]; // by offset
    int64_t flushed, mark;
    bool mark_is_known; // at the latest opening
    uint32_t next_number;
    uint64_t checked, flips;
    bool failed, mark_is_needed;
    char why[200];
} witness;

/* What the process knows: one life. */
static struct life {
    struct sim_world *world;
    struct log_config config;
    struct log *log;
    struct io_lock *turn;
    struct sim_faults faults;
    bool faults_on, stops_cleanly, flips;
    int appends_left;
    _Atomic bool stop;
} life;

static void blame(const char *why, int64_t a, int64_t b)
{
    if (!witness.failed)
        snprintf(witness.why, sizeof witness.why, "%s (%lld, %lld)", why, (long long)a, (long long)b);
    witness.failed = true;
}

static uint64_t draw(uint64_t bound)
{
    return random_below(sim_random(life.world), bound);
}

/* ---- reading and holding against the witness */
static void check_record(const struct record *record, int64_t *previous, bool learn)
{
    uint32_t number = 0;
    if (record->value.size < sizeof number) {
        blame("a record is not one of ours", record->offset, 0);
        return;
    }
    memcpy(&number, record->value.data, sizeof number);
    if ((int64_t)number <= *previous)
        blame("a record came twice or out of order", record->offset, number);
    *previous = number;
    witness.checked++;
    if (record->offset < witness.flushed && witness.number_at[record->offset] != number)
        blame("a flushed record is another now", record->offset, number);
    if (learn && record->offset < RECORDS_MAX)
        witness.number_at[record->offset] = number;
}

/* Offsets that no record has. Where the mark is not known, a hole above what was flushed is believed; it stays one. */
static void check_hole(int64_t from, int64_t to, bool learn)
{
    for (int64_t offset = from; offset < to && offset < RECORDS_MAX; offset++) {
        if (learn && !witness.mark_is_known && offset >= witness.flushed)
            witness.number_at[offset] = 0;
        if (witness.number_at[offset] != 0)
            blame("a record is missing", offset, witness.number_at[offset]);
    }
}

/* Returns the offset after the piece; -1 when it cannot be read (a fault). */
static int64_t check_piece(struct slice rest, int64_t offset, int64_t *previous, bool learn)
{
    struct slice batch;
    while (record_batch_next(&rest, &batch)) {
        struct record_walk walk;
        struct record record;
        if (!record_batch_is_intact(batch))
            blame("a batch is damaged", record_batch_base_offset(batch.data), offset);
        check_hole(offset, record_batch_base_offset(batch.data), learn);
        record_walk_begin(&walk, batch);
        while (record_walk_next(&walk, &record))
            check_record(&record, previous, learn);
        record_walk_end(&walk);
        offset = record_batch_next_offset(batch.data);
    }
    if (rest.size != 0)
        blame("a piece does not end with a batch", offset, (int64_t)rest.size);
    return offset;
}

static bool read_whole(int file, uint8_t *bytes, uint32_t size, int64_t position)
{
    for (uint32_t done = 0; done < size;) {
        int64_t got = io_pread(file, bytes + done, size - done, position + done);
        if (got <= 0)
            return false;
        done += (uint32_t)got;
    }
    return true;
}

static void check_log(int64_t from, int64_t limit, bool learn)
{
    static uint8_t bytes[1 << 16];
    int64_t previous = -1;
    while (from < limit && !witness.failed) {
        struct log_slice slice;
        enum log_read_result result = log_read(life.log, from, limit, 4096, true, &slice);
        if (result == LOG_READ_OUT_OF_RANGE)
            blame("a flushed offset is out of range", from, limit);
        if (result != LOG_READ_OK)
            return;
        uint8_t *copy = learn ? bytes : mem_alloc(slice.size_bytes + 1);
        bool whole = slice.segment && slice.size_bytes <= sizeof bytes &&
                     read_whole(slice.file, copy, slice.size_bytes, slice.position);
        int64_t next = whole ? check_piece(slice_of(copy, slice.size_bytes), from, &previous, learn) : -1;
        if (!learn)
            mem_free(copy);
        log_slice_release(&slice);
        if (next <= from) {
            if (!life.faults_on)
                blame("nothing can be read", from, limit);
            return;
        }
        from = next;
    }
}

/* ---- the three threads */
/* The next append will have these offsets; the flusher may report them before the writer is back from its call. */
static void expect(int64_t base_offset, uint32_t count)
{
    if (base_offset < witness.flushed)
        blame("an offset is given twice", base_offset, witness.flushed);
    for (uint32_t i = 0; i < count && base_offset + i < RECORDS_MAX; i++)
        witness.number_at[base_offset + i] = witness.next_number - count + 1 + i;
}

static struct status append_one(struct log_batch *ret_batch, struct record_builder *builder)
{
    uint8_t value[200] = {0};
    record_builder_begin(builder);
    for (uint64_t left = 1 + draw(4); left > 0; left--) {
        uint32_t number = ++witness.next_number;
        memcpy(value, &number, sizeof number);
        record_builder_add(builder, io_wall_ms(), SLICE_NULL, slice_of(value, sizeof number + draw(190)));
    }
    struct slice bytes = record_builder_finish(builder, 0, -1, -1, -1);
    *ret_batch = (struct log_batch){.bytes = (uint8_t *)(uintptr_t)bytes.data, .size_bytes = (uint32_t)bytes.size};
    record_facts_read(bytes, &ret_batch->facts);
    struct log_batch *batches[] = {ret_batch};
    if (log_roll_is_due(life.log, ret_batch->size_bytes, ret_batch->facts.max_timestamp_ms, io_wall_ms()))
        TRY(log_roll(life.log));
    expect(log_end_offset(life.log), (uint32_t)ret_batch->facts.count);
    return log_append(life.log, batches, 1, 0, io_wall_ms());
}

static void write_records(void *context)
{
    struct record_builder builder = {0};
    while (life.appends_left-- > 0) {
        struct log_batch batch;
        io_lock_take(life.turn);
        struct status s = append_one(&batch, &builder);
        io_lock_release(life.turn);
        if (!status_is_ok(s))
            break;
        if (draw(4) == 0)
            sim_sleep_ns((int64_t)draw(3000000));
    }
    record_builder_free(&builder);
    atomic_store(&life.stop, true);
}

static void flush_records(void *context)
{
    while (!atomic_load(&life.stop)) {
        int64_t flushed;
        int64_t before = witness.flushed;
        if (!status_is_ok(log_flush(life.log, &flushed)))
            return;
        witness.mark = before; // the file of marks is one round behind
        witness.flushed = max_i64(witness.flushed, flushed);
        sim_sleep_ns((int64_t)draw(2000000));
    }
}

static void read_records(void *context)
{
    while (!atomic_load(&life.stop)) {
        int64_t limit = witness.flushed;
        if (limit > 0)
            check_log((int64_t)draw((uint64_t)limit), limit, false);
        sim_sleep_ns((int64_t)draw(5000000));
    }
}

/* ---- recovery points and the clean mark, as the broker keeps them */
static struct status save_recovery_point(void)
{
    struct checkpoint_entry entry = {slice_str("t"), 0, log_recovery_point(life.log)};
    return checkpoint_write(RECOVERY_POINTS, &entry, 1);
}

static void checkpoint_records(void *context)
{
    while (!atomic_load(&life.stop)) {
        sim_sleep_ns((int64_t)draw(60000000));
        io_lock_take(life.turn);
        struct status s = log_checkpoint(life.log);
        io_lock_release(life.turn);
        if (!status_is_ok(s) || !status_is_ok(save_recovery_point()))
            return;
    }
}

static struct status open_log(void)
{
    struct arena arena;
    struct checkpoint_entry *entries;
    int32_t count;
    int64_t epoch;
    bool clean = false;
    int made = io_mkdir(ROOT);
    if (made == 0 || made == -EEXIST)
        made = io_sync_dir("/");
    if (made < 0)
        return STATUS(-made, "make the log directory");
    TRY(dir_clean_mark_take(ROOT, &epoch, &clean));
    TRY(dir_partition_create(ROOT, "t", 0, TOPIC));
    arena_init(&arena, 4096, 1 << 20);
    struct status s = checkpoint_read(RECOVERY_POINTS, &arena, &entries, &count);
    if (!status_is_ok(s)) {
        arena_free(&arena);
        return s;
    }
    witness.mark_is_known = witness.mark_is_needed || draw(4) > 0; // the file of marks may not be there yet
    struct log_open_options options = {.directory = PARTITION,
                                       .config = &life.config,
                                       .clean_stop = clean,
                                       .recovery_point = count > 0 ? entries[0].offset : 0,
                                       .flushed_offset = witness.mark_is_known ? witness.mark : -1,
                                       .now_ms = io_wall_ms()};
    s = log_open(&options, &life.log);
    arena_free(&arena);
    if (status_is_ok(s))
        LOG(LOG_INFO, "sim", "opened%s from %lld, mark %lld: end %lld, flushed %lld; told %lld", clean ? " clean" : "",
            (long long)options.recovery_point, (long long)options.flushed_offset, (long long)log_end_offset(life.log),
            (long long)log_flushed_offset(life.log), (long long)witness.flushed);
    return s;
}

static struct status stop_cleanly(void)
{
    TRY(log_close_clean(life.log));
    TRY(save_recovery_point());
    witness.flushed = max_i64(witness.flushed, log_end_offset(life.log));
    return dir_clean_mark_write(ROOT, 1);
}

/* Recovered records that nobody was told of count from now on, so the reading must not fail. */
static void learn_all(void)
{
    struct sim_faults faults = life.faults;
    faults.read_error = 0;
    sim_faults_set(life.world, &faults);
    check_log(0, log_end_offset(life.log), true);
    sim_faults_set(life.world, &life.faults);
}

/* ---- bits that flip below the flushed mark, while the machine is off. What the format does not check can only be found by
 * comparing: the base offset and the leader epoch lie before the bytes that the CRC covers. */
enum { UNCHECKED_OFFSET_END = 8, EPOCH_AT = 12, MAGIC_AT = 16, FILES_MAX = 1 << 20 };

struct flip {
    char path[100];
    int64_t at; // in the file
    int bit;
    int64_t base_offset, next_offset; // of the batch
    struct buffer before;             // the file with the flipped bit
    size_t below_mark_bytes;          // of it; what comes then may be a torn tail
};

static struct segment_list {
    int64_t bases[64];
    int count;
} segment_list;

static void note_segment(void *context, const char *name)
{
    char *end;
    int64_t base = strtoll(name, &end, 10);
    if (strcmp(end, ".log") == 0 && segment_list.count < (int)COUNT_OF(segment_list.bases))
        segment_list.bases[segment_list.count++] = base;
}

static bool file_read(const char *path, struct buffer *bytes)
{
    int file = io_open(path, IO_READ);
    int64_t size = file < 0 ? -1 : io_file_size(file);
    bytes->size = 0;
    bool whole = size >= 0 && size < FILES_MAX;
    if (whole) {
        buffer_reserve(bytes, (size_t)size + 1);
        whole = read_whole(file, bytes->data, (uint32_t)size, 0);
        bytes->size = whole ? (size_t)size : 0;
    }
    if (file >= 0)
        io_close(file);
    return whole;
}

/* One of the batches of a segment that lie whole below the mark. */
static bool batch_choose(struct flip *flip, size_t *ret_at, size_t *ret_size)
{
    uint64_t seen = 0;
    *ret_at = *ret_size = 0;
    struct slice rest = slice_of(flip->before.data, flip->before.size), batch;
    while (record_batch_next(&rest, &batch) && record_batch_next_offset(batch.data) <= witness.mark) {
        flip->below_mark_bytes = (size_t)(batch.data - flip->before.data) + batch.size;
        if (draw(++seen) != 0)
            continue;
        *ret_at = (size_t)(batch.data - flip->before.data);
        *ret_size = batch.size;
        flip->base_offset = record_batch_base_offset(batch.data);
        flip->next_offset = record_batch_next_offset(batch.data);
    }
    return *ret_size > UNCHECKED_OFFSET_END;
}

static bool flip_one(struct flip *flip)
{
    size_t batch_at, size;
    segment_list.count = 0;
    if (witness.mark <= 0 || io_list_dir(PARTITION, note_segment, NULL) < 0 || segment_list.count == 0)
        return false;
    int64_t base = segment_list.bases[draw((uint64_t)segment_list.count)];
    snprintf(flip->path, sizeof flip->path, "%s/%020lld.log", PARTITION, (long long)base);
    if (!file_read(flip->path, &flip->before) || !batch_choose(flip, &batch_at, &size))
        return false;
    size_t in_batch = UNCHECKED_OFFSET_END + draw(size - UNCHECKED_OFFSET_END);
    if (in_batch >= EPOCH_AT && in_batch < MAGIC_AT)
        in_batch = MAGIC_AT;
    flip->at = (int64_t)(batch_at + in_batch);
    flip->bit = (int)draw(8);
    flip->before.data[flip->at] ^= (uint8_t)(1 << flip->bit);
    LOG(LOG_INFO, "sim", "flips bit %d of byte %lld of %s, in offset %lld", flip->bit, (long long)flip->at, flip->path,
        (long long)flip->base_offset);
    return sim_disk_flip(life.world, flip->path, flip->at, flip->bit);
}

/* Records below the mark that can be read and are what they were, but for the damaged batch's. */
static void check_around(const struct flip *flip)
{
    static uint8_t bytes[FILES_MAX];
    bool reported = false;
    for (int64_t from = 0; from < witness.mark && !reported;) {
        struct log_slice slice;
        if (log_read(life.log, from, witness.mark, FILES_MAX, true, &slice) != LOG_READ_OK) {
            reported = true;
            break;
        }
        bool whole = slice.segment && slice.size_bytes <= sizeof bytes &&
                     read_whole(slice.file, bytes, slice.size_bytes, slice.position);
        struct slice rest = slice_of(bytes, whole ? slice.size_bytes : 0), batch;
        int64_t before = from;
        while (record_batch_next(&rest, &batch) && !reported) {
            reported = !record_batch_is_intact(batch);
            from = record_batch_next_offset(batch.data);
        }
        reported |= rest.size > 0 || from <= before; // a client finds no batch there
        log_slice_release(&slice);
    }
    if (!reported)
        blame("a bit has flipped below the mark and nobody says so", flip->base_offset, flip->at);
}

static void check_untouched(struct flip *flip)
{
    struct buffer now CLEANUP(buffer_free) = {0};
    if (!file_read(flip->path, &now) || now.size < flip->below_mark_bytes ||
        memcmp(now.data, flip->before.data, flip->below_mark_bytes) != 0)
        blame("a damaged file was changed below the mark", flip->base_offset, flip->at);
}

static void live_with_a_flip(void)
{
    struct flip flip = {0};
    if (!flip_one(&flip)) {
        buffer_free(&flip.before);
        return;
    }
    witness.mark_is_needed = true;
    struct status s = open_log();
    witness.mark_is_needed = false;
    if (status_is_ok(s)) {
        if (log_end_offset(life.log) < witness.flushed)
            blame("a flipped bit cut flushed records", log_end_offset(life.log), witness.flushed);
        check_around(&flip);
        log_free(life.log);
    }
    witness.flips++;
    sim_disk_flip(life.world, flip.path, flip.at, flip.bit);
    flip.before.data[flip.at] ^= (uint8_t)(1 << flip.bit);
    if (!witness.failed)
        check_untouched(&flip);
    buffer_free(&flip.before);
}

static void broker_main(void *context)
{
    if (life.flips) {
        live_with_a_flip();
        return;
    }
    struct status s = open_log();
    if (!status_is_ok(s)) {
        if (!life.faults_on)
            blame(s.what, s.error, witness.flushed);
        return;
    }
    if (log_end_offset(life.log) < witness.flushed || log_flushed_offset(life.log) < witness.flushed)
        blame("flushed records are gone", log_end_offset(life.log), witness.flushed);
    learn_all();
    witness.flushed = max_i64(witness.flushed, log_flushed_offset(life.log));
    if (witness.failed)
        return;
    life.turn = io_lock_create();
    struct io_thread *threads[] = {
        io_thread_start("flusher", flush_records, NULL), io_thread_start("writer", write_records, NULL),
        io_thread_start("reader", read_records, NULL), io_thread_start("checkpoints", checkpoint_records, NULL)};
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        io_thread_join(threads[i]);
    io_lock_destroy(life.turn);
    if (life.stops_cleanly && !log_is_offline(life.log)) {
        s = stop_cleanly();
        if (!status_is_ok(s) && !life.faults_on)
            blame(s.what, s.error, 0);
    }
    log_free(life.log);
}

/* ---- seeds */
static void draw_config(void)
{
    static const int64_t SEGMENTS[] = {700, 3000, 20000, 1 << 20};
    life.config = (struct log_config){.segment_bytes = SEGMENTS[draw(COUNT_OF(SEGMENTS))],
                                      .segment_ms = 604800000,
                                      .segment_index_bytes = draw(2) ? 64 : 4096,
                                      .index_interval_bytes = draw(2) ? 100 : 4096,
                                      .retention_ms = -1,
                                      .retention_bytes = -1,
                                      .file_delete_delay_ms = 60000,
                                      .delete_retention_ms = 86400000,
                                      .producer_id_expiration_ms = 86400000,
                                      .preallocate = draw(4) == 0,
                                      .cleanup_delete = true};
}

static void draw_faults(struct sim_faults *faults, const struct sim_faults *mutant, bool last)
{
    *faults = *mutant;
    life.faults_on = !last && draw(3) == 0;
    if (last)
        return;
    faults->short_io = draw(2) ? 5 : 0;
    faults->stall = draw(4) ? 0 : 50;
    if (!life.faults_on)
        return;
    faults->write_error = draw(2) ? 100 : 0;
    faults->read_error = draw(2) ? 200 : 0;
    faults->sync_error = draw(2) ? 20 : 0;
    faults->sync_fails_forever = draw(2);
    faults->disk_bytes_max = draw(4) ? 0 : 2000 + (int64_t)draw(60000); // perhaps less than there is already
}

static void live_once(const struct sim_faults *mutant, bool last)
{
    draw_faults(&life.faults, mutant, last);
    sim_faults_set(life.world, &life.faults);
    life.stops_cleanly = draw(4) == 0;
    life.appends_left = (int)draw(150);
    atomic_store(&life.stop, false);
    enum sim_crash_kind kind = draw(4) ? SIM_POWER_CUT : SIM_KILL;
    sim_crash_after(life.world, last ? 0 : 1 + draw(draw(2) ? 300 : 6000), kind);
    LOG(LOG_INFO, "sim", "a life with %s; faults: write %u, read %u, sync %u", kind == SIM_KILL ? "kill" : "power cut",
        life.faults.write_error, life.faults.read_error, life.faults.sync_error);
    enum sim_end end = sim_run(life.world, broker_main, NULL, 10 * MINUTE_NS);
    if (end == SIM_DEADLOCK || end == SIM_TIMEOUT) {
        sim_report(life.world);
        blame(end == SIM_DEADLOCK ? "deadlock" : "no end", 0, 0);
    }
    if (end == SIM_DONE && !witness.failed && draw(2))
        sim_crash(life.world, kind);
}

/* Nothing else is wrong with the disk, so whatever happens comes from the bit. */
static void flip_once(const struct sim_faults *mutant)
{
    life.faults = *mutant;
    life.faults_on = false;
    life.flips = true;
    sim_faults_set(life.world, &life.faults);
    sim_crash_after(life.world, 0, SIM_KILL);
    if (sim_run(life.world, broker_main, NULL, 10 * MINUTE_NS) != SIM_DONE)
        blame("no end with a flipped bit", 0, 0);
    life.flips = false;
}

static bool run_seed(uint64_t seed, const struct sim_faults *mutant)
{
    memset(&witness, 0, sizeof witness);
    memset(&life, 0, sizeof life);
    life.world = sim_world_create(seed, NULL);
    witness.mark = -1;
    draw_config();
    int lives = 2 + (int)draw(LIVES_MAX - 1);
    for (int i = 0; i < lives && !witness.failed; i++) {
        if (draw(3) == 0)
            flip_once(mutant);
        if (!witness.failed)
            live_once(mutant, i == lives - 1);
    }
    sim_world_destroy(life.world);
    return !witness.failed;
}

static void no_lines(void *context, const char *line, size_t size)
{
}

int main(int argc, char **argv)
{
    struct sim_faults mutant = {0};
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    mutant.sync_lies = argc > 3 && strcmp(argv[3], "sync") == 0;
    mutant.sync_dir_lies = argc > 3 && strcmp(argv[3], "sync_dir") == 0;
    if (count > 1)
        log_sink_set(no_lines, NULL);
    uint64_t checked = 0, flips = 0;
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (!run_seed(seed, &mutant)) {
            printf("storage seed %llu failed: %s\nreplay: sim/run.sh storage %llu\n", (unsigned long long)seed,
                   witness.why, (unsigned long long)seed);
            return 1;
        }
        checked += witness.checked;
        flips += witness.flips;
    }
    printf("storage: %llu seeds from %llu held, %llu records compared, %llu flipped bits\n", (unsigned long long)count,
           (unsigned long long)from, (unsigned long long)checked, (unsigned long long)flips);
    return 0;
}
