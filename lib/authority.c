/* SPDX-License-Identifier: MIT
 *
 * authority.c - hosts and ports. No locks: any thread.
 */
#include "lib/authority.h"

#include <stddef.h>
#include <string.h>

#include "lib/ascii.h"

enum { PORT_DIGITS = 5, PORT_MAX = 65535 };

bool authority_is_literal(struct text host)
{
    return host.len > 0 && host.at[0] == '[';
}

bool authority_split(struct text text, struct text *host, struct text *port)
{
    bool literal = authority_is_literal(text);
    *host = text_before(text, literal ? "]" : ":");
    *port = (struct text){NULL, 0};
    if (literal && host->len == text.len)
        return false;
    host->len += literal;
    struct text rest = text_skip(text, host->len);
    if (rest.len > 0 && rest.at[0] == ':')
        *port = text_skip(rest, 1);
    return rest.len == 0 || rest.at[0] == ':';
}

int authority_port(struct text text)
{
    int port = 0;
    if (text.len == 0 || text.len > PORT_DIGITS)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.at[i]))
            return -1;
        port = 10 * port + (text.at[i] - '0');
    }
    return port <= PORT_MAX ? port : -1;
}

bool authority_is_name(struct text host)
{
    size_t n = 0;
    while (n < host.len && (ascii_is_alnum(host.at[n]) || ascii_is_one_of(host.at[n], "-._")))
        n++;
    return n > 0 && n == host.len;
}

bool authority_host_is(struct text host, const char *name)
{
    return text_equals_nocase(host, text_of(name));
}

bool authority_host_under(struct text host, const char *domain)
{
    size_t len = strlen(domain);
    return host.len > len && text_equals_nocase(text_skip(host, host.len - len), text_of(domain));
}

bool authority_is_local(struct text host)
{
    static const char *const domains[] = {".localhost", ".local", ".home.arpa", ".internal",
                                          ".lan"};
    for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++)
        if (authority_host_under(host, domains[i]))
            return true;
    return false;
}
