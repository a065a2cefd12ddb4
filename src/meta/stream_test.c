// SPDX-License-Identifier: Apache-2.0
/* meta/stream_test.c - the laws of images, over random streams of records of every type.
 *
 * Whatever comes: what was applied live equals what its log gives from nothing, and what its snapshot gives; a record that
 * is refused changes nothing; an image that somebody holds never changes, though trees are shared; and the difference of
 * two images, laid on the first, names exactly the topics that differ. Names and ids are drawn from a few, so that records
 * meet; a seed gives the same stream again.
 */
#include "meta/meta_test.h"

enum { SEEDS = 60, STEPS = 1500, HELD = 8 };

struct draw {
    struct random random;
    char text[8][16];
    int texts;
    int32_t nodes[8][4];
    int lists;
    struct uuid ids[4];
    struct register_broker_record_broker_endpoint endpoints[2];
    struct register_controller_record_controller_endpoint controllers[2];
    struct register_broker_record_broker_feature features[2];
    struct client_quota_record_entity_data entity[2];
    struct slice renewers[2];
};

static int below(struct draw *draw, int bound)
{
    return (int)random_below(&draw->random, (uint64_t)bound);
}

static struct slice text(struct draw *draw, const char *stem, int bound)
{
    char *place = draw->text[draw->texts++ % 8];
    snprintf(place, 16, "%s%d", stem, below(draw, bound));
    return slice_str(place);
}

static struct slice text_or_null(struct draw *draw, const char *stem, int bound)
{
    return below(draw, 3) ? text(draw, stem, bound) : SLICE_NULL;
}

static int32_t *nodes(struct draw *draw, int count)
{
    int32_t *list = draw->nodes[draw->lists++ % 8];
    for (int i = 0; i < count; i++)
        list[i] = below(draw, 5);
    return list;
}

static struct uuid *ids(struct draw *draw)
{
    bool all_unknown = below(draw, 3) == 0;
    for (int i = 0; i < 4; i++)
        draw->ids[i] = all_unknown ? UUID_ZERO : id_of((uint64_t)below(draw, 4));
    return draw->ids;
}

static struct slice draw_partition(struct draw *draw)
{
    struct partition_record r;
    partition_record_init(&r);
    r.topic_id = id_of((uint64_t)below(draw, 12) + 1);
    r.partition_id = below(draw, 4) ? below(draw, 5) : below(draw, 300);
    r.replicas_count = r.directories_count = below(draw, 4);
    r.replicas = nodes(draw, r.replicas_count);
    r.directories = ids(draw);
    if (below(draw, 10) == 0)
        r.directories_count = below(draw, 4);
    r.isr_count = below(draw, r.replicas_count + 1);
    r.isr = below(draw, 2) ? r.replicas : nodes(draw, r.isr_count);
    r.leader = below(draw, 5) - 1;
    r.leader_epoch = below(draw, 9);
    r.partition_epoch = below(draw, 9);
    r.leader_recovery_state = (int8_t)below(draw, 2);
    r.eligible_leader_replicas_count = below(draw, 3) - 1;
    r.eligible_leader_replicas = nodes(draw, 2);
    r.adding_replicas_count = below(draw, 3);
    r.adding_replicas = nodes(draw, 2);
    return encoded(META_PARTITION, &r);
}

static struct slice draw_partition_change(struct draw *draw)
{
    struct partition_change_record r;
    partition_change_record_init(&r);
    r.topic_id = id_of((uint64_t)below(draw, 12) + 1);
    r.partition_id = below(draw, 5);
    r.leader = below(draw, 6) - 2;
    r.leader_recovery_state = (int8_t)(below(draw, 3) - 1);
    r.isr_count = below(draw, 4) - 1;
    r.isr = nodes(draw, 3);
    r.replicas_count = below(draw, 8) ? -1 : below(draw, 4);
    r.replicas = nodes(draw, 3);
    r.directories_count = r.replicas_count >= 0 || below(draw, 6) == 0 ? below(draw, 4) : -1;
    r.directories = ids(draw);
    r.removing_replicas_count = below(draw, 3) - 1;
    r.removing_replicas = nodes(draw, 2);
    r.eligible_leader_replicas_count = below(draw, 4) - 1;
    r.eligible_leader_replicas = nodes(draw, 3);
    r.last_known_elr_count = below(draw, 3) - 1;
    r.last_known_elr = nodes(draw, 2);
    return encoded(META_PARTITION_CHANGE, &r);
}

