/* SPDX-License-Identifier: MIT
 *
 * http.c - reads one request head, writes one response (RFC 9110, RFC 9112, RFC 6455 §4.2).
 *
 * Reading is a row of steps over the bytes that are there. Each step takes its part, asks for more
 * bytes or names a status to refuse with, so that a bad head is refused at the byte that shows it.
 * The grammar is taken literally: what two programs could understand differently is refused, not
 * repaired (RFC 9112 §11.2). Nothing is kept between calls, and one call looks at each byte a
 * fixed number of times.
 *
 * Left to others: sockets and time limits, Sec-WebSocket-Accept (ws.c), the page (page.c), and what
 * to answer to a request that is in order (admit.c).
 */
#include "http.h"

#include <stdio.h>
#include <string.h>

#include "name.h"

/* ---- Text ------------------------------------------------------------------------------------ */

static struct http_text text_of(const char *string)
{
    return (struct http_text){string, strlen(string)};
}

/* The first `n` bytes, or what there is of them. */
static struct http_text text_first(struct http_text text, size_t n)
{
    return (struct http_text){text.at, n < text.len ? n : text.len};
}

/* What is left behind them. */
static struct http_text text_skip(struct http_text text, size_t n)
{
    n = text_first(text, n).len;
    return (struct http_text){text.at + n, text.len - n};
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* What stands before the first byte that is one of `stops`, or all of it. */
static struct http_text text_before(struct http_text text, const char *stops)
{
    size_t n = 0;
    while (n < text.len && !is_one_of(text.at[n], stops))
        n++;
    return (struct http_text){text.at, n};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct http_text text_trim(struct http_text text)
{
    while (text.len > 0 && is_blank(text.at[0]))
        text = text_skip(text, 1);
    while (text.len > 0 && is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

static bool text_is(struct http_text text, const char *string)
{
    return text.len == strlen(string) && memcmp(text.at, string, text.len) == 0;
}

/* ASCII only, whatever the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool text_like(struct http_text a, struct http_text b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && lower(a.at[n]) == lower(b.at[n]))
        n++;
    return n == a.len && n == b.len;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- Kinds of bytes -------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* RFC 9110 §5.6.2. */
static bool is_token_byte(char c)
{
    return is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
}

/* RFC 9110 §5.5: visible, blank, or one of the bytes over 0x7F that older headers may hold. */
static bool is_value_byte(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte == '\t' || (byte >= ' ' && byte != 0x7F);
}

/* Visible ASCII: browsers send some of it, like '|', that RFC 3986 wants escaped. No '#': a
 * target has no fragment (RFC 9112 §3.2). */
static bool is_target_byte(char c)
{
    return c > ' ' && c < 0x7F && c != '#';
}

/* RFC 3986 §3.2.2, reg-name. No '@': user information is not taken (RFC 9110 §4.2.4). */
static bool is_host_byte(char c)
{
    return is_alnum(c) || is_one_of(c, "-._~%!$&'()*+,;=");
}

static bool is_ipv6_byte(char c)
{
    return hex_value(c) >= 0 || c == ':' || c == '.';
}

/* ---- Authorities and origins (RFC 3986 §3.2, RFC 6454) --------------------------------------- */

struct scheme {
    const char *prefix;
    int port;
};

static const struct scheme schemes[] = {
    {"http://", 80},
    {"https://", 443},
    {"ws://", 80},
    {"wss://", 443},
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0], PORT_MAX = 65535 };

struct authority {
    struct http_text host;
    int port;
};

struct origin {
    const struct scheme *scheme;
    struct authority where;
};

/* The scheme that `url` begins with; when it is shorter than a scheme, one that it may become. */
static const struct scheme *find_scheme(struct http_text url)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        struct http_text prefix = text_of(schemes[i].prefix);
        if (text_like(text_first(url, prefix.len), text_first(prefix, url.len)))
            return &schemes[i];
    }
    return NULL;
}

/* What follows the scheme: nothing when the text ends within it. */
static struct http_text skip_scheme(struct http_text url, const struct scheme *scheme)
{
    return text_skip(url, strlen(scheme->prefix));
}

/* The length of the host at the start of `text`; 0 when a bracket is not closed. */
static size_t host_length(struct http_text text)
{
    bool literal = text.len > 0 && text.at[0] == '[';
    size_t n = literal ? 1 : 0;
    while (n < text.len && (literal ? is_ipv6_byte(text.at[n]) : is_host_byte(text.at[n])))
        n++;
    if (!literal)
        return n;
    return n > 1 && n < text.len && text.at[n] == ']' ? n + 1 : 0;
}

/* host [":" port]. A port that is absent or empty leaves authority->port as it is. */
static bool read_authority(struct http_text text, struct authority *authority)
{
    authority->host = (struct http_text){text.at, host_length(text)};
    text = text_skip(text, authority->host.len);
    if (text.len == 0)
        return true;
    if (text.at[0] != ':')
        return false;

    int port = 0;
    for (size_t i = 1; i < text.len; i++) {
        if (!is_digit(text.at[i]))
            return false;
        port = 10 * port + (text.at[i] - '0');
        if (port > PORT_MAX)
            return false;
    }
    if (text.len > 1)
        authority->port = port;
    return true;
}

/* scheme "://" host [":" port], and nothing behind it (RFC 6454 §6.2). */
static bool read_origin(struct http_text text, struct origin *origin)
{
    origin->scheme = find_scheme(text);
    if (origin->scheme == NULL)
        return false;
    origin->where.port = origin->scheme->port;
    return read_authority(skip_scheme(text, origin->scheme), &origin->where) &&
           origin->where.host.len > 0;
}

static bool same_place(struct authority a, struct authority b)
{
    return a.port == b.port && text_like(a.host, b.host);
}

/* What is no origin with a host ("null", "chrome-extension://...") is compared as text. */
static bool same_origin(struct http_text a, struct http_text b)
{
    struct origin x, y;
    if (read_origin(a, &x) && read_origin(b, &y))
        return x.scheme == y.scheme && same_place(x.where, y.where);
    return text_like(a, b);
}

/* A Host without port means 443 under TLS. Without TLS it means what the browser's scheme means:
 * an https page reaches a plain server only through a proxy that ended TLS on the way. */
static bool is_own_origin(const struct http_request *rq, bool tls)
{
    struct origin from;
    if (rq->host.at == NULL || !read_origin(rq->origin, &from))
        return false;
    struct authority here = {.port = tls ? 443 : from.scheme->port};
    return read_authority(rq->host, &here) && same_place(from.where, here);
}

bool http_origin_ok(const struct http_request *rq, const char *const *allowed, size_t n, bool tls)
{
    if (rq->origin.at == NULL)
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(allowed[i], "*") == 0 || same_origin(rq->origin, text_of(allowed[i])))
            return true;
    return is_own_origin(rq, tls);
}

