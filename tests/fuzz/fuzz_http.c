/* SPDX-License-Identifier: MIT
 *
 * fuzz_http.c - request heads of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold, besides no fault that a sanitizer sees: a head means the same whether it comes at
 * once or in pieces, a refusal has a status and words, and what was parsed lies within the head
 * and is answered by a whole response.
 */
#include "lib/http/http_request.h"
#include "lib/http/http_response.h"
#include "lib/http/http_room.h"
#include "lib/authority.h"
#include "lib/origin.h"
#include "lib/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/name.h"
#include "server/http/static_files.h"
#include "server/http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOW = 64, SLOW_BYTES = 512 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_within(struct text text, const char *head, size_t len)
{
    bool own = text.at >= head && text.at + text.len <= head + len;
    require(text.at == NULL || own || (text.len == 1 && *text.at == '/'));
}

/* What the first `len` bytes say, in a block of their own size: reading further would be seen. */
static long parse_first(const char *head, size_t len)
{
    struct http_request request;
    const char *why;
    char *copy = malloc(len);
    memcpy(copy, head, len);
    long used = http_parse(copy, len, "ragnarok.v2", &request, &why);
    free(copy);
    return used;
}

/* `used` is what the whole head came to: its first bytes come to the same, or ask for more, and a
 * head that is acceptable is so at its last byte, not before. Returns what they came to. */
static long check_first(const char *head, size_t len, long used)
{
    long found = parse_first(head, len);
    require(found == used || found == 0);
    require(used <= 0 || found == (len < (size_t)used ? 0 : used));
    return found;
}

/* As if it came in pieces. Byte by byte costs the square of its length, so one input in SLOW is
 * tried so; of the others the last two places at which it can be judged, and one anywhere. The
 * bytes themselves decide, so that an input does the same each time. */
static void check_pieces(const char *head, size_t len, long used)
{
    uint32_t dice = 2166136261;
    size_t end = used > 0 ? (size_t)used : len;
    for (size_t i = 0; i < len; i++)
        dice = (dice ^ (unsigned char)head[i]) * 16777619;
    if (dice / 65536 % SLOW == 0 && len <= SLOW_BYTES) {
        for (size_t first = 1; first <= end && check_first(head, first, used) == 0; first++)
            ;
    } else if (end > 1) {
        check_first(head, end, used);
        check_first(head, end - 1, used);
        check_first(head, 1 + dice % end, used);
    }
}

/* The page, or why there is none; and where TLS would be due. A head is never cut, nor broken up by
 * what came in the request: one empty line ends it, and no other is in it. */
static void answer(const struct http_request *request)
{
    struct static_file_answer page;
    char moved[HTTP_RESPONSE_MAX];
    static const struct trust_page untold = {.state = TRUST_PAGE_PLAIN};
    page_answer(request, &untold, &page);
    require(page.head_len > 0 && strlen(page.head) == page.head_len);
    static_file_answer_free(&page);
    size_t len = http_write_to_tls(moved, request);
    require(len > 0 && strlen(moved) == len);
    require(strstr(moved, "\r\n\r\n") - moved + 4 == (long)len || !request->head_only);
}

/* Whom a proxy on this machine has passed on is no proxy of its own. */
static void find_sender(const struct http_request *request)
{
    struct address_list trusted = {.count = 1};
    struct sockaddr_storage peer;
    require(address_block_read("127.0.0.0/8", &trusted.blocks[0]));
    require(address_read("127.0.0.1", strlen("127.0.0.1"), &peer));
    enum forwarded_found found = forwarded_client(request, &trusted, &peer);
    require(found == FORWARDED_CLIENT || address_in(&peer, &trusted));
    require(found == FORWARDED_NONE || request->forwarded_count > 0);
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
    require_within(origin_host(request->host), head, len);
    require(!request->upgrade || (request->key.len == 24 && !request->head_only));
    if (http_room(request, room, sizeof(room), &why) == 0)
        require(room[0] == '\0' || name_check(room, strlen(room)) == NULL);
    else
        require(why != NULL);
    origin_allowed(request->origin, request->host, allowed, 2, len % 2 == 1);
    http_has_tag(request, "\"x\"");
    struct text host = origin_host(request->host);
    if (host.at) {
        require(!authority_host_is(host, "localhost") || host.len == strlen("localhost"));
        require(!authority_host_under(host, ".local") || host.len > strlen(".local"));
        require(!origin_host_allowed(host, allowed, 2) || authority_host_is(host, "example.org"));
    }
    find_sender(request);
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
    check_pieces(head, size, used);
    free(head);
    return 0;
}
