/* SPDX-License-Identifier: MIT
 *
 * random.c - random bytes from the system. Any thread, no locks.
 */
#include "net/random.h"

#include <openssl/rand.h>

#include "lib/hex.h"

bool random_bytes(void *out, size_t bytes)
{
    return bytes <= RANDOM_MAX && RAND_bytes(out, (int)bytes) == 1;
}

bool random_hex(char *text, size_t bytes)
{
    unsigned char random[RANDOM_MAX];
    if (!random_bytes(random, bytes))
        return false;
    hex_write(text, random, bytes);
    return true;
}