/* ---- Entity tags (RFC 9110 §8.8.3) ----------------------------------------------------------- */

/* Takes the next tag of a list, with its quotes and without what makes it a weak one. A comma may
 * stand in a tag, so the quotes tell where it ends. */
static bool next_tag(struct http_text *list, struct http_text *tag)
{
    while (list->len > 0 && (is_blank(list->at[0]) || list->at[0] == ','))
        *list = text_skip(*list, 1);
    if (text_is(text_first(*list, 2), "W/"))
        *list = text_skip(*list, 2);
    if (list->len == 0 || list->at[0] != '"')
        return false;
    size_t inside = text_before(text_skip(*list, 1), "\"").len;
    *tag = text_first(*list, inside + 2);
    *list = text_skip(*list, inside + 2);
    return true;
}

/* §8.8.3.2: the weak comparison, in which W/ makes no difference. */
bool http_has_tag(const struct http_request *rq, const char *tag)
{
    struct http_text list = rq->if_none_match, one;
    if (list.at == NULL)
        return false;
    if (text_is(list, "*"))
        return true;
    while (next_tag(&list, &one))
        if (text_is(one, tag))
            return true;
    return false;
}

/* ---- Hosts ----------------------------------------------------------------------------------- */

/* A dot at the end says that the name is whole (RFC 3986 §3.2.2); it is the same name. */
struct http_text http_host(const struct http_request *rq)
{
    struct http_text host = {NULL, 0};
    if (rq->host.at != NULL)
        host = (struct http_text){rq->host.at, host_length(rq->host)};
    if (host.len > 1 && host.at[host.len - 1] == '.')
        host.len--;
    return host;
}

