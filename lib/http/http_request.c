/* SPDX-License-Identifier: MIT
 *
 * http_request.c - reads one request head (RFC 9110, RFC 9112, RFC 6455 §4.2).
 *
 * The parser is a table of steps. Each step consumes its part of the bytes, asks for more, or
 * returns the status to refuse with, so a bad head is refused at the byte that shows it. The
 * grammar is taken literally: input that two programs could understand differently is refused, not
 * repaired (RFC 9112 §11.2). Nothing is kept between calls, and one call looks at each byte a fixed
 * number of times. No locks: any thread.
 *
 * Elsewhere: the room of a path (http_room.c), sockets and time limits (connection.c),
 * Sec-WebSocket-Accept (ws.c), the page (static_files.c), and the response to a valid request
 * (upgrade.c).
 */
#include "lib/http/http_request.h"

#include <string.h>

#include "lib/ascii.h"
#include "lib/origin.h"

/* ---- Kinds of bytes -------------------------------------------------------------------------- */

/* RFC 9110 §5.6.2. */
static bool is_token_byte(char c)
{
    return ascii_is_alnum(c) || ascii_is_one_of(c, "!#$%&'*+-.^_`|~");
}

/* RFC 9110 §5.5: visible, blank, or one of the bytes above 0x7F that older headers may hold. */
static bool is_value_byte(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte == '\t' || (byte >= ' ' && byte != 0x7F);
}

/* Visible ASCII: browsers send some characters, like '|', that RFC 3986 requires to be escaped. No
 * '#': a target has no fragment (RFC 9112 §3.2). */
static bool is_target_byte(char c)
{
    return c > ' ' && c < 0x7F && c != '#';
}

/* ---- The request line (RFC 9112 §3) ------------------------------------------------- */

/* Result of a step: run the next one, wait for more bytes, or a status to refuse with. */
enum { GO_ON = 0, MORE = 1 };

enum { METHOD_MAX = 32 }; /* no method is that long, so a longer one is 405 at once */

enum { WEIGHT_NONE = -1, WEIGHT_MAX = 1000 };

/* Weight of each content coding in thousandths; WEIGHT_NONE if it is not listed. */
struct codings {
    int gzip, identity, any;
};

struct parser {
    const char *at, *end; /* bytes that no step has consumed yet */
    struct http_request *rq;
    const char *protocol; /* the subprotocol to look for, or NULL */
    const char *why;
    struct text authority;  /* authority of a target in absolute-form */
    struct text version;    /* Sec-WebSocket-Version */
    struct codings codings; /* Accept-Encoding */
    bool http10;
    bool websocket;   /* Upgrade lists it */
    bool may_upgrade; /* Connection lists upgrade */
    bool close;       /* Connection lists close */
};

static int refuse(struct parser *p, int status, const char *why)
{
    p->why = why;
    return status;
}

static struct text take_run(struct parser *p, bool (*belongs)(char))
{
    struct text run = {p->at, 0};
    while (p->at < p->end && belongs(*p->at))
        p->at++;
    run.len = (size_t)(p->at - run.at);
    return run;
}

/* Only CRLF ends a line. RFC 9112 §2.2 would allow a lone LF, but a server behind another that
 * reads it differently invites request smuggling. */
static int take_line_end(struct parser *p)
{
    static const char crlf[] = {'\r', '\n'};
    for (size_t i = 0; i < sizeof crlf; i++, p->at++) {
        if (p->at == p->end)
            return MORE;
        if (*p->at != crlf[i])
            return refuse(p, 400, "a line must end in CR LF and hold no control character");
    }
    return GO_ON;
}

/* RFC 9112 §2.2: skips one empty line that a client may send before the request. */
static int read_empty_line(struct parser *p)
{
    return p->at < p->end && *p->at == '\r' ? take_line_end(p) : GO_ON;
}

