// SPDX-License-Identifier: Apache-2.0
/* meta/address.c - numeric addresses as settings and quotas name them, so that two spellings of one address are one.
 *
 *   10.1.2.3, 10.1.515, 10.66051   four parts, or fewer whose last one fills what is left
 *   ::1, 0:0:0:0:0:0:0:1, [::1], ::ffff:10.1.2.3
 *
 * An IPv4 address is told as the IPv6 address that embeds it. Names are no addresses: nothing here asks a resolver.
 */
#include "meta/meta.h"

#include <arpa/inet.h>

enum { PARTS_MAX = 4 };

static bool number_read(struct slice text, uint64_t *ret_number)
{
    *ret_number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *ret_number = *ret_number * 10 + (uint64_t)(text.data[i] - '0');
        if (*ret_number > UINT32_MAX)
            return false;
    }
    return text.size > 0;
}

/* Up to the next dot or the end; what follows it stays in `rest`. */
static struct slice part_take(struct slice *rest)
{
    const uint8_t *dot = memchr(rest->data, '.', rest->size);
    size_t size = dot ? (size_t)(dot - rest->data) : rest->size;
    struct slice part = slice_of(rest->data, size);
    size_t taken = dot ? size + 1 : size;
    *rest = slice_of(rest->data + taken, rest->size - taken);
    return part;
}

/* As Java reads it: always in tens, where inet_aton knows octal and hexadecimal numbers too. */
static bool ipv4_parse(struct slice text, uint8_t ret_bytes[PARTS_MAX])
{
    uint64_t parts[PARTS_MAX];
    int count = 0;
    if (text.size == 0 || text.data[text.size - 1] == '.')
        return false;
    while (text.size > 0) {
        if (count == PARTS_MAX || !number_read(part_take(&text), &parts[count]))
            return false;
        count++;
    }
    for (int i = 0; i < count - 1; i++) {
        if (parts[i] > UINT8_MAX)
            return false;
        ret_bytes[i] = (uint8_t)parts[i];
    }
    int last_bytes = PARTS_MAX - count + 1;
    if (parts[count - 1] >> (8 * last_bytes) != 0)
        return false;
    for (int i = 0; i < last_bytes; i++)
        ret_bytes[PARTS_MAX - 1 - i] = (uint8_t)(parts[count - 1] >> (8 * i));
    return true;
}

static bool ipv6_parse(struct slice text, uint8_t ret_bytes[META_ADDRESS_BYTES])
{
    char copy[INET6_ADDRSTRLEN];
    if (text.size >= sizeof copy || memchr(text.data, '\0', text.size))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return inet_pton(AF_INET6, copy, ret_bytes) == 1;
}

bool meta_address_parse(struct slice text, uint8_t ret_bytes[META_ADDRESS_BYTES])
{
    uint8_t bytes[META_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};
    if (text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']')
        text = slice_of(text.data + 1, text.size - 2);
    if (text.size == 0)
        return false;
    bool is_sound = memchr(text.data, ':', text.size) ? ipv6_parse(text, bytes) : ipv4_parse(text, bytes + 12);
    if (is_sound)
        memcpy(ret_bytes, bytes, sizeof bytes);
    return is_sound;
}
