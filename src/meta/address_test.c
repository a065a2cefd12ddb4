// SPDX-License-Identifier: Apache-2.0
/* meta/address_test.c - spellings of numeric addresses, and what is none. */
#include "meta/meta_test.h"

static void assert_same(const char *text, const char *other)
{
    uint8_t a[META_ADDRESS_BYTES], b[META_ADDRESS_BYTES];
    assert_true(meta_address_parse(slice_str(text), a));
    assert_true(meta_address_parse(slice_str(other), b));
    assert_memory_equal(a, b, sizeof a);
}

static void assert_none(const char *text)
{
    uint8_t bytes[META_ADDRESS_BYTES] = {7};
    if (meta_address_parse(slice_str(text), bytes))
        fail_msg("%s is taken for an address", text);
    assert_int_equal(bytes[0], 7);
}

static void spellings_of_one_address_are_one(void **state)
{
    (void)state;
    assert_same("10.1.2.3", "10.1.515");
    assert_same("10.1.2.3", "167838211");
    assert_same("10.0.0", "10.0.0.0");
    assert_same("::1", "0:0:0:0:0:0:0:1");
    assert_same("[::1]", "::1");
    assert_same("::ffff:10.1.2.3", "10.1.2.3");
    assert_same("2001:DB8::", "2001:db8:0:0:0:0:0:0");
}

static void addresses_differ(void **state)
{
    (void)state;
    uint8_t a[META_ADDRESS_BYTES], b[META_ADDRESS_BYTES];
    assert_true(meta_address_parse(slice_str("10.1.2.3"), a));
    assert_true(meta_address_parse(slice_str("10.1.2.4"), b));
    assert_memory_not_equal(a, b, sizeof a);
}

static void other_texts_are_no_addresses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",     "a",        "1.2.3.4.5",  "999.1.1.1", "1.2.3.",           ".1",   "1..2",
        "::1:", ":1",       "1:2:3",      "::12345",   "1::2::3",          "[::1", "host",
        "0x1",  "-1.2.3.4", "4294967296", "1.2.3.256", "1:2:3:4:5:6:7:8:9"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_none(texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_one_address_are_one),
        cmocka_unit_test(addresses_differ),
        cmocka_unit_test(other_texts_are_no_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