/* RFC 9112 §3.1. The first byte of a TLS record that carries a handshake is 0x16. */
static int read_method(struct parser *p)
{
    struct text method = take_run(p, is_token_byte);
    if (method.len > METHOD_MAX)
        return refuse(p, 405, "only GET and HEAD are answered here");
    if (p->at == p->end)
        return MORE;
    if (method.len == 0 && *p->at == 0x16)
        return refuse(p, 400, "this looks like TLS, and TLS is not spoken here");
    if (method.len == 0 || *p->at != ' ')
        return refuse(p, 400, "this is not an HTTP request");
    p->at++;
    p->rq->head_only = text_equals(method, "HEAD");
    if (p->rq->head_only || text_equals(method, "GET"))
        return GO_ON;
    return refuse(p, 405, "only GET and HEAD are answered here");
}

/* RFC 9110 §4.2.3: an empty path is the same as "/". */
static void set_path(struct parser *p, struct text target)
{
    p->rq->path = text_before(target, "?");
    if (p->rq->path.len == 0)
        p->rq->path = text_of("/");
}

/* RFC 9112 §3.2.2: the form that proxies get, and that every server must accept. */
static int read_absolute_form(struct parser *p, struct text url)
{
    struct text rest = {NULL, 0};
    origin_skip_scheme(url, &rest);
    p->authority = text_before(rest, "/?");
    if (!origin_is_authority(p->authority) || origin_host(p->authority).len == 0)
        return refuse(p, 400, "the target names no valid host");
    set_path(p, text_skip(rest, p->authority.len));
    return GO_ON;
}

/* RFC 9112 §3.2. The forms of CONNECT and OPTIONS do not apply to GET and HEAD. */
static int read_target(struct parser *p)
{
    struct text target = take_run(p, is_target_byte), rest;
    if (target.len > 0 && *target.at != '/' && !origin_skip_scheme(target, &rest))
        return refuse(p, 400, "the target must be a path or an http, https, ws or wss URL");
    if (target.len > HTTP_TARGET_MAX)
        return refuse(p, 414, "the target must not be longer than 2048 bytes");
    if (p->at == p->end)
        return MORE;
    if (target.len == 0 || *p->at != ' ')
        return refuse(p, 400,
                      "the request line must be method, target and HTTP/1.1, one space apart");
    p->at++;
    if (*target.at != '/')
        return read_absolute_form(p, target);
    set_path(p, target);
    return GO_ON;
}

/* RFC 9112 §2.3; case-sensitive. */
static int read_version(struct parser *p)
{
    static const char form[] = "HTTP/#.#"; /* where # is a digit */
    enum { LENGTH = sizeof form - 1, MAJOR = 5, MINOR = 7 };
    for (size_t i = 0; i < LENGTH; i++) {
        if (p->at + i == p->end)
            return MORE;
        if (form[i] == '#' ? !ascii_is_digit(p->at[i]) : p->at[i] != form[i])
            return refuse(p, 400, "the request line must end in HTTP/1.1");
    }
    if (p->at[MAJOR] != '1') /* RFC 9110 §2.5: a higher minor version is as good */
        return refuse(p, 505, "only HTTP/1.1 is spoken here");
    p->http10 = p->at[MINOR] == '0';
    p->at += LENGTH;
    return take_line_end(p);
}

/* ---- The header fields (RFC 9112 §5) ------------------------------------------------ */

/* Takes the next element of a comma-separated list. It may be empty (RFC 9110 §5.6.1). */
static bool next_element(struct text *list, struct text *element)
{
    if (list->len == 0)
        return false;
    struct text raw = text_before(*list, ",");
    *list = text_skip(*list, raw.len + 1);
    *element = text_trim(raw);
    return true;
}

bool http_take_last(struct text *list, struct text *element)
{
    *element = (struct text){NULL, 0};
    while (element->len == 0 && list->len > 0) {
        size_t start = list->len;
        while (start > 0 && list->at[start - 1] != ',')
            start--;
        *element = text_trim(text_skip(*list, start));
        list->len = start > 0 ? start - 1 : 0;
    }
    return element->len > 0;
}

static bool list_has(struct text list, const char *wanted)
{
    struct text element;
    while (next_element(&list, &element))
        if (text_equals_nocase(element, text_of(wanted)))
            return true;
    return false;
}

/* Refuses a second value: it would be left to chance which one counts. */
static int take_once(struct parser *p, struct text *slot, struct text value, const char *why)
{
    if (slot->at != NULL)
        return refuse(p, 400, why);
    *slot = value;
    return GO_ON;
}

