/* SPDX-License-Identifier: MIT
 *
 * fuzz_http.c - request heads of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold, besides no fault that a sanitizer sees: a head means the same whether it comes at
 * once or byte by byte, a refusal has a status and words, and what was parsed lies within the head
 * and is answered by a whole response.
 */
#include "http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"
#include "page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_within(struct http_text text, const char *head, size_t len)
{
    bool own = text.at >= head && text.at + text.len <= head + len;
    require(text.at == NULL || own || (text.len == 1 && *text.at == '/'));
}

/* Feeds the head byte by byte, each time in a block of its own size, until it is judged. */
static long parse_slowly(const char *head, size_t len, size_t *seen)
{
    struct http_request request;
    const char *why;
    long used = 0;
    for (*seen = 0; used == 0 && *seen < len;) {
        char *copy = malloc(++*seen);
        memcpy(copy, head, *seen);
        used = http_parse(copy, *seen, "ragnarok.v2", &request, &why);
        free(copy);
    }
    return used;
}

/* The page, or why there is none; and where TLS would be due. A head is never cut, nor broken up by
 * what came in the request: one empty line ends it, and no other is in it. */
static void answer(const struct http_request *request)
{
    struct page_answer page;
    char moved[HTTP_RESPONSE_MAX];
    static const struct trust untold = {.state = TRUST_PLAIN};
    page_answer(request, &untold, &page);
    require(page.head_len > 0 && strlen(page.head) == page.head_len);
    page_answer_free(&page);
    size_t len = http_write_to_tls(moved, request);
    require(len > 0 && strlen(moved) == len);
    require(strstr(moved, "\r\n\r\n") - moved + 4 == (long)len || !request->head_only);
}

static void use(const struct http_request *request, const char *head, size_t len)
{
    static const char *const allowed[] = {"https://example.org", "null"};
    char room[NAME_MAX_BYTES + 1];
    const char *why = NULL;
    require_within(request->path, head, len);
    require_within(request->host, head, len);
    require_within(request->origin, head, len);
    require_within(request->key, head, len);
    require_within(request->if_none_match, head, len);
    require_within(http_host(request), head, len);
    require(!request->upgrade || (request->key.len == 24 && !request->head_only));
    if (http_room(request, room, sizeof(room), &why) == 0)
        require(room[0] == '\0' || name_check(room, strlen(room)) == NULL);
    else
        require(why != NULL);
    http_origin_ok(request, allowed, 2, len % 2 == 1);
    http_has_tag(request, "\"x\"");
    struct http_text host = http_host(request);
    if (host.at) {
        require(!http_host_is(host, "localhost") || host.len == strlen("localhost"));
        require(!http_host_under(host, ".local") || host.len > strlen(".local"));
        require(!http_host_allowed(host, allowed, 2) || http_host_is(host, "example.org"));
    }
    answer(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request;
    const char *why = NULL;
    char *head = malloc(size ? size : 1);
    memcpy(head, data, size);
    long used = http_parse(head, size, "ragnarok.v2", &request, &why);
    require(used <= (long)size);
    if (used < 0)
        require(why != NULL && used <= -400 && used > -600);
    if (used > 0)
        use(&request, head, size);
    if (size <= 512) {
        size_t seen;
        require(parse_slowly(head, size, &seen) == used);
        require(used <= 0 || seen == (size_t)used);
    }
    free(head);
    return 0;
}
