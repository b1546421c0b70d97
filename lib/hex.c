/* SPDX-License-Identifier: MIT
 *
 * hex.c - hexadecimal digits. No locks: any thread.
 */
#include "lib/hex.h"

#include <string.h>

#include "lib/ascii.h"

int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void hex_write(char *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

void hex_write_fingerprint(char *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
        *out++ = ':';
    }
    out[-1] = '\0';
}

bool hex_read(unsigned char *out, size_t len, const char *hex)
{
    if (strlen(hex) != 2 * len || strspn(hex, "0123456789abcdef") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    return true;
}
