// SPDX-License-Identifier: Apache-2.0
/* broker/fetch_session.c - the table of fetch sessions; see fetch_session.h.
 *
 * At most `slots` sessions. When full, a new one takes the place of the one that was unused for longest, if that is longer
 * than EVICT_UNUSED_MS; else the client is served without a session, which costs it only bytes.
 */
#include "broker/fetch_session.h"

#include "io/io.h"
#include "wire/gen/errors.h"

enum { EVICT_UNUSED_MS = 120000 };

struct fetch_sessions {
    struct io_lock *lock;
    struct hash by_id;
    int32_t slots;
};

struct fetch_sessions *fetch_sessions__create(int32_t slots)
{
    struct fetch_sessions *sessions = mem_zalloc(sizeof *sessions);
    sessions->lock = io_lock_create();
    sessions->slots = slots;
    hash_init(&sessions->by_id);
    return sessions;
}

static void position_free(struct fetch_session *session, struct fetch_position *position)
{
    hash_remove(&session->positions, &position->in_session);
    list_remove(&position->in_order);
    mem_free(position->name);
    mem_free(position);
}

/* With the lock. */
static void unref(struct fetch_session *session)
{
    if (--session->references > 0)
        return;
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
    unref(session);
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

static void evict_one(struct fetch_sessions *sessions, int64_t now_ms)
{
    struct fetch_session *oldest = NULL;
    for (struct hash_node *node = NULL; (node = hash_iterate(&sessions->by_id, node));) {
        struct fetch_session *session = CONTAINER_OF(node, struct fetch_session, in_table);
        if (!session->busy && (!oldest || session->used_ms < oldest->used_ms))
            oldest = session;
    }
    if (oldest && now_ms - oldest->used_ms > EVICT_UNUSED_MS)
        unlist(sessions, oldest);
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

struct fetch_session *fetch_session__add(struct fetch_sessions *sessions, bool uses_topic_ids, int64_t now_ms)
{
    struct fetch_session *session = NULL;
    io_lock_take(sessions->lock);
    if (sessions->by_id.count >= (size_t)sessions->slots)
        evict_one(sessions, now_ms);
    if (sessions->by_id.count < (size_t)sessions->slots) {
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
    }
    io_lock_release(sessions->lock);
    return session;
}

void fetch_session__done(struct fetch_sessions *sessions, struct fetch_session *session)
{
    io_lock_take(sessions->lock);
    session->busy = false;
    unref(session);
    io_lock_release(sessions->lock);
}

int32_t fetch_sessions__count(struct fetch_sessions *sessions)
{
    io_lock_take(sessions->lock);
    int32_t count = (int32_t)sessions->by_id.count;
    io_lock_release(sessions->lock);
    return count;
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
