// SPDX-License-Identifier: Apache-2.0
/* meta/address.c - numeric addresses as settings and quotas name them, so that two spellings of one address are one.
 *
 *   10.1.2.3, 10.1.515, 10.66051   four parts, or fewer whose last one fills what is left (as Java and inet_aton read them)
 *   ::1, 0:0:0:0:0:0:0:1, [::1], ::ffff:10.1.2.3
 *
 * An IPv4 address is told as the IPv6 address that embeds it. Names are no addresses: nothing here asks a resolver.
 */
#include "meta/meta.h"

enum { PARTS_MAX = 4, GROUPS = 8 };

static bool number_read(struct slice text, unsigned base, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : base;
        if (digit >= base)
            return false;
        number = number * base + digit;
        if (number > max)
            return false;
    }
    *ret_number = number;
    return text.size > 0;
}

/* Up to the next `separator` or the end; what follows it stays in `rest`. */
static struct slice part_take(struct slice *rest, uint8_t separator)
{
    const uint8_t *found = memchr(rest->data, separator, rest->size);
    size_t size = found ? (size_t)(found - rest->data) : rest->size;
    struct slice part = slice_of(rest->data, size);
    size_t taken = found ? size + 1 : size;
    *rest = slice_of(rest->data + taken, rest->size - taken);
    return part;
}

static bool ipv4_parse(struct slice text, uint8_t ret_bytes[PARTS_MAX])
{
    uint64_t parts[PARTS_MAX];
    int count = 0;
    if (text.size == 0 || text.data[text.size - 1] == '.')
        return false;
    while (text.size > 0) {
        if (count == PARTS_MAX || !number_read(part_take(&text, '.'), 10, UINT32_MAX, &parts[count]))
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

/* Groups of one side of the double colon (or of all, when there is none); -1: no such text. */
static int groups_parse(struct slice text, uint16_t groups[GROUPS])
{
    int count = 0;
    bool ends_open = text.size > 0 && text.data[text.size - 1] == ':';
    while (text.size > 0) {
        struct slice part = part_take(&text, ':');
        uint64_t number;
        uint8_t ipv4[PARTS_MAX];
        if (text.size == 0 && memchr(part.data, '.', part.size)) {
            if (count > GROUPS - 2 || !ipv4_parse(part, ipv4))
                return -1;
            groups[count++] = (uint16_t)(ipv4[0] << 8 | ipv4[1]);
            groups[count++] = (uint16_t)(ipv4[2] << 8 | ipv4[3]);
            continue;
        }
        if (count == GROUPS || part.size > 4 || !number_read(part, 16, UINT16_MAX, &number))
            return -1;
        groups[count++] = (uint16_t)number;
    }
    return ends_open ? -1 : count;
}

static bool ipv6_parse(struct slice text, uint8_t ret_bytes[META_ADDRESS_BYTES])
{
    uint16_t head[GROUPS] = {0}, tail[GROUPS] = {0}, all[GROUPS] = {0};
    const uint8_t *gap = memmem(text.data, text.size, "::", 2);
    size_t head_size = gap ? (size_t)(gap - text.data) : text.size;
    int head_count = groups_parse(slice_of(text.data, head_size), head);
    int tail_count = gap ? groups_parse(slice_of(gap + 2, text.size - head_size - 2), tail) : 0;
    if (head_count < 0 || tail_count < 0)
        return false;
    if (gap ? head_count + tail_count >= GROUPS : head_count != GROUPS)
        return false;
    for (int i = 0; i < head_count; i++)
        all[i] = head[i];
    for (int i = 0; i < tail_count; i++)
        all[GROUPS - tail_count + i] = tail[i];
    for (int i = 0; i < GROUPS; i++) {
        ret_bytes[2 * i] = (uint8_t)(all[i] >> 8);
        ret_bytes[2 * i + 1] = (uint8_t)all[i];
    }
    return true;
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
