// SPDX-License-Identifier: Apache-2.0
/* main/listeners.c - where the broker listens and what it tells clients to connect to.
 *
 *   listeners                         NAME://HOST:PORT,...   empty host, 0.0.0.0 or [::]: every interface
 *   advertised.listeners              the same form; what Metadata answers. Left out: the listener's own address, and for one
 *                                     on every interface the address by which the client reached us
 *   listener.security.protocol.map    NAME:PROTOCOL,...      only PLAINTEXT is served; anything else stops the start
 *   controller.listener.names         names of listeners that speak the controller's protocol
 *
 * Rules and their order are Kafka's: names are compared in upper case, none comes twice, no port comes twice (but once for
 * IPv4 and once for IPv6 is fine), at least one listener is for clients.
 */
#include "main/settings.h"

enum { PORT_MAX = 65535, TEXT_SIZE = 512 };

/* ---- addresses */
static bool fault(char ret_fault[ADDRESS_FAULT_SIZE], const char *what)
{
    snprintf(ret_fault, ADDRESS_FAULT_SIZE, "%s", what);
    return false;
}

static bool parse_port(struct slice text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= PORT_MAX;
}

static bool is_host_character(uint8_t c, bool in_brackets)
{
    bool is_name =
        (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '.' || c == '_';
    return is_name || (in_brackets && (c == ':' || c == '%'));
}

/* Up to and with the colon before the port. */
static bool parse_host(struct slice text, char ret_host[256], size_t *ret_used)
{
    bool in_brackets = text.size > 0 && text.data[0] == '[';
    size_t start = in_brackets ? 1 : 0, at = start;
    while (at < text.size && is_host_character(text.data[at], in_brackets))
        at++;
    size_t size = at - start;
    if (in_brackets && (at == text.size || text.data[at++] != ']' || size == 0))
        return false;
    if (size >= 256 || at == text.size || text.data[at] != ':')
        return false;
    memcpy(ret_host, text.data + start, size);
    ret_host[size] = '\0';
    *ret_used = at + 1;
    return true;
}

bool address__parse(struct slice text, char ret_host[256], uint16_t *ret_port, char ret_fault[ADDRESS_FAULT_SIZE])
{
    char host[256] = "127.0.0.1";
    size_t used = 0;
    uint16_t port = 0;
    bool port_alone = parse_port(text, &port);
    if (!port_alone && !parse_host(text, host, &used))
        return fault(ret_fault,
                     "expected HOST:PORT, for example 127.0.0.1:9092, [::1]:9092, or :9092 for every interface");
    if (!port_alone && !parse_port(slice_of(text.data + used, text.size - used), &port))
        return fault(ret_fault, "the port must be a number from 0 to 65535");
    snprintf(ret_host, 256, "%s", host);
    *ret_port = port;
    return true;
}

bool listeners__is_wildcard(const char *host)
{
    return !*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* ---- NAME://HOST:PORT */
static bool parse_name(struct slice text, char ret_name[64])
{
    if (text.size == 0 || text.size >= 64)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.')
            return false;
        ret_name[i] = (char)c;
    }
    ret_name[text.size] = '\0';
    return true;
}

static bool parse_listener(struct slice text, struct broker_listener *ret_listener, char ret_fault[ADDRESS_FAULT_SIZE])
{
    *ret_listener = (struct broker_listener){0};
    const uint8_t *split = memmem(text.data, text.size, "://", 3);
    size_t size = split ? (size_t)(split - text.data) : 0;
    if (!split || !parse_name(slice_of(text.data, size), ret_listener->name))
        return fault(ret_fault, "expected NAME://HOST:PORT, for example PLAINTEXT://127.0.0.1:9092");
    struct slice address = slice_of(split + 3, text.size - size - 3);
    if (memchr(address.data, ':', address.size) == NULL)
        return fault(ret_fault,
                     "the port is missing: expected NAME://HOST:PORT, for example PLAINTEXT://127.0.0.1:9092");
    return address__parse(address, ret_listener->host, &ret_listener->port, ret_fault);
}

static bool is_ipv6(const char *host)
{
    return strchr(host, ':') != NULL;
}

static bool share_a_port(const struct broker_listener *a, const struct broker_listener *b)
{
    bool two_families = *a->host && *b->host && is_ipv6(a->host) != is_ipv6(b->host);
    return a->port != 0 && a->port == b->port && !two_families;
}

static bool clashes(struct settings *settings, const struct broker_listener *listeners, int count,
                    const struct broker_listener *one)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(listeners[i].name, one->name) == 0)
            settings__error(settings, "listeners", "listeners names %s twice; each listener needs a name of its own",
                            one->name);
        else if (share_a_port(&listeners[i], one))
            settings__error(settings, "listeners",
                            "the listeners %s and %s have the same port %d; each needs one of its own",
                            listeners[i].name, one->name, (int)one->port);
        else
            continue;
        return true;
    }
    return false;
}

