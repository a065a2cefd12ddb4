// SPDX-License-Identifier: Apache-2.0
/* http/host.c - which hosts are this machine alone.
 *
 * The port asks nobody for a password, so it listens on loopback only, and answers only requests that name a loopback host:
 * otherwise a web page could have its own name resolved to 127.0.0.1 and read the answers (DNS rebinding).
 */
#include "http/http__.h"

#include <arpa/inet.h>

bool http_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

/* [::1]:8080, 127.0.0.1:8080, localhost */
bool host__is_ours(const char *host)
{
    if (!host)
        return false;
    bool in_brackets = *host == '[';
    const char *start = host + in_brackets;
    size_t size = strcspn(start, in_brackets ? "]" : ":");
    char name[64];
    if (size >= sizeof name || (in_brackets && start[size] != ']'))
        return false;
    memcpy(name, start, size);
    name[size] = '\0';
    const char *rest = start + size + in_brackets;
    bool only_port_left = !*rest || (*rest == ':' && strspn(rest + 1, "0123456789") == strlen(rest + 1));
    return only_port_left && http_is_loopback(name);
}
