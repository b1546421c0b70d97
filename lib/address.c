/* SPDX-License-Identifier: MIT
 *
 * address.c - reads and compares addresses and blocks of them. Any thread.
 *
 * inet_pton decides what an address is: four decimal numbers and nothing shorter, or RFC 4291 §2.2.
 * All comparisons use 16 bytes, so an IPv4 block also matches clients of a dual-stack socket.
 */
#include "lib/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/authority.h"

enum {
    V4_BITS = 32,
    V6_BITS = 128,
    V4_AT = 12, /* where IPv4 begins in the 16 bytes */
};

/* Copies a text that is no longer than an address can be. */
static bool copy_text(char out[ADDRESS_TEXT_MAX], const char *text, size_t len)
{
    if (len == 0 || len >= ADDRESS_TEXT_MAX || memchr(text, '\0', len))
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool is_number(const char *text, int max)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtol(text, NULL, 10) <= max;
}

/* Reads an address with nothing before or after it. */
static bool read_bare(const char *text, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)address)->sin_addr) == 1)
        address->ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)address)->sin6_addr) == 1)
        address->ss_family = AF_INET6;
    return address->ss_family != AF_UNSPEC;
}

/* A bare IPv6 address has more than one colon and no port. */
bool address_read(const char *text, size_t len, struct sockaddr_storage *address)
{
    char copy[ADDRESS_TEXT_MAX];
    struct text whole = {text, len}, host, port;
    if (!authority_split(whole, &host, &port))
        return false;
    bool literal = authority_is_literal(host);
    if (!literal && port.at && memchr(port.at, ':', port.len))
        host = whole;
    else if (port.at && authority_port(port) < 0)
        return false;
    if (literal)
        host = text_first(text_skip(host, 1), host.len - 2);
    return copy_text(copy, host.at, host.len) && read_bare(copy, address) &&
           (!literal || address->ss_family == AF_INET6);
}

/* The 16 bytes of an address. */
static void write_bytes(unsigned char bytes[ADDRESS_BYTES], const struct sockaddr_storage *address)
{
    memset(bytes, 0, ADDRESS_BYTES);
    if (address->ss_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, ADDRESS_BYTES);
    } else if (address->ss_family == AF_INET) {
        bytes[V4_AT - 2] = bytes[V4_AT - 1] = 0xFF;
        memcpy(bytes + V4_AT, &((const struct sockaddr_in *)address)->sin_addr, 4);
    }
}

/* Whether the first `bits` bits are the same. */
static bool same_prefix(const unsigned char *a, const unsigned char *b, int bits)
{
    size_t whole = (size_t)bits / 8;
    unsigned mask = 0xFFu << (8 - bits % 8) & 0xFFu;
    return memcmp(a, b, whole) == 0 && (mask == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

/* Whether every bit after the prefix is 0: "10.1.2.3/8" is more likely a mistake than a block. */
static bool is_block(const struct address_block *block)
{
    static const unsigned char zeros[ADDRESS_BYTES];
    unsigned char rest[ADDRESS_BYTES];
    memcpy(rest, block->bytes, ADDRESS_BYTES);
    memset(rest, 0, (size_t)block->bits / 8);
    if (block->bits % 8)
        rest[block->bits / 8] &= (unsigned char)(0xFF >> block->bits % 8);
    return memcmp(rest, zeros, ADDRESS_BYTES) == 0;
}

bool address_block_read(const char *text, struct address_block *block)
{
    char copy[ADDRESS_TEXT_MAX];
    struct sockaddr_storage address;
    size_t len = strcspn(text, "/");
    const char *bits = text[len] ? text + len + 1 : NULL;
    if (!copy_text(copy, text, len) || !read_bare(copy, &address))
        return false;
    bool v4 = address.ss_family == AF_INET;
    if (bits && !is_number(bits, v4 ? V4_BITS : V6_BITS))
        return false;
    write_bytes(block->bytes, &address);
    block->bits = bits ? (int)strtol(bits, NULL, 10) + (v4 ? V6_BITS - V4_BITS : 0) : V6_BITS;
    return is_block(block);
}

int address_block_compare(const void *a, const void *b)
{
    const struct address_block *one = a, *other = b;
    int order = memcmp(one->bytes, other->bytes, ADDRESS_BYTES);
    return order ? order : one->bits - other->bits;
}

bool address_in(const struct sockaddr_storage *address, const struct address_list *list)
{
    unsigned char bytes[ADDRESS_BYTES];
    if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
        return false;
    write_bytes(bytes, address);
    for (int i = 0; i < list->count; i++)
        if (same_prefix(bytes, list->blocks[i].bytes, list->blocks[i].bits))
            return true;
    return false;
}

/* ---- Sources ---- */

static bool is_v4(const unsigned char bytes[ADDRESS_BYTES])
{
    static const unsigned char mapped[V4_AT] = {[V4_AT - 2] = 0xFF, [V4_AT - 1] = 0xFF};
    return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

int address_levels(const struct sockaddr_storage *address)
{
    unsigned char bytes[ADDRESS_BYTES];
    write_bytes(bytes, address);
    return is_v4(bytes) ? 2 : 3;
}

void address_source(const struct sockaddr_storage *address, int level, struct address_block *block)
{
    static const int v4[] = {V6_BITS, V6_BITS - 8}, v6[] = {64, 56, 48};
    write_bytes(block->bytes, address);
    block->bits = is_v4(block->bytes) ? v4[level] : v6[level];
    memset(block->bytes + block->bits / 8, 0, (size_t)(V6_BITS - block->bits) / 8);
}
