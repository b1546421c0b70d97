/* SPDX-License-Identifier: MIT
 *
 * authority.h - the parts of host[":"port] (RFC 3986 §3.2): in the Host field, origins, URLs and
 * addresses with a port.
 *
 * Pure: any thread. Case makes no difference.
 */
#ifndef AUTHORITY_H
#define AUTHORITY_H

#include <stdbool.h>

#include "lib/text.h"

/* Splits an authority into a host, which keeps the brackets of an IPv6 address, and the text after
 * the colon, whose `at` is NULL if there is no colon. Returns false when a bracket is not closed or
 * is followed by anything but a colon. Does not check the characters of the parts. */
bool authority_split(struct text text, struct text *host, struct text *port);

/* Reads a port: one to five digits, at most 65535. -1 when it is none. */
int authority_port(struct text text);

/* Whether a host has brackets around it. */
bool authority_is_literal(struct text host);

/* Whether a host can be the name of a machine: letters, digits, '-', '.' and '_', at least one. */
bool authority_is_name(struct text host);

/* Whether a host is `name`; whether it ends in `domain` (".local") with something before it. */
bool authority_host_is(struct text host, const char *name);
bool authority_host_under(struct text host, const char *domain);

/* Whether a host is under a domain for local names, which nobody on the internet owns: RFC 6761
 * §6.3, RFC 6762 §3, RFC 8375, and for .internal a resolution of ICANN's board of 2024-07-29.
 * Nothing reserves .lan, but home routers hand it out, and no such top-level domain exists. */
bool authority_is_local(struct text host);

#endif
