// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_session.c - the table of fetch sessions; see fetch_session.h.
 *
 * At most `slots` sessions. When full, a new one takes the place of the one that was unused for longest, if that is longer
 * than EVICT_UNUSED_MS; else the client is served without a session, which costs it only bytes. The same holds when all sessions
 * together have `bytes_max`: a new one needs room, and one that would grow past it ends.
 */
#include "broker/fetch_session.h"

#include "io/io.h"
#include "wire/gen/errors.h"

enum { EVICT_UNUSED_MS = 120000 };

struct fetch_sessions {
    struct io_lock *lock;
    struct hash by_id;
    int32_t slots;
    int64_t bytes, bytes_max; // of all positions, with those that their requests may add
    uint64_t refused;
};

struct fetch_sessions *fetch_sessions__create(int32_t slots, int64_t bytes_max)
{
    struct fetch_sessions *sessions = mem_zalloc(sizeof *sessions);
    sessions->lock = io_lock_create();
    sessions->slots = slots;
    sessions->bytes_max = bytes_max;
    hash_init(&sessions->by_id);
    return sessions;
}

static int64_t position_bytes(const struct fetch_position *position)
{
    return FETCH_POSITION_BYTES + (position->name ? (int64_t)strlen(position->name) : 0);
}

static void position_free(struct fetch_session *session, struct fetch_position *position)
{
    session->bytes -= position_bytes(position);
    hash_remove(&session->positions, &position->in_session);
    list_remove(&position->in_order);
    mem_free(position->name);
    mem_free(position);
}

/* So many of the table's bytes are its own from now on. With the lock. */
static void count(struct fetch_sessions *sessions, struct fetch_session *session, int64_t bytes)
{
    sessions->bytes += bytes - session->counted_bytes;
    session->counted_bytes = bytes;
}

/* With the lock. */
static void unref(struct fetch_sessions *sessions, struct fetch_session *session)
{
    if (--session->references > 0)
        return;
    count(sessions, session, 0);
    for (struct list *node; !list_is_empty(&session->order);) {
        node = session->order.next;
        position_free(session, CONTAINER_OF(node, struct fetch_position, in_order));
    }
    hash_free(&session->positions);
    mem_free(session);
}

static void unlist(struct fetch_sessions *sessions, struct fetch_session *session)
{
    assert(session->listed);
    session->listed = false;
    hash_remove(&sessions->by_id, &session->in_table);
    unref(sessions, session);
}

void fetch_sessions__free(struct fetch_sessions *sessions)
{
    if (!sessions)
        return;
    for (struct hash_node *node; (node = hash_iterate(&sessions->by_id, NULL));)
        unlist(sessions, CONTAINER_OF(node, struct fetch_session, in_table));
    hash_free(&sessions->by_id);
    io_lock_destroy(sessions->lock);
    mem_free(sessions);
}

static struct fetch_session *find(struct fetch_sessions *sessions, int32_t id)
{
    struct hash_node *node = hash_first(&sessions->by_id, hash_u64((uint32_t)id));
    for (; node; node = hash_next(node)) {
        struct fetch_session *session = CONTAINER_OF(node, struct fetch_session, in_table);
        if (session->id == id)
            return session;
    }
    return NULL;
}

static int16_t use_check(const struct fetch_session *session, int32_t epoch, bool uses_topic_ids)
{
    if (!session)
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    if (session->busy || session->epoch != epoch)
        return KAFKA_INVALID_FETCH_SESSION_EPOCH;
    return session->uses_topic_ids == uses_topic_ids ? KAFKA_NONE : KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
}

int16_t fetch_session__use(struct fetch_sessions *sessions, int32_t id, int32_t epoch, bool uses_topic_ids,
                           int64_t now_ms, struct fetch_session **ret_session)
{
    io_lock_take(sessions->lock);
    struct fetch_session *session = find(sessions, id);
    int16_t error = use_check(session, epoch, uses_topic_ids);
    if (error == KAFKA_NONE) {
        session->busy = true;
        session->references++;
        session->used_ms = now_ms;
        session->epoch = epoch == INT32_MAX ? 1 : epoch + 1;
        *ret_session = session;
    }
    io_lock_release(sessions->lock);
    return error;
}

void fetch_session__remove(struct fetch_sessions *sessions, int32_t id)
{
    io_lock_take(sessions->lock);
    struct fetch_session *session = find(sessions, id);
    if (session)
        unlist(sessions, session);
    io_lock_release(sessions->lock);
}

/* True when there was one to go. */
static bool evict_one(struct fetch_sessions *sessions, int64_t now_ms)
{
    struct fetch_session *oldest = NULL;
    for (struct hash_node *node = NULL; (node = hash_iterate(&sessions->by_id, node));) {
        struct fetch_session *session = CONTAINER_OF(node, struct fetch_session, in_table);
        if (!session->busy && (!oldest || session->used_ms < oldest->used_ms))
            oldest = session;
    }
    if (!oldest || now_ms - oldest->used_ms <= EVICT_UNUSED_MS)
        return false;
    unlist(sessions, oldest);
    return true;
}