/* RFC 9112 §3.2: 400 for a second Host and for an invalid one. */
static int take_host(struct parser *p, struct text value)
{
    if (!origin_is_authority(value))
        return refuse(p, 400, "Host must be a host, with or without a port");
    return take_once(p, &p->rq->host, value, "Host came twice");
}

static int take_origin(struct parser *p, struct text value)
{
    return take_once(p, &p->rq->origin, value, "Origin came twice");
}

/* RFC 6455 §11.3.1. */
static int take_key(struct parser *p, struct text value)
{
    return take_once(p, &p->rq->key, value, "Sec-WebSocket-Key came twice");
}

/* RFC 6455 §11.3.5. */
static int take_version(struct parser *p, struct text value)
{
    return take_once(p, &p->version, value, "Sec-WebSocket-Version came twice");
}

static int take_upgrade(struct parser *p, struct text value)
{
    p->websocket = p->websocket || list_has(value, "websocket");
    return GO_ON;
}

static int take_connection(struct parser *p, struct text value)
{
    p->may_upgrade = p->may_upgrade || list_has(value, "upgrade");
    p->close = p->close || list_has(value, "close");
    return GO_ON;
}

/* RFC 6455 §11.3.4: tokens, over one field or several, compared as they are. */
static int take_protocols(struct parser *p, struct text value)
{
    struct text offered;
    while (next_element(&value, &offered)) {
        for (size_t i = 0; i < offered.len; i++)
            if (!is_token_byte(offered.at[i]))
                return refuse(p, 400, "Sec-WebSocket-Protocol must be a list of tokens");
        if (p->protocol != NULL && text_equals(offered, p->protocol))
            p->rq->protocol = true;
    }
    return GO_ON;
}

/* RFC 9110 §12.4.2: "q=" and a number from 0 to 1 with up to three decimals. Returns it in
 * thousandths, or WEIGHT_NONE. */
static int read_weight(struct text text)
{
    enum { LONGEST = sizeof "q=0.000" - 1, FIRST = 2, POINT = 3 };
    int weight = 0, unit = WEIGHT_MAX;
    if (text.len <= FIRST || text.len > LONGEST ||
        !text_equals_nocase(text_first(text, 2), text_of("q=")))
        return WEIGHT_NONE;
    for (size_t i = FIRST; i < text.len; i++) {
        if (i == POINT ? text.at[i] != '.' : !ascii_is_digit(text.at[i]))
            return WEIGHT_NONE;
        if (i == POINT)
            continue;
        weight += unit * (text.at[i] - '0');
        unit /= 10;
    }
    return weight <= WEIGHT_MAX ? weight : WEIGHT_NONE;
}

/* RFC 9110 §12.5.3. A coding with an unreadable weight counts as not listed. */
static int take_accept_encoding(struct parser *p, struct text value)
{
    struct text element;
    while (next_element(&value, &element)) {
        struct text coding = text_before(element, ";");
        struct text weight = text_trim(text_skip(element, coding.len + 1));
        int q = coding.len == element.len ? WEIGHT_MAX : read_weight(weight);
        coding = text_trim(coding);
        if (text_equals_nocase(coding, text_of("gzip")) ||
            text_equals_nocase(coding, text_of("x-gzip")))
            p->codings.gzip = q; /* RFC 9110 §8.4.1.3: x-gzip equals gzip */
        else if (text_equals_nocase(coding, text_of("identity")))
            p->codings.identity = q;
        else if (text_equals(coding, "*"))
            p->codings.any = q;
    }
    return GO_ON;
}

/* RFC 9110 §12.5.1. Browsers list text/html by name; other programs accept anything.
 * Weights do not matter: this only chooses how a refusal looks. */
static int take_accept(struct parser *p, struct text value)
{
    struct text element;
    while (next_element(&value, &element))
        if (text_equals_nocase(text_trim(text_before(element, ";")), text_of("text/html")))
            p->rq->html = true;
    return GO_ON;
}

/* RFC 9110 §13.1.2. Only the first of several fields is used: sending a whole page is never wrong.
 */
static int take_if_none_match(struct parser *p, struct text value)
{
    if (p->rq->if_none_match.at == NULL)
        p->rq->if_none_match = value;
    return GO_ON;
}

