// SPDX-License-Identifier: Apache-2.0
/* http/guard.c - who may ask what.
 *
 * The port has no password, so it must answer nobody but programs of this machine and our own pages:
 *   Host            a loopback name: a page of another site whose name was made to point here says its own (DNS rebinding)
 *   Origin          our own when there is one; Sec-Fetch-Site likewise: other sites may link here, nothing else
 *   X-Ottla-Token   for whatever changes something: the number of this run, which only a page of ours can read, in a header
 *                   that no form can send
 * A read-only console changes nothing at all. The answers' policy lets our pages ask this port and no other host.
 */
#include "http/http__.h"

const char guard__policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                             "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

static bool origin_is_ours(const char *origin, const char *host)
{
    static const char SCHEME[] = "http://";
    return strncasecmp(origin, SCHEME, strlen(SCHEME)) == 0 && strcasecmp(origin + strlen(SCHEME), host) == 0;
}

static bool site_is_ours(const struct guard_headers *headers)
{
    if (headers->origin && !origin_is_ours(headers->origin, headers->host))
        return false;
    const char *site = headers->fetch_site;
    return !site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}

/* Every byte is looked at, so that the time tells nothing. */
static bool token_is_ours(const struct exchange *e, const char *token)
{
    size_t size = strlen(e->site->token);
    if (!token || strlen(token) != size)
        return false;
    unsigned difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(token[i] ^ e->site->token[i]);
    return difference == 0;
}

static bool admits_change(struct exchange *e, const struct guard_headers *headers)
{
    if (e->site->is_read_only) {
        exchange__fail(e, 403, "READ_ONLY", "this console only reads (--http-read-only)");
        return false;
    }
    if (!site_is_ours(headers)) {
        exchange__fail(e, 403, "CROSS_SITE", "changes are taken from the console's own pages only");
        return false;
    }
    if (!token_is_ours(e, headers->token)) {
        exchange__fail(e, 403, "TOKEN", "a change needs the header X-Ottla-Token with the token of /api/v1/session");
        return false;
    }
    if (!headers->content_type || strncasecmp(headers->content_type, "application/json", 16) != 0) {
        exchange__fail(e, 415, "CONTENT_TYPE", "a change is told as application/json");
        return false;
    }
    return true;
}

bool guard__admits(struct exchange *e, const struct guard_headers *headers)
{
    if (!host__is_ours(headers->host)) {
        exchange__fail(e, 403, "HOST", "this port answers only requests for localhost, 127.0.0.1 or [::1]");
        return false;
    }
    bool is_api = strncmp(e->path, "/api/", 5) == 0;
    if (strcmp(e->method, "POST") == 0 && is_api)
        return admits_change(e, headers);
    if (strcmp(e->method, "GET") != 0 && strcmp(e->method, "HEAD") != 0) {
        exchange__fail(e, 405, "METHOD", "only GET and HEAD are answered here");
        return false;
    }
    bool is_link = headers->fetch_site && !is_api; // other sites may link to our pages
    if (!is_link && !site_is_ours(headers)) {
        exchange__fail(e, 403, "CROSS_SITE", "the API is for the console's own pages and for programs of this machine");
        return false;
    }
    return true;
}
