// SPDX-License-Identifier: Apache-2.0
/* meta/names.c - which names a topic may have, and which topics are Kafka's own.
 *
 * A name becomes part of a directory's, so what is allowed here is also what keeps a client's text from reaching other
 * paths: letters, digits, dot, underscore and hyphen, neither `.` nor `..`, and short enough for the partition's number.
 */
#include "meta/meta__.h"

static bool is_legal(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

static bool all_legal(struct slice name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!is_legal(name.data[i]))
            return false;
    return true;
}

/* Characters as Java counts them: UTF-16 units. */
static size_t java_length(struct slice name)
{
    size_t units = 0;
    for (size_t i = 0; i < name.size; i++)
        units += (name.data[i] & 0xc0) == 0x80 ? 0 : name.data[i] >= 0xf0 ? 2 : 1;
    return units;
}

static bool refuse(char ret_message[META_MESSAGE_SIZE], const char *before, struct slice name, const char *after)
{
    snprintf(ret_message, META_MESSAGE_SIZE, "Topic name is invalid: %s%.*s%s", before,
             (int)min_i64((int64_t)name.size, META_MESSAGE_SIZE), name.data, after);
    return false;
}

bool meta_topic_name_is_valid(struct slice name, char ret_message[META_MESSAGE_SIZE])
{
    if (name.size == 0)
        return refuse(ret_message, "the empty string is not allowed", slice_str(""), "");
    if (slice_equal_str(name, ".") || slice_equal_str(name, ".."))
        return refuse(ret_message, "'", name, "' is not allowed");
    if (java_length(name) > META_TOPIC_NAME_MAX)
        return refuse(ret_message, "the length of '", name, "' is longer than the max allowed length 249");
    if (!all_legal(name))
        return refuse(ret_message, "'", name,
                      "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'");
    return true;
}

bool meta_topic_is_internal(struct slice name)
{
    return slice_equal_str(name, "__consumer_offsets") || slice_equal_str(name, "__transaction_state") ||
           slice_equal_str(name, "__share_group_state");
}
