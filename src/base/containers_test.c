// SPDX-License-Identifier: Apache-2.0
/* base/containers_test.c - lists, tables, heaps, arenas and buffers against the plainest thing that does the same. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

/* ---- list */
struct item {
    struct list in_list;
    struct hash_node in_hash;
    struct heap_node in_heap;
    int number;
    bool present;
};

static int number_of(const struct list *node)
{
    return CONTAINER_OF(node, struct item, in_list)->number;
}

static void a_list_keeps_its_order(void **state)
{
    struct list list, other;
    struct item items[6];
    list_init(&list);
    list_init(&other);
    assert_true(list_is_empty(&list));
    assert_null(list_pop_front(&list));
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_init(&items[i].in_list);
        list_remove(&items[i].in_list); // fine on no list
    }
    list_push_back(&list, &items[1].in_list);
    list_push_back(&list, &items[2].in_list);
    list_push_front(&list, &items[0].in_list);
    for (int i = 3; i < 6; i++)
        list_push_back(&other, &items[i].in_list);
    list_splice_back(&list, &other);
    assert_true(list_is_empty(&other));
    int next = 0;
    LIST_EACH (node, &list)
        assert_int_equal(number_of(node), next++);
    assert_int_equal(next, 6);
    LIST_EACH_SAFE (node, &list)
        if (number_of(node) % 2 == 0)
            list_remove(node);
    for (int i = 1; i < 6; i += 2)
        assert_int_equal(number_of(list_pop_front(&list)), i);
    list_splice_back(&list, &other); // nothing to nothing
    assert_true(list_is_empty(&list));
}

/* ---- hash */
enum { ITEMS = 500, STEPS = 20000 };

/* Few different hashes, so that chains with several of the same are walked too. */
static uint64_t hash_of(int number)
{
    return hash_u64((uint64_t)number / 3);
}

static bool hash_has(const struct hash *h, const struct item *item)
{
    for (struct hash_node *node = hash_first(h, hash_of(item->number)); node; node = hash_next(node))
        if (node == &item->in_hash)
            return true;
    return false;
}

static void a_hash_holds_what_was_put_in(void **state)
{
    static struct item items[ITEMS];
    struct hash h;
    struct random random;
    size_t present = 0, walked = 0;
    random_seed(&random, 1);
    hash_init(&h);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)random_below(&random, ITEMS);
        items[i].number = i;
        assert_int_equal(hash_has(&h, &items[i]), items[i].present);
        if (items[i].present)
            hash_remove(&h, &items[i].in_hash);
        else
            hash_insert(&h, &items[i].in_hash, hash_of(i));
        present += items[i].present ? (size_t)-1 : 1;
        items[i].present = !items[i].present;
        assert_int_equal(h.count, present);
    }
    for (struct hash_node *node = hash_iterate(&h, NULL); node; node = hash_iterate(&h, node)) {
        assert_true(CONTAINER_OF(node, struct item, in_hash)->present);
        walked++;
    }
    assert_int_equal(walked, present);
    hash_free(&h);
}

/* Keys come from clients: none may be able to choose many with the same hash. */
static void hashes_depend_on_every_byte_and_on_the_seed(void **state)
{
    uint8_t bytes[40];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t size = 1; size <= sizeof bytes; size++) {
        uint64_t whole = hash_bytes(slice_of(bytes, size));
        assert_true(whole == hash_bytes(slice_of(bytes, size)));
        assert_true(whole != hash_bytes(slice_of(bytes, size - 1)));
        for (size_t i = 0; i < size; i++) {
            bytes[i] ^= 1;
            assert_true(whole != hash_bytes(slice_of(bytes, size)));
            bytes[i] ^= 1;
        }
    }
    uint64_t before = hash_bytes(slice_of(bytes, 8));
    hash_seed_set(1, 2);
    assert_true(before != hash_bytes(slice_of(bytes, 8)));
}

/* ---- heap */
static struct item *smallest(struct item *items)
{
    struct item *found = NULL;
    for (int i = 0; i < ITEMS; i++)
        if (items[i].present && (!found || items[i].in_heap.key < found->in_heap.key))
            found = &items[i];
    return found;
}