static struct slice draw_topic(struct draw *draw, int kind)
{
    struct topic_record topic = {.name = text(draw, below(draw, 30) ? "t" : "t/", 12),
                                 .topic_id = id_of((uint64_t)below(draw, 12) + 1)};
    struct remove_topic_record gone = {.topic_id = id_of((uint64_t)below(draw, 12) + 1)};
    struct clear_elr_record clear = {.topic_name = below(draw, 4) ? text(draw, "t", 12) : slice_str("")};
    return kind == 0   ? encoded(META_TOPIC, &topic)
           : kind == 1 ? encoded(META_REMOVE_TOPIC, &gone)
                       : encoded(META_CLEAR_ELR, &clear);
}

static struct slice draw_registration(struct draw *draw)
{
    for (int i = 0; i < 2; i++) {
        draw->endpoints[i] = (struct register_broker_record_broker_endpoint){
            .name = text(draw, "L", 3), .host = text(draw, "h", 3), .port = (uint16_t)below(draw, 65536)};
        draw->features[i] = (struct register_broker_record_broker_feature){
            .name = text(draw, "f", 2), .max_supported_version = (int16_t)below(draw, 3)};
    }
    struct register_broker_record r;
    register_broker_record_init(&r);
    r.broker_id = below(draw, 4) - (below(draw, 40) == 0);
    r.broker_epoch = below(draw, 3);
    r.rack = text_or_null(draw, "r", 2);
    r.fenced = below(draw, 2);
    r.end_points = draw->endpoints;
    r.end_points_count = below(draw, 3);
    r.features = draw->features;
    r.features_count = below(draw, 3);
    r.log_dirs = r.cordoned_log_dirs = ids(draw);
    r.log_dirs_count = below(draw, 3);
    r.cordoned_log_dirs_count = below(draw, 3) - 1;
    return encoded(META_REGISTER_BROKER, &r);
}

static struct slice draw_controller(struct draw *draw)
{
    for (int i = 0; i < 2; i++)
        draw->controllers[i] = (struct register_controller_record_controller_endpoint){.name = text(draw, "C", 3),
                                                                                       .host = text(draw, "h", 3)};
    struct register_controller_record r;
    register_controller_record_init(&r);
    r.controller_id = below(draw, 3);
    r.incarnation_id = id_of((uint64_t)below(draw, 3));
    r.end_points = draw->controllers;
    r.end_points_count = below(draw, 3);
    return encoded(META_REGISTER_CONTROLLER, &r);
}

static struct slice draw_broker_change(struct draw *draw)
{
    int32_t id = below(draw, 4);
    int64_t epoch = below(draw, 3);
    struct broker_registration_change_record change;
    broker_registration_change_record_init(&change);
    change.broker_id = id;
    change.broker_epoch = epoch;
    change.fenced = (int8_t)(below(draw, 4) - 1);
    change.in_controlled_shutdown = (int8_t)below(draw, 2);
    change.log_dirs = change.cordoned_log_dirs = ids(draw);
    change.log_dirs_count = below(draw, 3);
    change.cordoned_log_dirs_count = below(draw, 3) - 1;
    struct fence_broker_record fence = {.id = id, .epoch = epoch};
    struct unfence_broker_record unfence = {.id = id, .epoch = epoch};
    struct unregister_broker_record gone = {.broker_id = id, .broker_epoch = epoch};
    switch (below(draw, 6)) {
    case 0:
        return encoded(META_FENCE_BROKER, &fence);
    case 1:
        return encoded(META_UNFENCE_BROKER, &unfence);
    case 2:
        return encoded(META_UNREGISTER_BROKER, &gone);
    default:
        return encoded(META_BROKER_CHANGE, &change);
    }
}

static struct slice draw_config(struct draw *draw)
{
    static const int8_t types[] = {2, 2, 4, 8, 16, 32, 3};
    struct config_record r = {.resource_type = types[below(draw, below(draw, 10) ? 6 : 7)],
                              .resource_name = text(draw, "t", 4),
                              .name = text(draw, "k", 5),
                              .value = text_or_null(draw, "v", 9)};
    return encoded(META_CONFIG, &r);
}

static struct slice draw_quota(struct draw *draw)
{
    for (int i = 0; i < 2; i++)
        draw->entity[i] = (struct client_quota_record_entity_data){.entity_type = text(draw, "e", 3),
                                                                   .entity_name = text_or_null(draw, "n", 3)};
    struct client_quota_record r = {.entity = draw->entity,
                                    .entity_count = below(draw, 3),
                                    .key = text(draw, "q", 3),
                                    .value = below(draw, 100) / 3.0,
                                    .remove = below(draw, 3) == 0};
    return encoded(META_CLIENT_QUOTA, &r);
}