/* --listen HOST:PORT stands for one listener of clients. */
static void make_shortcut(struct settings *settings, const char *text, struct broker_listener *ret_listener,
                          int *ret_count)
{
    char why[ADDRESS_FAULT_SIZE];
    *ret_listener = (struct broker_listener){.name = "PLAINTEXT"};
    *ret_count = address__parse(slice_str(text), ret_listener->host, &ret_listener->port, why) ? 1 : 0;
    if (*ret_count == 0)
        settings__error(settings, NULL, "--listen %s: %s", text, why);
}

static void make_bound(struct settings *settings, struct broker_listener *ret_listeners, int *ret_count)
{
    const char *rest = settings_get(settings, "listeners");
    *ret_count = 0;
    for (struct slice text; settings__next(&rest, &text);) {
        char why[ADDRESS_FAULT_SIZE];
        struct broker_listener one;
        if (*ret_count == LISTENERS_MAX) {
            settings__error(settings, "listeners", "more than %d listeners are not served", (int)LISTENERS_MAX);
            return;
        }
        if (!parse_listener(text, &one, why))
            settings__error(settings, "listeners", "listeners: %.*s: %s", (int)text.size, (const char *)text.data, why);
        else if (!clashes(settings, ret_listeners, *ret_count, &one))
            ret_listeners[(*ret_count)++] = one;
    }
}

/* ---- what clients are told */
static struct broker_listener *by_name(struct broker_listener *listeners, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(listeners[i].name, name) == 0)
            return &listeners[i];
    return NULL;
}

static void advertise_bound(struct broker_listener *listener)
{
    bool anywhere = listeners__is_wildcard(listener->host);
    snprintf(listener->advertised_host, sizeof listener->advertised_host, "%s", anywhere ? "" : listener->host);
    listener->advertised_port = 0; // the bound one, which may have been asked for as 0
}

static void advertise(struct settings *settings, struct slice text, struct broker_listener *listeners, int count)
{
    static const char SETTING[] = "advertised.listeners";
    char why[ADDRESS_FAULT_SIZE];
    struct broker_listener one;
    if (!parse_listener(text, &one, why)) {
        settings__error(settings, SETTING, "%s: %.*s: %s", SETTING, (int)text.size, (const char *)text.data, why);
        return;
    }
    struct broker_listener *bound = by_name(listeners, count, one.name);
    if (!bound) {
        settings__error(settings, SETTING, "%s has %s, which is not one of the listeners", SETTING, one.name);
    } else if (strcmp(one.host, "0.0.0.0") == 0 || strcmp(one.host, "::") == 0) {
        settings__error(settings, SETTING, "%s: clients cannot connect to %s; use an address or name of this machine",
                        SETTING, one.host);
    } else {
        snprintf(bound->advertised_host, sizeof bound->advertised_host, "%s", one.host);
        bound->advertised_port = one.port;
    }
}

