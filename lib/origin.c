/* SPDX-License-Identifier: MIT
 *
 * origin.c - authorities and origins. Pure: any thread, no locks.
 */
#include "lib/origin.h"

#include <stdio.h>
#include <string.h>

#include "lib/ascii.h"
#include "lib/authority.h"
#include "lib/hex.h"

/* RFC 3986 §3.2.2, reg-name. No '@': user information is not taken (RFC 9110 §4.2.4). */
static bool is_host_byte(char c)
{
    return ascii_is_alnum(c) || ascii_is_one_of(c, "-._~%!$&'()*+,;=");
}

static bool is_ipv6_byte(char c)
{
    return hex_value(c) >= 0 || c == ':' || c == '.';
}

struct scheme {
    const char *prefix;
    int port;
};

enum { HTTP, HTTPS, WS, WSS };

static const struct scheme schemes[] = {
    [HTTP] = {"http://", 80},
    [HTTPS] = {"https://", 443},
    [WS] = {"ws://", 80},
    [WSS] = {"wss://", 443},
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

struct authority {
    struct text host;
    int port;
};

struct origin {
    const struct scheme *scheme;
    struct authority where;
};

/* The scheme at the start of `url`. If `url` ends within a scheme, the scheme that it may become.
 */
static const struct scheme *find_scheme(struct text url)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        struct text prefix = text_of(schemes[i].prefix);
        if (text_equals_nocase(text_first(url, prefix.len), text_first(prefix, url.len)))
            return &schemes[i];
    }
    return NULL;
}

/* The text after the scheme; empty when the text ends within it. */
static struct text skip_scheme(struct text url, const struct scheme *scheme)
{
    return text_skip(url, strlen(scheme->prefix));
}

static bool is_host(struct text host)
{
    size_t n = 0;
    bool literal = authority_is_literal(host);
    if (literal)
        host = text_first(text_skip(host, 1), host.len - 2);
    while (n < host.len && (literal ? is_ipv6_byte(host.at[n]) : is_host_byte(host.at[n])))
        n++;
    return n == host.len && (n > 0 || !literal);
}

/* host [":" port]. A port that is absent or empty leaves authority->port as it is. */
static bool read_authority(struct text text, struct authority *authority)
{
    struct text port;
    if (!authority_split(text, &authority->host, &port) || !is_host(authority->host))
        return false;
    int number = authority_port(port);
    if (port.len > 0)
        authority->port = number;
    return port.len == 0 || number >= 0;
}

/* scheme "://" host [":" port], and nothing after it (RFC 6454 §6.2). */
static bool read_origin(struct text text, struct origin *origin)
{
    origin->scheme = find_scheme(text);
    if (origin->scheme == NULL)
        return false;
    origin->where.port = origin->scheme->port;
    return read_authority(skip_scheme(text, origin->scheme), &origin->where) &&
           origin->where.host.len > 0;
}

static bool same_place(struct authority a, struct authority b)
{
    return a.port == b.port && text_equals_nocase(a.host, b.host);
}

/* Texts that are no origin with a host ("null", "chrome-extension://...") are compared as text. */
static bool same_origin(struct text a, struct text b)
{
    struct origin x, y;
    if (read_origin(a, &x) && read_origin(b, &y))
        return x.scheme == y.scheme && same_place(x.where, y.where);
    return text_equals_nocase(a, b);
}

/* A Host without port means 443 under TLS. Without TLS it means the default port of the browser's
 * scheme: an https page reaches a plain server only through a proxy that ended TLS on the way. */
static bool is_own_origin(struct text origin, struct text host, bool tls)
{
    struct origin from;
    if (host.at == NULL || !read_origin(origin, &from))
        return false;
    struct authority here = {.port = tls ? 443 : from.scheme->port};
    return read_authority(host, &here) && same_place(from.where, here);
}

bool origin_allowed(struct text origin, struct text host, const char *const *allowed, size_t n,
                    bool tls)
{
    if (origin.at == NULL)
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(allowed[i], "*") == 0 || same_origin(origin, text_of(allowed[i])))
            return true;
    return is_own_origin(origin, host, tls);
}

/* Writes an origin in canonical form. Returns false when it does not fit. */
static bool write_origin(const struct origin *origin, char out[ORIGIN_MAX])
{
    struct authority where = origin->where;
    int len = snprintf(out, ORIGIN_MAX, "%s%.*s", origin->scheme->prefix, (int)where.host.len,
                       where.host.at);
    if (len < ORIGIN_MAX && where.port != origin->scheme->port)
        len += snprintf(out + len, ORIGIN_MAX - (size_t)len, ":%d", where.port);
    for (char *c = out; *c != '\0'; c++)
        *c = ascii_lower(*c);
    return len < ORIGIN_MAX;
}

int origin_of(struct text authority, bool tls, char origin[ORIGIN_MAX])
{
    struct origin own = {.scheme = &schemes[tls ? HTTPS : HTTP]};
    own.where.port = own.scheme->port;
    if (!read_authority(authority, &own.where) || own.where.host.len == 0 ||
        own.where.host.len > ORIGIN_HOST_MAX || !write_origin(&own, origin))
        return -1;
    return own.where.port;
}

bool origin_equals(const char *entry, const char *origin)
{
    char text[ORIGIN_MAX];
    struct origin parsed;
    return read_origin(text_of(entry), &parsed) && parsed.where.host.len <= ORIGIN_HOST_MAX &&
           write_origin(&parsed, text) && strcmp(text, origin) == 0;
}

bool origin_is_authority(struct text text)
{
    struct authority authority = {.port = 0};
    return read_authority(text, &authority);
}

bool origin_skip_scheme(struct text url, struct text *rest)
{
    const struct scheme *scheme = find_scheme(url);
    if (scheme)
        *rest = skip_scheme(url, scheme);
    return scheme != NULL;
}

int origin_take_scheme(struct text *url)
{
    const struct scheme *scheme = find_scheme(*url);
    if (!scheme || url->len < strlen(scheme->prefix))
        return 0;
    *url = skip_scheme(*url, scheme);
    return scheme->port;
}

/* ---- Hosts ---- */

/* A final dot marks a fully qualified name (RFC 3986 §3.2.2); it is the same name. */
struct text origin_host(struct text authority)
{
    struct text host = {NULL, 0}, port;
    if (authority.at != NULL && !authority_split(authority, &host, &port))
        host.len = 0;
    if (host.len > 1 && host.at[host.len - 1] == '.')
        host.len--;
    return host;
}

bool origin_host_allowed(struct text host, const char *const *allowed, size_t n)
{
    struct origin origin;
    for (size_t i = 0; i < n; i++)
        if (strcmp(allowed[i], "*") == 0 || (read_origin(text_of(allowed[i]), &origin) &&
                                             text_equals_nocase(host, origin.where.host)))
            return true;
    return false;
}