bool http_host_is(struct http_text host, const char *name)
{
    return text_like(host, text_of(name));
}

bool http_host_under(struct http_text host, const char *domain)
{
    size_t len = strlen(domain);
    return host.len > len && text_like(text_skip(host, host.len - len), text_of(domain));
}

bool http_host_allowed(struct http_text host, const char *const *allowed, size_t n)
{
    struct origin origin;
    for (size_t i = 0; i < n; i++)
        if (strcmp(allowed[i], "*") == 0 ||
            (read_origin(text_of(allowed[i]), &origin) && text_like(host, origin.where.host)))
            return true;
    return false;
}

/* ---- Parsing: the request line (RFC 9112 §3) ------------------------------------------------- */

/* What a step says: go on with the next one, more bytes are needed, or a status to refuse with. */
enum { GO_ON = 0, MORE = 1 };

enum { METHOD_MAX = 32 }; /* bytes; no method is that long, so more is 405 without waiting */

enum { WEIGHT_NONE = -1, WEIGHT_MAX = 1000 };

/* How welcome each content coding is, in thousandths; WEIGHT_NONE where it was not named. */
struct codings {
    int gzip, identity, any;
};

struct parser {
    const char *at, *end; /* what no step has taken yet */
    struct http_request *rq;
    const char *protocol; /* the subprotocol to look for, or NULL */
    const char *why;
    struct http_text authority; /* of a target in absolute-form */
    struct http_text version;   /* Sec-WebSocket-Version */
    struct codings codings;     /* Accept-Encoding */
    bool http10;
    bool websocket;   /* Upgrade lists it */
    bool may_upgrade; /* Connection lists upgrade */
};

static int refuse(struct parser *p, int status, const char *why)
{
    p->why = why;
    return status;
}

static struct http_text take_run(struct parser *p, bool (*belongs)(char))
{
    struct http_text run = {p->at, 0};
    while (p->at < p->end && belongs(*p->at))
        p->at++;
    run.len = (size_t)(p->at - run.at);
    return run;
}

/* CRLF and nothing else ends a line. RFC 9112 §2.2 would allow a lone LF; a server behind another
 * that reads it differently is why we do not. */
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

/* RFC 9112 §2.2: a client may send one empty line too many, before the request. */
static int read_empty_line(struct parser *p)
{
    return p->at < p->end && *p->at == '\r' ? take_line_end(p) : GO_ON;
}

/* RFC 9112 §3.1. The first byte of a TLS record that carries a handshake is 0x16. */
static int read_method(struct parser *p)
{
    struct http_text method = take_run(p, is_token_byte);
    if (method.len > METHOD_MAX)
        return refuse(p, 405, "only GET and HEAD are answered here");
    if (p->at == p->end)
        return MORE;
    if (method.len == 0 && *p->at == 0x16)
        return refuse(p, 400, "this looks like TLS, and TLS is not spoken here");
    if (method.len == 0 || *p->at != ' ')
        return refuse(p, 400, "this is not an HTTP request");
    p->at++;
    p->rq->head_only = text_is(method, "HEAD");
    if (p->rq->head_only || text_is(method, "GET"))
        return GO_ON;
    return refuse(p, 405, "only GET and HEAD are answered here");
}

/* RFC 9110 §4.2.3: an empty path is the same as "/". */
static void set_path(struct parser *p, struct http_text target)
{
    p->rq->path = text_before(target, "?");
    if (p->rq->path.len == 0)
        p->rq->path = text_of("/");
}