static void a_heap_gives_the_smallest_whatever_is_moved_or_taken_back(void **state)
{
    static struct item items[ITEMS];
    struct heap h;
    struct random random;
    random_seed(&random, 2);
    heap_init(&h);
    assert_null(heap_first(&h));
    for (int step = 0; step < STEPS; step++) {
        struct item *item = &items[random_below(&random, ITEMS)];
        item->present = random_below(&random, 3) > 0;
        if (item->present)
            heap_insert(&h, &item->in_heap, (int64_t)random_below(&random, 1000) - 500); // new, or moved
        else
            heap_remove(&h, &item->in_heap); // fine when it is on none
        assert_int_equal(item->in_heap.index != 0, item->present);
        const struct item *expected = smallest(items);
        const struct heap_node *first = heap_first(&h);
        assert_int_equal(first != NULL, expected != NULL);
        if (first && expected)
            assert_int_equal(first->key, expected->in_heap.key);
    }
    int64_t last = INT64_MIN;
    for (struct heap_node *node; (node = heap_first(&h)); last = node->key) {
        assert_true(node->key >= last);
        heap_remove(&h, node);
    }
    heap_free(&h);
}

/* ---- arena */
static void an_arena_refuses_past_its_limit_and_stays_refusing(void **state)
{
    struct arena a;
    arena_init(&a, 64, 1000);
    size_t got = 0;
    while (arena_alloc(&a, 48))
        got += 48;
    assert_in_range(got, 500, 1000);
    assert_true(a.failed);
    assert_null(arena_alloc(&a, 1));
    assert_true(slice_is_null(arena_copy(&a, slice_str("x"))));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_reset(&a);
    assert_null(arena_array(&a, SIZE_MAX / 2, 4)); // the product overflows
    assert_true(a.failed);
    arena_free(&a);
}

static void an_arena_gives_aligned_pieces_that_do_not_touch(void **state)
{
    struct arena a;
    struct random random;
    uint8_t *pieces[200];
    size_t sizes[200];
    random_seed(&random, 3);
    arena_init(&a, 256, 1 << 24);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        sizes[i] = (size_t)random_below(&random, 3000);
        pieces[i] = arena_alloc(&a, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(pieces[i][k], (uint8_t)i);
    const uint8_t *zeros = arena_array(&a, 10, 10);
    for (size_t k = 0; k < 100; k++)
        assert_int_equal(zeros[k], 0);
    arena_free(&a);
}

static void a_warm_arena_calls_malloc_no_more(void **state)
{
    struct arena a;
    arena_init(&a, 4096, 1 << 20);
    assert_non_null(arena_alloc(&a, 100));
    arena_reset(&a);
    uint64_t before = mem_alloc_count();
    for (int i = 0; i < 1000; i++) {
        assert_non_null(arena_alloc(&a, 1000));
        struct slice text = arena_printf(&a, "%d and %s", i, "more");
        assert_true(text.size >= 10);
        arena_reset(&a);
    }
    assert_int_equal(mem_alloc_count() - before, 0);
    arena_free(&a);
}

static void a_copy_ends_with_nul_and_null_stays_null(void **state)
{
    struct arena a;
    arena_init(&a, 64, 1000);
    struct slice copy = arena_copy(&a, slice_of("abcdef", 3));
    assert_string_equal((const char *)copy.data, "abc");
    assert_true(slice_is_null(arena_copy(&a, SLICE_NULL)));
    assert_false(slice_is_null(arena_copy(&a, slice_str(""))));
    arena_free(&a);
}

/* ---- buffer */
static void a_buffer_grows_and_formats(void **state)
{
    struct buffer b CLEANUP(buffer_free) = {0};
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%d,", i);
    buffer_append(&b, "end", 4);
    assert_int_equal(b.size, 10 * 2 + 90 * 3 + 900 * 4 + 4);
    assert_memory_equal(b.data, "0,1,2,", 6);
    assert_string_equal((const char *)b.data + b.size - 8, "999,end");
    buffer_append(&b, NULL, 0);
    assert_true(b.capacity >= b.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(a_hash_holds_what_was_put_in),
        cmocka_unit_test(hashes_depend_on_every_byte_and_on_the_seed),
        cmocka_unit_test(a_heap_gives_the_smallest_whatever_is_moved_or_taken_back),
        cmocka_unit_test(an_arena_refuses_past_its_limit_and_stays_refusing),
        cmocka_unit_test(an_arena_gives_aligned_pieces_that_do_not_touch),
        cmocka_unit_test(a_warm_arena_calls_malloc_no_more),
        cmocka_unit_test(a_copy_ends_with_nul_and_null_stays_null),
        cmocka_unit_test(a_buffer_grows_and_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
