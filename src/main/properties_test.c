// SPDX-License-Identifier: Apache-2.0
/* main/properties_test.c - the text format, case by case as java.util.Properties documents it. */
#include "main/properties.h"

#include <setjmp.h>
#include <stdarg.h>
// cmocka needs the two above first
#include <cmocka.h>

/* Every pair as `line|key|value;` in order. */
static void reads_as(const char *text, size_t size, const char *expected)
{
    struct properties properties CLEANUP(properties__free) = {0};
    struct properties_fault fault = {0};
    struct buffer seen CLEANUP(buffer_free) = {0};
    assert_true(properties__parse(slice_of(text, size), &properties, &fault));
    for (int i = 0; i < properties.count; i++)
        buffer_printf(&seen, "%d|%s|%s;", properties.items[i].line, properties.items[i].key, properties.items[i].value);
    buffer_append(&seen, "", 1);
    assert_string_equal((char *)seen.data, expected);
}
#define READS_AS(text, expected) reads_as(text, sizeof(text) - 1, expected)

static void fails_in(const char *text, size_t size, int line)
{
    struct properties properties = {0};
    struct properties_fault fault = {0};
    assert_false(properties__parse(slice_of(text, size), &properties, &fault));
    assert_int_equal(fault.line, line);
    assert_non_null(fault.what);
    assert_int_equal(properties.count, 0);
}
#define FAILS_IN(text, line) fails_in(text, sizeof(text) - 1, line)

static void a_key_ends_at_equals_colon_or_blank(void **state)
{
    READS_AS("a=1\nb:2\nc 3\nd\t4\ne\f5\n", "1|a|1;2|b|2;3|c|3;4|d|4;5|e|5;");
    READS_AS("a = 1\nb : 2\nc  =  = 3\nd == 4\ne : = 5", "1|a|1;2|b|2;3|c|= 3;4|d|= 4;5|e|= 5;");
}

static void a_key_may_have_no_value_and_a_value_no_key(void **state)
{
    READS_AS("a\nb=\n=1\n:\n", "1|a|;2|b|;3||1;4||;");
}

static void blanks_before_keys_and_values_go_and_those_after_values_stay(void **state)
{
    READS_AS(" \t\f a=  x  \n", "1|a|x  ;");
}

static void blank_lines_and_comments_are_counted_but_left_out(void **state)
{
    READS_AS("# one\n\n  ! two\n \t\na=1\n#b=2", "5|a|1;");
    READS_AS("", "");
    READS_AS("\n\n", "");
}

static void a_comment_is_not_continued(void **state)
{
    READS_AS("# one \\\na=1\n", "2|a|1;");
}

static void a_comment_sign_behind_the_start_is_no_comment(void **state)
{
    READS_AS("a=1 # one\nb!=2\n", "1|a|1 # one;2|b!|2;");
}

static void a_backslash_at_the_end_joins_the_next_line_without_its_blanks(void **state)
{
    READS_AS("a=1,\\\n   2,\\\r\n\t3\nb=4", "1|a|1,2,3;4|b|4;");
    READS_AS("a=1\\\n# 2\nb=3", "1|a|1# 2;3|b|3;"); // no comment there
    READS_AS("a=1\\\n\nb=3", "1|a|1;3|b|3;");       // a blank line ends it
    READS_AS("a=1\\\\\nb=3", "1|a|1\\;2|b|3;");     // an escaped backslash joins nothing
    READS_AS("a=1\\\\\\\n2", "1|a|1\\2;");
    READS_AS("a=1\\", "1|a|1;");
    READS_AS("\\\na=1", "2|a|1;");
    READS_AS("a=1\n\\\n", "1|a|1;2||;"); // as Java
    READS_AS("\\\n#a=1\nb=2", "3|b|2;");
}

static void lines_end_as_on_any_system(void **state)
{
    READS_AS("a=1\rb=2\r\nc=3\n\rd=4", "1|a|1;2|b|2;3|c|3;5|d|4;");
}

static void escapes_stand_for_characters(void **state)
{
    READS_AS("a\\=b\\:c\\ d\\#=x\\ty\\nz\\r\\f", "1|a=b:c d#|x\ty\nz\r\f;");
    READS_AS("a=\\q\\\"\\'\\\\", "1|a|q\"'\\;");
    READS_AS("path=C:\\\\logs", "1|path|C:\\logs;");
    READS_AS("a=\\  b", "1|a|  b;"); // keeps a blank that would go
}

static void unicode_escapes_become_utf8(void **state)
{
    READS_AS("a=\\u0041\\u00e4\\u20AC", "1|a|A\xc3\xa4\xe2\x82\xac;");
    READS_AS("a=\\uD83D\\uDE00", "1|a|\xf0\x9f\x98\x80;"); // a pair of surrogates is one character
    READS_AS("a=\\uD83Dx\\uDE00", "1|a|?x?;");
}

static void bytes_are_latin_1(void **state)
{
    READS_AS("a=\xe4\xff", "1|a|\xc3\xa4\xc3\xbf;");
}

static void the_last_of_two_is_last_in_the_list(void **state)
{
    READS_AS("a=1\nb=2\na=3", "1|a|1;2|b|2;3|a|3;");
}

static void a_broken_unicode_escape_is_told_with_its_line(void **state)
{
    FAILS_IN("a=1\nb=\\u12", 2);
    FAILS_IN("a=1\n\n\\u00g0=2\n", 3);
    FAILS_IN("a=\\u\n", 1);
}

static void a_zero_byte_is_refused(void **state)
{
    FAILS_IN("a=1\nb=\0x", 2);
    FAILS_IN("a=\\u0000", 1);
}

static void what_is_written_is_read_back(void **state)
{
    static const char *const TEXTS[] = {"",
                                        "plain",
                                        "  leading and trailing  ",
                                        "a=b:c#d!e",
                                        "back\\slash",
                                        "tab\tnewline\nreturn\r",
                                        "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                                        "#first",
                                        "!first",
                                        " "};
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        struct buffer text CLEANUP(buffer_free) = {0};
        struct properties read CLEANUP(properties__free) = {0};
        struct properties_fault fault;
        properties__write(&text, TEXTS[i], TEXTS[i]);
        assert_true(properties__parse(slice_of(text.data, text.size), &read, &fault));
        assert_int_equal(read.count, 1);
        assert_string_equal(read.items[0].key, TEXTS[i]);
        assert_string_equal(read.items[0].value, TEXTS[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_ends_at_equals_colon_or_blank),
        cmocka_unit_test(a_key_may_have_no_value_and_a_value_no_key),
        cmocka_unit_test(blanks_before_keys_and_values_go_and_those_after_values_stay),
        cmocka_unit_test(blank_lines_and_comments_are_counted_but_left_out),
        cmocka_unit_test(a_comment_is_not_continued),
        cmocka_unit_test(a_comment_sign_behind_the_start_is_no_comment),
        cmocka_unit_test(a_backslash_at_the_end_joins_the_next_line_without_its_blanks),
        cmocka_unit_test(lines_end_as_on_any_system),
        cmocka_unit_test(escapes_stand_for_characters),
        cmocka_unit_test(unicode_escapes_become_utf8),
        cmocka_unit_test(bytes_are_latin_1),
        cmocka_unit_test(the_last_of_two_is_last_in_the_list),
        cmocka_unit_test(a_broken_unicode_escape_is_told_with_its_line),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