/* RFC 9112 §3.2.2: what a proxy is sent, and what every server must accept. */
static int read_absolute_form(struct parser *p, struct http_text url)
{
    struct http_text rest = skip_scheme(url, find_scheme(url));
    struct authority authority = {.port = 0};
    p->authority = text_before(rest, "/?");
    if (!read_authority(p->authority, &authority) || authority.host.len == 0)
        return refuse(p, 400, "the target names no valid host");
    set_path(p, text_skip(rest, p->authority.len));
    return GO_ON;
}

/* RFC 9112 §3.2. The forms of CONNECT and OPTIONS are not for GET and HEAD. */
static int read_target(struct parser *p)
{
    struct http_text target = take_run(p, is_target_byte);
    if (target.len > 0 && *target.at != '/' && find_scheme(target) == NULL)
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
        if (form[i] == '#' ? !is_digit(p->at[i]) : p->at[i] != form[i])
            return refuse(p, 400, "the request line must end in HTTP/1.1");
    }
    if (p->at[MAJOR] != '1' || p->at[MINOR] > '1')
        return refuse(p, 505, "only HTTP/1.1 is spoken here");
    p->http10 = p->at[MINOR] == '0';
    p->at += LENGTH;
    return take_line_end(p);
}

/* ---- Parsing: the header fields (RFC 9112 §5) ------------------------------------------------ */

/* Takes the next element of a comma-separated list. It may be empty (RFC 9110 §5.6.1). */
static bool next_element(struct http_text *list, struct http_text *element)
{
    if (list->len == 0)
        return false;
    struct http_text raw = text_before(*list, ",");
    *list = text_skip(*list, raw.len + 1);
    *element = text_trim(raw);
    return true;
}

bool http_take_last(struct http_text *list, struct http_text *element)
{
    *element = (struct http_text){NULL, 0};
    while (element->len == 0 && list->len > 0) {
        size_t start = list->len;
        while (start > 0 && list->at[start - 1] != ',')
            start--;
        *element = text_trim(text_skip(*list, start));
        list->len = start > 0 ? start - 1 : 0;
    }
    return element->len > 0;
}

static bool list_has(struct http_text list, const char *wanted)
{
    struct http_text element;
    while (next_element(&list, &element))
        if (text_like(element, text_of(wanted)))
            return true;
    return false;
}

/* Two values of these would leave it to chance which one counts. */
static int take_once(struct parser *p, struct http_text *slot, struct http_text value,
                     const char *why)
{
    if (slot->at != NULL)
        return refuse(p, 400, why);
    *slot = value;
    return GO_ON;
}

/* RFC 9112 §3.2: 400 for a second Host and for one that is none. */
static int take_host(struct parser *p, struct http_text value)
{
    struct authority authority = {.port = 0};
    if (!read_authority(value, &authority))
        return refuse(p, 400, "Host must be a host, with or without a port");
    return take_once(p, &p->rq->host, value, "Host came twice");
}

static int take_origin(struct parser *p, struct http_text value)
{
    return take_once(p, &p->rq->origin, value, "Origin came twice");
}

/* RFC 6455 §11.3.1. */
static int take_key(struct parser *p, struct http_text value)
{
    return take_once(p, &p->rq->key, value, "Sec-WebSocket-Key came twice");
}

/* RFC 6455 §11.3.5. */
static int take_version(struct parser *p, struct http_text value)
{
    return take_once(p, &p->version, value, "Sec-WebSocket-Version came twice");
}

static int take_upgrade(struct parser *p, struct http_text value)
{
    p->websocket = p->websocket || list_has(value, "websocket");
    return GO_ON;
}

static int take_connection(struct parser *p, struct http_text value)
{
    p->may_upgrade = p->may_upgrade || list_has(value, "upgrade");
    return GO_ON;
}

/* RFC 6455 §11.3.4: tokens, over one field or several, compared as they are. */
static int take_protocols(struct parser *p, struct http_text value)
{
    struct http_text offered;
    while (next_element(&value, &offered)) {
        for (size_t i = 0; i < offered.len; i++)
            if (!is_token_byte(offered.at[i]))
                return refuse(p, 400, "Sec-WebSocket-Protocol must be a list of tokens");
        if (p->protocol != NULL && text_is(offered, p->protocol))
            p->rq->protocol = true;
    }
    return GO_ON;
}

