/* SPDX-License-Identifier: MIT
 *
 * address.h - addresses of the internet as text and in blocks: "192.0.2.1", "10.0.0.0/8", "2001:db8::/32".
 *
 * Pure: no I/O, no locks, any thread. An IPv4 address and the same inside IPv6 (::ffff:192.0.2.1) are
 * one and the same here.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    ADDRESS_BYTES = 16,      /* of any address: IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2) */
    ADDRESS_BLOCKS_MAX = 32, /* blocks in a list */
    ADDRESS_TEXT_MAX = 64,   /* an address or a block as text, with its NUL; longer is none */
};

/* All addresses whose first `bits` bits are those of `bytes`. */
struct address_block {
    unsigned char bytes[ADDRESS_BYTES];
    int bits; /* 0 to 128 */
};

struct address_list {
    struct address_block blocks[ADDRESS_BLOCKS_MAX];
    int count;
};

/* Reads an address of `len` bytes: IPv4 or IPv6, the latter also in brackets, each with a port behind
 * it or without (RFC 3986 §3.2). The port is left out. Returns false when it is none. */
bool address_read(const char *text, size_t len, struct sockaddr_storage *address);

/* Reads an address or a block (RFC 4632 §3.1): no bit behind the prefix may be set. */
bool address_block_read(const char *text, struct address_block *block);

/* Whether an address is in one of the blocks. */
bool address_in(const struct sockaddr_storage *address, const struct address_list *list);

#endif
