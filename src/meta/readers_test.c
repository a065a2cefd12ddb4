// SPDX-License-Identifier: Apache-2.0
/* meta/readers_test.c - threads read and release images while a builder goes on from them.
 *
 * Run it under the thread sanitizer. Each record raises the partition epoch of every partition of one topic in turn, so an
 * image that a reader holds is whole if and only if the epochs of its partitions add up to the number it was published with.
 */
#include "io/io.h"
#include "meta/meta_test.h"

enum { READERS = 3, PARTITIONS = 40, CHANGES = 3000 };

struct board {
    struct io_lock *lock;
    struct meta_image *image; // the newest; counted
    _Atomic bool is_done;
    _Atomic int faults;
};

static struct meta_image *take_newest(struct board *board)
{
    io_lock_take(board->lock);
    struct meta_image *image = meta_image_ref(board->image);
    io_lock_release(board->lock);
    return image;
}

static void publish(struct board *board, struct meta_image *image)
{
    io_lock_take(board->lock);
    struct meta_image *before = board->image;
    board->image = image;
    io_lock_release(board->lock);
    meta_image_unref(before);
}

static int64_t sum_of_epochs(const struct meta_image *image)
{
    const struct meta_topic *topic = meta_topic_by_name(image, slice_str("t"));
    int64_t sum = 0;
    for (int32_t i = 0; i < topic->partition_count; i++)
        sum += meta_topic_partition(topic, i)->partition_epoch;
    return sum;
}

static void read_again_and_again(void *context)
{
    struct board *board = context;
    while (!board->is_done) {
        struct meta_image *image = take_newest(board);
        if (sum_of_epochs(image) != image->offset)
            board->faults++;
        meta_image_unref(image);
    }
}

static struct meta_builder *topic_of_many_partitions(void)
{
    struct meta_builder *builder = meta_builder_create(NULL);
    struct topic_record topic = {.name = slice_str("t"), .topic_id = id_of(1)};
    apply_ok(builder, encoded(META_TOPIC, &topic));
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct partition_record record;
        partition_record_init(&record);
        record.topic_id = id_of(1);
        record.partition_id = i;
        record.partition_epoch = 0;
        apply_ok(builder, encoded(META_PARTITION, &record));
    }
    meta_builder_position(builder, 0, 1, 0);
    return builder;
}

static void images_stay_whole_while_the_builder_goes_on(void **state)
{
    struct meta_builder *builder = topic_of_many_partitions();
    struct board board = {.lock = io_lock_create(), .image = meta_builder_image(builder)};
    struct io_thread *threads[READERS];
    for (int i = 0; i < READERS; i++)
        threads[i] = io_thread_start("reader", read_again_and_again, &board);
    for (int i = 1; i <= CHANGES; i++) {
        struct partition_change_record change;
        partition_change_record_init(&change);
        change.topic_id = id_of(1);
        change.partition_id = i % PARTITIONS;
        apply_ok(builder, encoded(META_PARTITION_CHANGE, &change));
        meta_builder_position(builder, i, 1, 0);
        if (i % 3 == 0)
            publish(&board, meta_builder_image(builder));
    }
    board.is_done = true;
    for (int i = 0; i < READERS; i++)
        io_thread_join(threads[i]);
    assert_int_equal(board.faults, 0);
    assert_int_equal(sum_of_epochs(board.image), CHANGES);
    meta_image_unref(board.image);
    io_lock_destroy(board.lock);
    meta_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(images_stay_whole_while_the_builder_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