/* RFC 9110 §12.4.2: "q=" and a number from 0 to 1 with up to three decimals. Returns it in
 * thousandths, or WEIGHT_NONE. */
static int read_weight(struct http_text text)
{
    enum { LONGEST = sizeof "q=0.000" - 1, FIRST = 2, POINT = 3 };
    int weight = 0, unit = WEIGHT_MAX;
    if (text.len <= FIRST || text.len > LONGEST || !text_like(text_first(text, 2), text_of("q=")))
        return WEIGHT_NONE;
    for (size_t i = FIRST; i < text.len; i++) {
        if (i == POINT ? text.at[i] != '.' : !is_digit(text.at[i]))
            return WEIGHT_NONE;
        if (i == POINT)
            continue;
        weight += unit * (text.at[i] - '0');
        unit /= 10;
    }
    return weight <= WEIGHT_MAX ? weight : WEIGHT_NONE;
}

/* RFC 9110 §12.5.3. A coding whose weight cannot be read counts as not named. */
static int take_accept_encoding(struct parser *p, struct http_text value)
{
    struct http_text element;
    while (next_element(&value, &element)) {
        struct http_text coding = text_before(element, ";");
        struct http_text weight = text_trim(text_skip(element, coding.len + 1));
        int q = coding.len == element.len ? WEIGHT_MAX : read_weight(weight);
        coding = text_trim(coding);
        if (text_like(coding, text_of("gzip")) || text_like(coding, text_of("x-gzip")))
            p->codings.gzip = q; /* RFC 9110 §8.4.1.3: one and the same */
        else if (text_like(coding, text_of("identity")))
            p->codings.identity = q;
        else if (text_is(coding, "*"))
            p->codings.any = q;
    }
    return GO_ON;
}

/* RFC 9110 §13.1.2. Of several fields the first is looked at: to send a whole page is never wrong. */
static int take_if_none_match(struct parser *p, struct http_text value)
{
    if (p->rq->if_none_match.at == NULL)
        p->rq->if_none_match = value;
    return GO_ON;
}

/* Each proxy adds at the end, so of too many fields the last ones are kept. */
static int take_forwarded(struct parser *p, struct http_text value)
{
    struct http_text *fields = p->rq->forwarded;
    if (p->rq->forwarded_count == HTTP_FORWARDED_MAX) {
        memmove(fields, fields + 1, (HTTP_FORWARDED_MAX - 1) * sizeof(*fields));
        p->rq->forwarded_count--;
    }
    fields[p->rq->forwarded_count++] = value;
    return GO_ON;
}

/* RFC 9112 §6: a body would be taken for what follows the head, so none may be announced. */
static int take_content_length(struct parser *p, struct http_text value)
{
    return text_is(value, "0") ? GO_ON : refuse(p, 400, "a request must not have a body");
}

static int take_transfer_encoding(struct parser *p, struct http_text value)
{
    (void)value;
    return refuse(p, 400, "a request must not have a body");
}

static const struct {
    const char *name;
    int (*take)(struct parser *p, struct http_text value);
} known_fields[] = {
    {"Host", take_host},
    {"Origin", take_origin},
    {"Upgrade", take_upgrade},
    {"Connection", take_connection},
    {"Sec-WebSocket-Key", take_key},
    {"Sec-WebSocket-Version", take_version},
    {"Sec-WebSocket-Protocol", take_protocols},
    {"Accept-Encoding", take_accept_encoding},
    {"If-None-Match", take_if_none_match},
    {"X-Forwarded-For", take_forwarded},
    {"Content-Length", take_content_length},
    {"Transfer-Encoding", take_transfer_encoding},
};

enum { KNOWN_FIELDS = sizeof known_fields / sizeof known_fields[0] };

