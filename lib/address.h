/* SPDX-License-Identifier: MIT
 *
 * address.h - internet addresses and address blocks as text: "192.0.2.1", "10.0.0.0/8",
 * "2001:db8::/32".
 *
 * Pure: no I/O, no locks, any thread. An IPv4 address and its form inside IPv6 (::ffff:192.0.2.1)
 * count as the same address.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    ADDRESS_BYTES = 16,      /* of any address: IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2) */
    ADDRESS_BLOCKS_MAX = 32, /* blocks in a list */
    ADDRESS_TEXT_MAX = 64,   /* an address or block as text, with its NUL; longer is invalid */
    ADDRESS_LEVELS = 3,      /* largest number of prefix lengths per source, see address_levels */
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

/* Reads an address of `len` bytes: IPv4 or IPv6, the latter also in brackets, each with or without
 * a port (RFC 3986 §3.2), which is ignored. Returns false when it is no address. */
bool address_read(const char *text, size_t len, struct sockaddr_storage *address);

/* Reads an address or a block (RFC 4632 §3.1). The bits after the prefix must be 0. */
bool address_block_read(const char *text, struct address_block *block);

/* Number of prefix lengths at which limits count a source, from the narrowest to the widest: /32
 * and /24 for IPv4, /64, /56 and /48 for IPv6. One person can easily have all addresses of the
 * narrowest; the others are blocks that one customer or one attacker can rent. */
int address_levels(const struct sockaddr_storage *address);

/* Writes the block that holds an address at a level (from 0). */
void address_source(const struct sockaddr_storage *address, int level, struct address_block *block);

/* Compares two blocks (struct address_block) as strcmp does strings; 0: they are equal. Suits
 * tsearch(3). */
int address_block_compare(const void *a, const void *b);

/* Whether an address is in one of the blocks. */
bool address_in(const struct sockaddr_storage *address, const struct address_list *list);

#endif