static struct slice draw_access(struct draw *draw)
{
    struct access_control_entry_record acl = {.id = id_of((uint64_t)below(draw, 9)),
                                              .resource_name = text(draw, "t", 9),
                                              .principal = text(draw, "User:", 3),
                                              .host = slice_str("*")};
    struct remove_access_control_entry_record no_acl = {.id = id_of((uint64_t)below(draw, 9))};
    struct user_scram_credential_record scram = {.name = text(draw, "u", 4),
                                                 .mechanism = (int8_t)below(draw, 4),
                                                 .salt = text(draw, "s", 9),
                                                 .stored_key = text(draw, "k", 9),
                                                 .server_key = text(draw, "v", 9),
                                                 .iterations = below(draw, 9000)};
    struct remove_user_scram_credential_record no_scram = {.name = text(draw, "u", 4),
                                                           .mechanism = (int8_t)below(draw, 3)};
    for (int i = 0; i < 2; i++)
        draw->renewers[i] = text(draw, "User:", 5);
    struct delegation_token_record token = {.token_id = text(draw, "id", 5),
                                            .owner = slice_str("User:o"),
                                            .requester = slice_str("User:q"),
                                            .renewers = draw->renewers,
                                            .renewers_count = below(draw, 3),
                                            .issue_timestamp = below(draw, 9)};
    struct remove_delegation_token_record no_token = {.token_id = text(draw, "id", 5)};
    switch (below(draw, 6)) {
    case 0:
        return encoded(META_ACL, &acl);
    case 1:
        return encoded(META_REMOVE_ACL, &no_acl);
    case 2:
        return encoded(META_SCRAM, &scram);
    case 3:
        return encoded(META_REMOVE_SCRAM, &no_scram);
    case 4:
        return encoded(META_DELEGATION_TOKEN, &token);
    default:
        return encoded(META_REMOVE_TOKEN, &no_token);
    }
}

static struct slice draw_rest(struct draw *draw)
{
    static const char *const names[] = {"metadata.version", "eligible.leader.replicas.version", "group.version",
                                        "no.such.feature"};
    int name = below(draw, 4);
    struct feature_level_record level = {.name = slice_str(names[name]),
                                         .feature_level = (int16_t)(name ? below(draw, 3) : 5 + below(draw, 27))};
    struct producer_ids_record block = {
        .broker_id = 1, .broker_epoch = below(draw, 9), .next_producer_id = below(draw, 2000)};
    struct zk_migration_state_record migration = {.zk_migration_state = (int8_t)(below(draw, 4) - 1)};
    struct no_op_record nothing = {0};
    switch (below(draw, 4)) {
    case 0:
        return encoded(META_FEATURE_LEVEL, &level);
    case 1:
        return encoded(META_PRODUCER_IDS, &block);
    case 2:
        return encoded(META_ZK_MIGRATION, &migration);
    default:
        return encoded(META_NO_OP, &nothing);
    }
}

static struct slice draw_transaction(struct draw *draw)
{
    struct begin_transaction_record begin = {.name = text_or_null(draw, "x", 3)};
    struct end_transaction_record end = {0};
    struct abort_transaction_record stop = {.reason = text_or_null(draw, "y", 3)};
    int kind = below(draw, 3);
    return kind == 0   ? encoded(META_BEGIN_TRANSACTION, &begin)
           : kind == 1 ? encoded(META_END_TRANSACTION, &end)
                       : encoded(META_ABORT_TRANSACTION, &stop);
}

static struct slice draw_record(struct draw *draw)
{
    int kind = below(draw, 100);
    if (kind < 20)
        return draw_partition(draw);
    if (kind < 45)
        return draw_partition_change(draw);
    if (kind < 60)
        return draw_topic(draw, kind < 55 ? 0 : kind < 59 ? 1 : 2);
    if (kind < 64)
        return draw_registration(draw);
    if (kind < 66)
        return draw_controller(draw);
    if (kind < 72)
        return draw_broker_change(draw);
    if (kind < 80)
        return draw_config(draw);
    if (kind < 85)
        return draw_quota(draw);
    if (kind < 93)
        return draw_access(draw);
    return kind < 97 ? draw_rest(draw) : draw_transaction(draw);
}

/* An image that is held, and what its snapshot was when it was taken. */
struct held {
    struct meta_image *image;
    struct stream snapshot;
};

static void hold(struct held *held, struct meta_builder *builder)
{
    held->image = meta_builder_image(builder);
    meta_snapshot_write(held->image, stream_add, &held->snapshot);
}

static void release(struct held *held)
{
    struct stream now = {0};
    if (!held->image)
        return;
    meta_snapshot_write(held->image, stream_add, &now);
    assert_int_equal(now.bytes.size, held->snapshot.bytes.size);
    assert_true(now.bytes.size == 0 || memcmp(now.bytes.data, held->snapshot.bytes.data, now.bytes.size) == 0);
    meta_image_unref(held->image);
    buffer_free(&now.bytes);
    buffer_free(&held->snapshot.bytes);
    *held = (struct held){0};
}

