// SPDX-License-Identifier: Apache-2.0
/* broker/checkpoints.c - the files of a log directory that say how far each partition is sure.
 *
 *   recovery-point-offset-checkpoint   Kafka's: recovery need not look below
 *   log-start-offset-checkpoint        Kafka's: where the log begins, when that is not where its first segment begins
 *   replication-offset-checkpoint      Kafka's: high watermarks
 *   cleaner-offset-checkpoint          Kafka's: below it compaction has been
 *   ottla-flushed-offset-checkpoint    ours: everything below was on the disk, so damage there is loss and no torn tail.
 *                                      Lines are by topic id, since a topic of the same name is another topic
 *
 * Each is replaced whole, and only when it would say something new. A file may be behind the truth, never before it. What
 * is known of a partition that could not be opened is kept: its line stays as it was at the start.
 */
#include "broker/broker__.h"

#include <stdlib.h>

enum { PATH_BYTES = 4096, SET_BYTES_MAX = 1 << 30 };

static const char *const NAMES[CHECKPOINT_KINDS] = {
    [CHECKPOINT_RECOVERY] = "recovery-point-offset-checkpoint", [CHECKPOINT_START] = "log-start-offset-checkpoint",
    [CHECKPOINT_VISIBLE] = "replication-offset-checkpoint",     [CHECKPOINT_CLEANED] = "cleaner-offset-checkpoint",
    [CHECKPOINT_FLUSHED] = "ottla-flushed-offset-checkpoint",
};

struct checkpoints {
    struct broker *broker;
    struct io_lock *lock; // held while writing
    uint64_t told[LOG_DIRS_MAX + 1][CHECKPOINT_KINDS];
};

struct checkpoints *checkpoints__create(struct broker *broker)
{
    struct checkpoints *checkpoints = mem_zalloc(sizeof *checkpoints);
    checkpoints->broker = broker;
    checkpoints->lock = io_lock_create();
    return checkpoints;
}

void checkpoints__free(struct checkpoints *checkpoints)
{
    if (!checkpoints)
        return;
    io_lock_destroy(checkpoints->lock);
    mem_free(checkpoints);
}

static void path_of(const char *log_dir, enum checkpoint_kind kind, char ret_path[PATH_BYTES])
{
    snprintf(ret_path, PATH_BYTES, "%s/%s", log_dir, NAMES[kind]);
}

/* ---- writing */
struct lines {
    const char *log_dir;
    enum checkpoint_kind kind;
    struct arena arena;
    struct checkpoint_entry *entries;
    int32_t count, capacity;
};

static int64_t offset_of(const struct partition *p, enum checkpoint_kind kind)
{
    const struct log *log = partition_log(p);
    const struct log_open_options *at_start = partition_open_options(p);
    switch (kind) {
    case CHECKPOINT_RECOVERY:
        return log ? log_recovery_point(log) : at_start->recovery_point;
    case CHECKPOINT_START:
        return log ? log_start_offset(log) : at_start->start_offset;
    case CHECKPOINT_VISIBLE:
        return log ? partition_high_watermark(p) : -1;
    case CHECKPOINT_CLEANED:
        return log ? log_first_dirty_offset(log) : at_start->first_dirty_offset;
    case CHECKPOINT_FLUSHED:
        return log ? log_flushed_offset(log) : at_start->flushed_offset;
    case CHECKPOINT_KINDS:
        break;
    }
    assert(!"a kind of checkpoint");
    return -1;
}

static struct slice name_of(struct arena *arena, enum checkpoint_kind kind, const char *topic, struct uuid id)
{
    char text[UUID_TEXT_SIZE];
    if (kind != CHECKPOINT_FLUSHED)
        return arena_copy(arena, slice_str(topic));
    uuid_to_text(id, text);
    return arena_copy(arena, slice_str(text));
}

/* Of a partition that moves into this directory: what is sure of its copy here. */
static int64_t offset_of_future(const struct partition *p, const struct partition_future *future,
                                enum checkpoint_kind kind)
{
    switch (kind) {
    case CHECKPOINT_RECOVERY:
    case CHECKPOINT_FLUSHED:
        return future->synced_offset;
    case CHECKPOINT_START:
        return offset_of(p, kind);
    case CHECKPOINT_VISIBLE:
        return min_i64(partition_high_watermark(p), future->end_offset);
    case CHECKPOINT_CLEANED:
    case CHECKPOINT_KINDS:
        break;
    }
    return -1;
}

static void line_add(void *context, struct partition *p)
{
    struct lines *lines = context;
    struct partition_future future = partition_future_get(p);
    bool is_here = strcmp(partition_log_dir(p), lines->log_dir) == 0;
    bool comes_here = !is_here && future.log_dir && strcmp(future.log_dir, lines->log_dir) == 0;
    bool has_place = partition_log(p) || partition_is_offline(p); // else it has no directory yet
    if (!has_place || (!is_here && !comes_here))
        return;
    int64_t offset = is_here ? offset_of(p, lines->kind) : offset_of_future(p, &future, lines->kind);
    if (offset < 0)
        return;
    if ((lines->kind == CHECKPOINT_START || lines->kind == CHECKPOINT_CLEANED) && offset == 0)
        return;
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity ? lines->capacity * 2 : 64;
        lines->entries = mem_realloc(lines->entries, (size_t)lines->capacity * sizeof *lines->entries);
    }
    lines->entries[lines->count++] = (struct checkpoint_entry){
        .topic = name_of(&lines->arena, lines->kind, partition_topic(p), partition_topic_id(p)),
        .partition = partition_index(p),
        .offset = offset,
    };
}

