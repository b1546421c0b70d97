/* SPDX-License-Identifier: MIT
 *
 * fuzz_url.c - addresses and servers' answers of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: a refusal has words; an address that is taken makes one request, of one line for
 * each field, and means the same server when it is read again; an answer is never longer than what
 * came.
 */
#include "lib/url.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_LINES = 8 };

static const char key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455 §1.3 */

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void ask(const struct url *url)
{
    char request[URL_REQUEST_MAX];
    size_t len = url_write_request(url, key, request), lines = 0;
    require(len < sizeof(request) && strlen(request) == len);
    for (const char *at = request; (at = strstr(at, "\r\n")) != NULL; at += 2)
        lines++;
    require(lines == REQUEST_LINES && strcspn(request, "\n") == strcspn(request, "\r") + 1);
}

static void read_address(const char *text)
{
    struct url url, again;
    char server[URL_HOST_MAX + 8];
    const char *why = url_parse(&url, text);
    if (why) {
        require(why[0] != '\0');
        return;
    }
    ask(&url);
    url_server(&url, server);
    require(url_parse(&again, server) == NULL);
    require(again.port == url.port && strcmp(again.host, url.host) == 0);
}

static void read_answer(const char *head, size_t len)
{
    char why[URL_WHY_MAX] = "";
    bool v2;
    long used = url_read_answer(head, len, key, &v2, why);
    require(used <= (long)len && (used >= 0 || why[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *bytes = malloc(size ? size : 1);
    memcpy(text, data, size);
    memcpy(bytes, data, size); /* without a NUL behind them */
    text[size] = '\0';
    read_address(text);
    read_answer(bytes, size);
    free(text);
    free(bytes);
    return 0;
}