static bool make_room(struct fetch_sessions *sessions, int64_t bytes, int64_t now_ms)
{
    while (sessions->bytes + bytes > sessions->bytes_max)
        if (bytes > sessions->bytes_max || !evict_one(sessions, now_ms))
            return false;
    return true;
}

static int32_t free_id(struct fetch_sessions *sessions)
{
    for (;;) {
        uint32_t id;
        io_random(&id, sizeof id);
        id &= INT32_MAX;
        if (id != 0 && !find(sessions, (int32_t)id))
            return (int32_t)id;
    }
}

struct fetch_session *fetch_session__add(struct fetch_sessions *sessions, bool uses_topic_ids, int64_t bytes,
                                         int64_t now_ms)
{
    struct fetch_session *session = NULL;
    io_lock_take(sessions->lock);
    if (sessions->by_id.count >= (size_t)sessions->slots)
        evict_one(sessions, now_ms);
    bool has_room = sessions->by_id.count < (size_t)sessions->slots && make_room(sessions, bytes, now_ms);
    sessions->refused += !has_room;
    if (has_room) {
        session = mem_zalloc(sizeof *session);
        session->id = free_id(sessions);
        session->epoch = 1;
        session->references = 2; // the table's and the request's
        session->uses_topic_ids = uses_topic_ids;
        session->busy = session->listed = true;
        session->used_ms = session->made_ms = now_ms;
        hash_init(&session->positions);
        list_init(&session->order);
        hash_insert(&sessions->by_id, &session->in_table, hash_u64((uint32_t)session->id));
        count(sessions, session, bytes);
    }
    io_lock_release(sessions->lock);
    return session;
}

bool fetch_session__may_grow(struct fetch_sessions *sessions, struct fetch_session *session, int64_t bytes)
{
    assert(session->busy);
    io_lock_take(sessions->lock);
    bool may = bytes == 0 || sessions->bytes + bytes <= sessions->bytes_max;
    if (may)
        count(sessions, session, session->counted_bytes + bytes);
    sessions->refused += !may;
    io_lock_release(sessions->lock);
    return may;
}

void fetch_session__done(struct fetch_sessions *sessions, struct fetch_session *session)
{
    io_lock_take(sessions->lock);
    count(sessions, session, session->bytes); // what its request named and had already counts once
    session->busy = false;
    unref(sessions, session);
    io_lock_release(sessions->lock);
}

void fetch_sessions__numbers(struct fetch_sessions *sessions, struct broker_numbers *numbers)
{
    io_lock_take(sessions->lock);
    numbers->fetch_sessions = sessions->by_id.count;
    numbers->fetch_session_bytes = (uint64_t)sessions->bytes;
    numbers->fetch_sessions_refused = sessions->refused;
    io_lock_release(sessions->lock);
}

static uint64_t position_hash(struct uuid topic_id, struct slice name, int32_t index)
{
    uint64_t of_topic =
        slice_is_null(name) ? hash_bytes(slice_of(topic_id.bytes, sizeof topic_id.bytes)) : hash_bytes(name);
    return hash_u64(of_topic + (uint32_t)index);
}

static bool is_position(const struct fetch_position *position, struct uuid topic_id, struct slice name, int32_t index)
{
    if (position->index != index)
        return false;
    return position->name ? slice_equal(slice_str(position->name), name) : uuid_equal(position->topic_id, topic_id);
}

struct fetch_position *fetch_session__position(struct fetch_session *session, struct uuid topic_id, struct slice name,
                                               int32_t index, bool add)
{
    uint64_t hash = position_hash(topic_id, name, index);
    for (struct hash_node *node = hash_first(&session->positions, hash); node; node = hash_next(node)) {
        struct fetch_position *position = CONTAINER_OF(node, struct fetch_position, in_session);
        if (is_position(position, topic_id, name, index))
            return position;
    }
    if (!add)
        return NULL;
    struct fetch_position *position = mem_zalloc(sizeof *position);
    position->topic_id = topic_id;
    position->name = slice_is_null(name) ? NULL : slice_to_str(name);
    position->index = index;
    position->told_high_watermark = position->told_start_offset = -1;
    session->bytes += position_bytes(position);
    hash_insert(&session->positions, &position->in_session, hash);
    list_push_back(&session->order, &position->in_order);
    return position;
}

void fetch_session__forget(struct fetch_session *session, struct uuid topic_id, struct slice name, int32_t index)
{
    struct fetch_position *position = fetch_session__position(session, topic_id, name, index, false);
    if (position)
        position_free(session, position);
}

void fetch_session__move_back(struct fetch_session *session, struct fetch_position *position)
{
    list_remove(&position->in_order);
    list_push_back(&session->order, &position->in_order);
}