/* ---- protocols */
/* What the map says of a name, upper case; null: nothing. */
static struct slice mapped_protocol(const char *map, const char *name)
{
    for (struct slice pair; settings__next(&map, &pair);) {
        const uint8_t *colon = memchr(pair.data, ':', pair.size);
        size_t size = colon ? (size_t)(colon - pair.data) : 0;
        if (colon && size == strlen(name) && strncasecmp((const char *)pair.data, name, size) == 0)
            return slice_of(colon + 1, pair.size - size - 1);
    }
    return SLICE_NULL;
}

static void check_protocol(struct settings *settings, const struct broker_listener *listener)
{
    static const char MAP[] = "listener.security.protocol.map";
    struct slice protocol = mapped_protocol(settings_get(settings, MAP), listener->name);
    bool given = settings__given(settings, MAP) != NULL;
    if (slice_is_null(protocol) && listener->is_controller && !given)
        return; // as in Kafka: PLAINTEXT while nobody says otherwise
    if (slice_is_null(protocol))
        settings__error(settings, given ? MAP : "listeners",
                        "%s says no protocol for the listener %s; add %s:PLAINTEXT to it", MAP, listener->name,
                        listener->name);
    else if (protocol.size != 9 || strncasecmp((const char *)protocol.data, "PLAINTEXT", 9) != 0)
        settings__error(
            settings, "listeners",
            "the listener %s asks for %.*s; encryption and authentication are not served yet, only PLAINTEXT is "
            "(%s). Use it on networks you trust",
            listener->name, (int)protocol.size, (const char *)protocol.data, MAP);
}

static bool is_controller_name(const struct settings *settings, const char *name)
{
    const char *names = settings_get(settings, "controller.listener.names");
    for (struct slice one; settings__next(&names, &one);)
        if (one.size == strlen(name) && strncasecmp((const char *)one.data, name, one.size) == 0)
            return true;
    return false;
}

/* ---- names that other settings mention */
static void check_inter_broker(struct settings *settings, struct broker_listener *listeners, int count)
{
    static const char NAME[] = "inter.broker.listener.name";
    const char *given = settings_get(settings, NAME);
    char name[64];
    if (!given || !*given)
        return;
    if (settings__given(settings, "security.inter.broker.protocol"))
        settings__error(settings, NAME, "%s and security.inter.broker.protocol are both given; only one of them may be",
                        NAME);
    const struct broker_listener *listener =
        parse_name(slice_str(given), name) ? by_name(listeners, count, name) : NULL;
    if (!listener)
        settings__error(settings, NAME, "%s=%s is not the name of one of the listeners", NAME, given);
    else if (listener->is_controller)
        settings__error(settings, NAME, "%s=%s is a controller's listener; it must be one for clients and brokers",
                        NAME, given);
}

static void check_clients(struct settings *settings, const struct broker_listener *listeners, int count)
{
    for (int i = 0; i < count; i++)
        if (!listeners[i].is_controller)
            return;
    if (settings->error_count == 0)
        settings__error(settings, "listeners",
                        "no listener is left for clients: all are named by controller.listener.names");
}

void listeners__make(struct settings *settings, struct broker_listener *ret_listeners, int *ret_count)
{
    const struct given *given = settings__given(settings, "listeners");
    if (given && strcmp(given->where, "--listen") == 0)
        make_shortcut(settings, given->value, ret_listeners, ret_count);
    else
        make_bound(settings, ret_listeners, ret_count);
    for (int i = 0; i < *ret_count; i++) {
        ret_listeners[i].is_controller = is_controller_name(settings, ret_listeners[i].name);
        advertise_bound(&ret_listeners[i]);
        check_protocol(settings, &ret_listeners[i]);
    }
    const char *rest = settings_get(settings, "advertised.listeners");
    for (struct slice text; settings__next(&rest, &text);)
        advertise(settings, text, ret_listeners, *ret_count);
    check_inter_broker(settings, ret_listeners, *ret_count);
    check_clients(settings, ret_listeners, *ret_count);
}