static int compare(const void *a, const void *b)
{
    const struct checkpoint_entry *one = a, *other = b;
    int names = slice_compare(one->topic, other->topic);
    return names != 0 ? names : (one->partition > other->partition) - (one->partition < other->partition);
}

/* Never 0, which stands for a file not written yet. */
static uint64_t digest(const struct lines *lines)
{
    uint64_t sum = 1;
    for (int32_t i = 0; i < lines->count; i++) {
        sum = hash_u64(sum ^ hash_bytes(lines->entries[i].topic));
        sum = hash_u64(sum + (uint64_t)lines->entries[i].offset);
        sum = hash_u64(sum ^ (uint32_t)lines->entries[i].partition);
    }
    return sum | 1;
}

static struct status write_one(struct checkpoints *checkpoints, int number, enum checkpoint_kind kind)
{
    struct broker *broker = checkpoints->broker;
    struct lines lines = {.log_dir = broker->dirs.dirs[number].path, .kind = kind};
    arena_init(&lines.arena, 16 << 10, SET_BYTES_MAX);
    broker__partitions_each(broker, line_add, &lines);
    if (lines.count > 1)
        qsort(lines.entries, (size_t)lines.count, sizeof *lines.entries, compare);
    uint64_t sum = digest(&lines);
    struct status s = STATUS_OK;
    if (sum != checkpoints->told[number][kind]) {
        char path[PATH_BYTES];
        path_of(lines.log_dir, kind, path);
        s = checkpoint_write(path, lines.entries, lines.count);
        if (status_is_ok(s))
            checkpoints->told[number][kind] = sum;
        else
            LOG(LOG_ERROR, "broker", "cannot write %s: %s: %s", path, s.what, strerror(s.error));
    }
    mem_free(lines.entries);
    arena_free(&lines.arena);
    return s;
}

struct status checkpoints__write(struct checkpoints *checkpoints, enum checkpoint_kind kind)
{
    const struct log_dirs *dirs = &checkpoints->broker->dirs;
    struct status s = STATUS_OK;
    io_lock_take(checkpoints->lock);
    for (int i = 0; i < dirs->count; i++) {
        if (!dirs->dirs[i].holds_partitions || atomic_load(&dirs->dirs[i].offline))
            continue;
        struct status one = write_one(checkpoints, i, kind);
        s = status_is_ok(s) ? one : s;
    }
    io_lock_release(checkpoints->lock);
    return s;
}

struct status checkpoints__flushed_remove(const char *log_dir)
{
    char path[PATH_BYTES];
    path_of(log_dir, CHECKPOINT_FLUSHED, path);
    int error = io_unlink(path);
    if (error == -ENOENT)
        return STATUS_OK;
    if (error == 0)
        error = io_sync_dir(log_dir);
    return error < 0 ? STATUS(-error, "remove the flushed mark") : STATUS_OK;
}

/* ---- reading */
struct status checkpoints__read(const char *log_dir, struct checkpoint_set *ret_set)
{
    *ret_set = (struct checkpoint_set){0};
    arena_init(&ret_set->arena, 16 << 10, SET_BYTES_MAX);
    for (int kind = 0; kind < CHECKPOINT_KINDS; kind++) {
        char path[PATH_BYTES];
        path_of(log_dir, kind, path);
        struct status s = checkpoint_read(path, &ret_set->arena, &ret_set->entries[kind], &ret_set->counts[kind]);
        if (s.error == EBADMSG) { // as Kafka: more is scanned then, and nothing is lost
            LOG(LOG_WARN, "broker", "%s is damaged and taken for empty: %s", path, s.what);
            ret_set->counts[kind] = 0;
            s = STATUS_OK;
        }
        if (!status_is_ok(s)) {
            LOG(LOG_ERROR, "broker", "%s: %s: %s", path, s.what, strerror(s.error));
            return s;
        }
        if (ret_set->counts[kind] > 1)
            qsort(ret_set->entries[kind], (size_t)ret_set->counts[kind], sizeof(struct checkpoint_entry), compare);
    }
    return STATUS_OK;
}

void checkpoints__set_free(struct checkpoint_set *set)
{
    arena_free(&set->arena);
}

int64_t checkpoints__find(const struct checkpoint_set *set, enum checkpoint_kind kind, const char *topic,
                          struct uuid topic_id, int32_t partition)
{
    char id[UUID_TEXT_SIZE];
    uuid_to_text(topic_id, id);
    struct checkpoint_entry wanted = {.topic = slice_str(kind == CHECKPOINT_FLUSHED ? id : topic),
                                      .partition = partition};
    if (set->counts[kind] == 0)
        return -1;
    const struct checkpoint_entry *found =
        bsearch(&wanted, set->entries[kind], (size_t)set->counts[kind], sizeof wanted, compare);
    return found ? found->offset : -1;
}
