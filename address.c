/* SPDX-License-Identifier: MIT
 *
 * address.c - addresses and blocks of them, as address.h promises it.
 *
 * inet_pton decides what an address is: four decimal numbers and nothing shorter, or RFC 4291 §2.2.
 * Everything is compared in 16 bytes, so that a block of IPv4 also holds who comes in by a socket
 * that takes both.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
    V4_BITS = 32,
    V6_BITS = 128,
    V4_AT = 12, /* where IPv4 begins in the 16 bytes */
    PORT_MAX = 65535,
};

/* Copies what is no longer than an address can be. */
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

/* Takes the port off: "[A]:1" and "[A]" give A, "1.2.3.4:1" gives 1.2.3.4. A bare IPv6 address has
 * more than one colon and no port. Returns the address, or NULL when the rest is no port. */
static char *without_port(char *text)
{
    bool bracket = text[0] == '[';
    char *host = text + bracket, *end = strchr(host, bracket ? ']' : ':');
    if (bracket && (!end || !memchr(host, ':', (size_t)(end - host))))
        return NULL;
    if (!bracket && (!end || strchr(end + 1, ':')))
        return host;
    const char *rest = end + bracket;
    if (*rest && (*rest != ':' || !is_number(rest + 1, PORT_MAX)))
        return NULL;
    *end = '\0';
    return host;
}

/* Reads an address with nothing before or behind it. */
static bool read_bare(const char *text, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)address)->sin_addr) == 1)
        address->ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)address)->sin6_addr) == 1)
        address->ss_family = AF_INET6;
    return address->ss_family != AF_UNSPEC;
}

bool address_read(const char *text, size_t len, struct sockaddr_storage *address)
{
    char copy[ADDRESS_TEXT_MAX];
    const char *host = copy_text(copy, text, len) ? without_port(copy) : NULL;
    return host && read_bare(host, address);
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

/* Whether every bit behind the prefix is 0: "10.1.2.3/8" is more likely a slip than a block. */
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