/* RFC 9112 §5.1: no space before the colon. §5.2: no line that continues the one before. */
static int read_field(struct parser *p)
{
    if (is_blank(*p->at))
        return refuse(p, 400, "a header line must not begin with white space");
    struct http_text name = take_run(p, is_token_byte);
    if (p->at == p->end)
        return MORE;
    if (name.len == 0 || *p->at != ':')
        return refuse(p, 400, "a header line must be a name, a colon right behind it, a value");
    p->at++;

    struct http_text value = text_trim(take_run(p, is_value_byte));
    int verdict = take_line_end(p);
    for (size_t i = 0; verdict == GO_ON && i < KNOWN_FIELDS; i++)
        if (text_like(name, text_of(known_fields[i].name)))
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

/* ---- Parsing: the head as a whole ------------------------------------------------------------ */

/* RFC 9112 §3.2, §3.2.2. */
static int check_host(struct parser *p)
{
    if (p->rq->host.at == NULL && !p->http10)
        return refuse(p, 400, "Host is missing");
    if (p->authority.at != NULL)
        p->rq->host = p->authority;
    return GO_ON;
}

/* RFC 9110 §12.5.3: "*" is about what was not named; without any word, no coding is best. */
static int check_codings(struct parser *p)
{
    const struct codings *codings = &p->codings;
    int gzip = codings->gzip != WEIGHT_NONE ? codings->gzip : codings->any;
    p->rq->gzip = gzip > 0 && gzip >= codings->identity;
    return GO_ON;
}

/* Base64 of 16 bytes is 22 digits and two of padding. The four bits that the last digit has to
 * spare decode to nothing, so they are not looked at. */
static bool is_key(struct http_text key)
{
    enum { DIGITS = 22 };
    size_t n = 0;
    while (n < key.len && (is_alnum(key.at[n]) || is_one_of(key.at[n], "+/")))
        n++;
    return n == DIGITS && text_is(text_skip(key, n), "==");
}

/* RFC 6455 §4.2.1; the version before the key, since another version may have other keys. */
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
    if (!text_is(p->version, "13"))
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

/* ---- Rooms ----------------------------------------------------------------------------------- */

/* Takes a byte, or a % and the two hex digits of one (RFC 3986 §2.1). Returns -1 without them. */
static int decode_byte(struct http_text *text)
{
    struct http_text from = *text;
    bool escaped = from.at[0] == '%';
    *text = text_skip(from, escaped ? 3 : 1);
    if (!escaped)
        return (unsigned char)from.at[0];
    if (from.len < 3 || hex_value(from.at[1]) < 0 || hex_value(from.at[2]) < 0)
        return -1;
    return 16 * hex_value(from.at[1]) + hex_value(from.at[2]);
}

/* Decodes one segment of a path. Returns NULL and *len, or what is wrong with it. */
static const char *decode_segment(struct http_text segment, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    while (segment.len > 0) {
        if (segment.at[0] == '/')
            return "a name must not hold a / (write %2F)";
        int byte = decode_byte(&segment);
        if (byte < 0)
            return "a % in a name must have two hex digits behind it";
        if (n + 1 >= cap)
            return "a name must not be longer than 32 characters";
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    *len = n;
    return NULL;
}

int http_room(const struct http_request *rq, char *room, size_t cap, const char **why)
{
    struct http_text folder = text_of("/rooms/");
    room[0] = '\0';
    if (!text_is(text_first(rq->path, folder.len), folder.at))
        return 0;

    size_t len = 0;
    *why = decode_segment(text_skip(rq->path, folder.len), room, cap, &len);
    if (*why == NULL)
        *why = name_check(room, len);
    return *why == NULL ? 0 : -1;
}

/* ---- Responses ------------------------------------------------------------------------------- */

enum {
    WHY_MAX = 1024,      /* bytes of a refusal's reason; a longer one is cut */
    LOCATION_MAX = 2048, /* bytes of host and path to redirect to; for more there is only a text */
};

/* `after_close` goes on where "Connection: close" ends: fields that a status must come with. */
struct status {
    int code;
    const char *reason, *after_close;
};

static const struct status statuses[] = {
    {200, "OK", ""},
    {304, "Not Modified", ""},
    {307, "Temporary Redirect", ""},
    {400, "Bad Request", ""},
    {403, "Forbidden", ""},
    {404, "Not Found", ""},
    {405, "Method Not Allowed", "\r\nAllow: GET, HEAD"}, /* RFC 9110 §15.5.6 */
    {408, "Request Timeout", ""},
    {414, "URI Too Long", ""},
    {421, "Misdirected Request", ""},
    {426, "Upgrade Required", /* RFC 9110 §15.5.22, RFC 6455 §4.4 */
     ", Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"},
    {429, "Too Many Requests", ""},
    {431, "Request Header Fields Too Large", ""},
    {500, "Internal Server Error", ""},
    {503, "Service Unavailable", ""},
    {505, "HTTP Version Not Supported", ""},
    {0, "Error", ""}, /* any other */
};

/* What every answer tells a browser: take nothing for what it is not said to be, show it in no frame,
 * say nowhere where one came from, share it with no other site, and give it no device. */
#define SECURITY                                                                                   \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: camera=(), display-capture=(), geolocation=(), microphone=(), "           \
    "midi=(), payment=(), usb=()\r\n"

static const struct status *find_status(int code)
{
    const struct status *status = statuses;
    while (status->code != 0 && status->code != code)
        status++;
    return status;
}

/* What snprintf wrote; nothing at all when it did not fit. */
static size_t written(int n)
{
    return n < 0 || n >= HTTP_RESPONSE_MAX ? 0 : (size_t)n;
}

/* RFC 6455 §4.2.2, 5. */
size_t http_write_switch(char *out, const char *accept, const char *protocol)
{
    return written(snprintf(out, HTTP_RESPONSE_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n"
                            "%s%s%s"
                            "\r\n",
                            accept, protocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                            protocol != NULL ? protocol : "", protocol != NULL ? "\r\n" : ""));
}

/* RFC 9110 §8.6: 304 says nothing of the length, for it has no body. */
size_t http_write_head(char *out, const struct http_head *head)
{
    const struct status *status = find_status(head->status);
    char length[64] = "";
    if (head->status != 304)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", head->length);
    return written(snprintf(out, HTTP_RESPONSE_MAX,
                            "HTTP/1.1 %d %s\r\n"
                            "Connection: close%s\r\n"
                            "%s"
                            "%s"
                            "Content-Security-Policy: default-src 'none'; base-uri 'none'; "
                            "form-action 'none'; frame-ancestors 'none'%s\r\n" SECURITY "\r\n",
                            head->status, status->reason, status->after_close, head->fields, length,
                            head->policy));
}

/* A head of `fields` and the text of a person's length behind it. */
static size_t write_text(char *out, int status, const char *fields, const char *text,
                         bool head_only)
{
    const struct http_head head = {status, fields, "", strlen(text)};
    size_t len = http_write_head(out, &head);
    if (head_only || len == 0)
        return len;
    return written(snprintf(out + len, HTTP_RESPONSE_MAX - len, "%s", text) + (int)len);
}

#define TEXT_FIELDS "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"

size_t http_write_refusal(char *out, int status, const char *why, bool head_only)
{
    char body[WHY_MAX + 64];
    snprintf(body, sizeof body, "%d %s: %.*s\n", status, find_status(status)->reason, WHY_MAX, why);
    return write_text(out, status, TEXT_FIELDS, body, head_only);
}

/* Not 308: a browser would go on to use TLS when the owner has long switched it off. The query is left
 * behind, nothing here reads one. */
size_t http_write_to_tls(char *out, const struct http_request *rq)
{
    static const char why[] =
        "307 Temporary Redirect: this port speaks TLS, use https:// or wss://\n";
    char fields[LOCATION_MAX + 128];
    if (rq->upgrade || http_host(rq).len == 0 || rq->host.len + rq->path.len > LOCATION_MAX)
        return http_write_refusal(out, 400, "this port speaks TLS: use https:// or wss://",
                                  rq->head_only);
    snprintf(fields, sizeof fields, "Location: https://%.*s%.*s\r\n" TEXT_FIELDS, (int)rq->host.len,
             rq->host.at, (int)rq->path.len, rq->path.at);
    return write_text(out, 307, fields, why, rq->head_only);
}