/* Each proxy appends at the end, so of too many fields the last ones are kept. */
static int take_forwarded(struct parser *p, struct text value)
{
    struct text *fields = p->rq->forwarded;
    if (p->rq->forwarded_count == HTTP_FORWARDED_MAX) {
        memmove(fields, fields + 1, (HTTP_FORWARDED_MAX - 1) * sizeof(*fields));
        p->rq->forwarded_count--;
    }
    fields[p->rq->forwarded_count++] = value;
    return GO_ON;
}

/* RFC 9112 §6: a body would be read as the next input after the head, so none may be announced. */
static int take_content_length(struct parser *p, struct text value)
{
    return text_equals(value, "0") ? GO_ON : refuse(p, 400, "a request must not have a body");
}

static int take_transfer_encoding(struct parser *p, struct text value)
{
    (void)value;
    return refuse(p, 400, "a request must not have a body");
}

/* RFC 9110 §10.1.1: a request without a body waits for no "100 Continue". */
static int take_expect(struct parser *p, struct text value)
{
    if (text_equals_nocase(value, text_of("100-continue")))
        return GO_ON;
    return refuse(p, 417, "Expect may be 100-continue only");
}

static const struct {
    const char *name;
    int (*take)(struct parser *p, struct text value);
} known_fields[] = {
    {"Host", take_host},
    {"Origin", take_origin},
    {"Upgrade", take_upgrade},
    {"Connection", take_connection},
    {"Sec-WebSocket-Key", take_key},
    {"Sec-WebSocket-Version", take_version},
    {"Sec-WebSocket-Protocol", take_protocols},
    {"Accept", take_accept},
    {"Accept-Encoding", take_accept_encoding},
    {"If-None-Match", take_if_none_match},
    {"X-Forwarded-For", take_forwarded},
    {"Content-Length", take_content_length},
    {"Transfer-Encoding", take_transfer_encoding},
    {"Expect", take_expect},
};

enum { KNOWN_FIELDS = sizeof known_fields / sizeof known_fields[0] };

/* RFC 9112 §5.1: no space before the colon. §5.2: no continuation lines. */
static int read_field(struct parser *p)
{
    if (ascii_is_blank(*p->at))
        return refuse(p, 400, "a header line must not begin with white space");
    struct text name = take_run(p, is_token_byte);
    if (p->at == p->end)
        return MORE;
    if (name.len == 0 || *p->at != ':')
        return refuse(p, 400, "a header line must be a name, a colon right behind it, a value");
    p->at++;

    struct text value = text_trim(take_run(p, is_value_byte));
    int verdict = take_line_end(p);
    for (size_t i = 0; verdict == GO_ON && i < KNOWN_FIELDS; i++)
        if (text_equals_nocase(name, text_of(known_fields[i].name)))
            return known_fields[i].take(p, value);
    return verdict;
}

/* RFC 6585 §5: 431 for too many, as for too long. */
static int read_fields(struct parser *p)
{
    for (size_t n = 0;; n++) {
        if (p->at == p->end)
            return MORE;
        if (*p->at == '\r')
            return take_line_end(p);
        if (n == HTTP_FIELDS_MAX)
            return refuse(p, 431, "a request must not have more than 100 header fields");
        int verdict = read_field(p);
        if (verdict != GO_ON)
            return verdict;
    }
}

/* ---- The head as a whole ------------------------------------------------------------ */

/* RFC 9112 §3.2, §3.2.2. */
static int check_host(struct parser *p)
{
    if (p->rq->host.at == NULL && !p->http10)
        return refuse(p, 400, "Host is missing");
    if (p->authority.at != NULL)
        p->rq->host = p->authority;
    return GO_ON;
}

/* RFC 9112 §9.3. A connection of HTTP/1.0 stays only if both sides say so; here it ends. */
static int check_keep(struct parser *p)
{
    p->rq->keep = !p->http10 && !p->close;
    return GO_ON;
}

/* RFC 9110 §12.5.3: "*" stands for unlisted codings; with no match, no coding is best. */
static int check_codings(struct parser *p)
{
    const struct codings *codings = &p->codings;
    int gzip = codings->gzip != WEIGHT_NONE ? codings->gzip : codings->any;
    p->rq->gzip = gzip > 0 && gzip >= codings->identity;
    return GO_ON;
}