/* A copy of a topic's content by its own snapshot bytes would be heavy; partitions are compared one by one. */
static bool same_partition(const struct meta_partition *a, const struct meta_partition *b)
{
    return a == b || (a && b && a->partition_epoch == b->partition_epoch && a->leader_epoch == b->leader_epoch &&
                      a->leader == b->leader && a->replica_count == b->replica_count && a->isr_count == b->isr_count);
}

struct named {
    const struct meta_image *from, *to;
    int count;
};

static void check_named(void *context, const struct meta_topic *was, const struct meta_topic *now)
{
    struct named *named = context;
    struct slice name = was ? was->name : now->name;
    assert_ptr_equal(meta_topic_by_name(named->from, name), was);
    assert_ptr_equal(meta_topic_by_name(named->to, name), now);
    named->count++;
}

/* Topics that the difference does not name are the same item in both. */
static void check_difference(const struct meta_image *from, const struct meta_image *to)
{
    struct named named = {from, to, 0};
    meta_topics_diff(from, to, check_named, &named);
    int expected = 0;
    struct meta_walk walk;
    meta_topics_begin(to, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));) {
        const struct meta_topic *before = meta_topic_by_name(from, topic->name);
        expected += before != topic;
        for (int32_t i = 0; before == topic && i < topic->partition_count; i++)
            assert_true(same_partition(meta_topic_partition(before, i), meta_topic_partition(topic, i)));
    }
    meta_topics_begin(from, SLICE_NULL, &walk);
    for (const struct meta_topic *topic; (topic = meta_topics_next(&walk));)
        expected += meta_topic_by_name(to, topic->name) == NULL;
    assert_int_equal(named.count, expected);
}

static void step(struct draw *draw, struct meta_builder *builder, struct stream *log)
{
    struct slice record = draw_record(draw);
    bool is_checked = below(draw, 20) == 0;
    struct meta_builder *before = is_checked ? meta_builder_create(meta_builder_view(builder)) : NULL;
    struct status status = meta_apply(builder, record);
    if (status_is_ok(status))
        stream_add(log, record);
    else if (before)
        assert_true(meta_image_equal(meta_builder_view(before), meta_builder_view(builder)));
    meta_builder_free(before);
}

static void run(uint64_t seed)
{
    struct draw draw = {.texts = 0};
    struct meta_builder *builder = meta_builder_create(NULL);
    struct stream log = {0};
    struct held held[HELD] = {{0}};
    random_seed(&draw.random, seed);
    for (int i = 0; i < STEPS; i++) {
        step(&draw, builder, &log);
        if (below(&draw, 50) != 0)
            continue;
        struct held *one = &held[below(&draw, HELD)];
        release(one);
        hold(one, builder);
        if (held[0].image)
            check_difference(held[0].image, one->image);
    }
    assert_true(log.count > STEPS / 4);
    struct meta_image *live = meta_builder_image(builder), *replayed = stream_image(&log);
    assert_true(meta_image_equal(live, replayed));
    assert_snapshot_gives(live);
    meta_image_unref(replayed);
    meta_image_unref(live);
    meta_builder_free(builder);
    for (int i = 0; i < HELD; i++)
        release(&held[i]);
    buffer_free(&log.bytes);
}

static void live_state_equals_its_log_and_its_snapshot(void **state)
{
    const char *given = getenv("OTTLA_SEED");
    if (given) {
        run(strtoull(given, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

/* The trees against a sorted array, over random puts and removals. */
static void trees_hold_what_a_plain_set_holds(void **state)
{
    enum { NAMES = 500, MOVES = 4000 };
    struct draw draw = {.texts = 0};
    random_seed(&draw.random, 5);
    struct meta_builder *builder = meta_builder_create(NULL);
    bool is_there[NAMES] = {false};
    int count = 0;
    for (int i = 0; i < MOVES; i++) {
        int n = below(&draw, NAMES);
        char name[16];
        snprintf(name, sizeof name, "t%03d", n);
        struct topic_record topic = {.name = slice_str(name), .topic_id = id_of((uint64_t)n + 1)};
        struct remove_topic_record gone = {.topic_id = id_of((uint64_t)n + 1)};
        apply_ok(builder, is_there[n] ? encoded(META_REMOVE_TOPIC, &gone) : encoded(META_TOPIC, &topic));
        is_there[n] = !is_there[n];
        count += is_there[n] ? 1 : -1;
        assert_int_equal(meta_builder_view(builder)->topic_count, count);
    }
    struct meta_walk walk;
    meta_topics_begin(meta_builder_view(builder), SLICE_NULL, &walk);
    for (int n = 0; n < NAMES; n++)
        if (is_there[n])
            assert_true(uuid_equal(meta_topics_next(&walk)->id, id_of((uint64_t)n + 1)));
    assert_null(meta_topics_next(&walk));
    meta_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_state_equals_its_log_and_its_snapshot),
        cmocka_unit_test(trees_hold_what_a_plain_set_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