/* Base64 of 16 bytes is 22 digits and two of padding. The four spare bits of the last digit decode
 * to nothing, so they are not checked. */
static bool is_key(struct text key)
{
    enum { DIGITS = 22 };
    size_t n = 0;
    while (n < key.len && (ascii_is_alnum(key.at[n]) || ascii_is_one_of(key.at[n], "+/")))
        n++;
    return n == DIGITS && text_equals(text_skip(key, n), "==");
}

/* RFC 6455 §4.2.1. The version is checked before the key, because another version may have other
 * keys. */
static int check_handshake(struct parser *p)
{
    if (!p->websocket && p->rq->key.at != NULL)
        return refuse(p, 400,
                      "Sec-WebSocket-Key came without Upgrade: websocket; "
                      "a proxy on the way may not pass Upgrade on");
    if (!p->websocket)
        return GO_ON;
    if (p->http10 || p->rq->head_only)
        return refuse(p, 400, "a WebSocket handshake must be a GET of HTTP/1.1");
    if (!p->may_upgrade)
        return refuse(p, 400, "Upgrade came without Connection: Upgrade");
    if (!text_equals(p->version, "13"))
        return refuse(p, 426, "Sec-WebSocket-Version must be 13");
    if (!is_key(p->rq->key))
        return refuse(p, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
    p->rq->upgrade = true;
    return GO_ON;
}

static int (*const steps[])(struct parser *p) = {
    read_empty_line, /* RFC 9112 §2.2 */
    read_method,     /* §3.1 */
    read_target,     /* §3.2 */
    read_version,    /* §2.3 */
    read_fields,     /* §5 */
    check_host,      /* §3.2 */
    check_keep,      /* §9.3 */
    check_codings,   /* RFC 9110 §12.5.3 */
    check_handshake, /* RFC 6455 §4.2.1 */
};

enum { STEPS = sizeof steps / sizeof steps[0] };

long http_parse(const char *head, size_t len, const char *protocol, struct http_request *rq,
                const char **why)
{
    *rq = (struct http_request){.upgrade = false};
    if (len == 0)
        return 0;

    size_t seen = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    struct parser p = {.at = head,
                       .end = head + seen,
                       .rq = rq,
                       .protocol = protocol,
                       .codings = {WEIGHT_NONE, WEIGHT_NONE, WEIGHT_NONE}};
    int verdict = GO_ON;
    for (size_t i = 0; verdict == GO_ON && i < STEPS; i++)
        verdict = steps[i](&p);

    if (verdict == MORE && seen < HTTP_HEAD_MAX)
        return 0;
    if (verdict == MORE) /* not whole at the bound: the next byte is one too many */
        verdict = refuse(&p, 431, "a request head must not be longer than 8192 bytes");
    if (verdict == GO_ON)
        return p.at - head;
    *why = p.why;
    return -verdict;
}

/* ---- Entity tags (RFC 9110 §8.8.3) ----------------------------------------------------------- */

/* Takes the next tag of a list, with its quotes and without W/. A tag may contain a comma, so the
 * quotes tell where it ends. */
static bool next_tag(struct text *list, struct text *tag)
{
    while (list->len > 0 && (ascii_is_blank(list->at[0]) || list->at[0] == ','))
        *list = text_skip(*list, 1);
    if (text_equals(text_first(*list, 2), "W/"))
        *list = text_skip(*list, 2);
    if (list->len == 0 || list->at[0] != '"')
        return false;
    size_t inside = text_before(text_skip(*list, 1), "\"").len;
    *tag = text_first(*list, inside + 2);
    *list = text_skip(*list, inside + 2);
    return true;
}

/* §8.8.3.2: the weak comparison, which ignores W/. */
bool http_has_tag(const struct http_request *rq, const char *tag)
{
    struct text list = rq->if_none_match, one;
    if (list.at == NULL)
        return false;
    if (text_equals(list, "*"))
        return true;
    while (next_tag(&list, &one))
        if (text_equals(one, tag))
            return true;
    return false;
}
