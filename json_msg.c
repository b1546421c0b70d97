/* SPDX-License-Identifier: MIT
 *
 * json_msg.c - the messages of the protocol to and from JSON.
 *
 * Three chapters:
 *   Reading   a strict recursive-descent scanner (RFC 8259 §2 to §8), stricter where the RFC lets
 *             parsers differ: no equal keys in one object and no half surrogate pairs (both as
 *             RFC 7493 §2.1, §2.3), only UTF-8 (RFC 3629 §4), no byte order mark. It builds no
 *             tree and allocates nothing.
 *   Relaying  puts what a client said together again out of the bytes it came in.
 *   Saying    the server's own messages, printed by cJSON.
 *
 * Which fields a message needs, and what they mean, is left to who calls. All memory comes from
 * cJSON_malloc, which is malloc unless a test hooks it to make it fail. No I/O, no locks, no state:
 * any thread.
 */
#include "json_msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

/* A place in a text that is being read. Reading stops for good at the first complaint. */
struct scan {
    const char *at, *end;
    const char *why; /* the complaint, NULL while there is none; it is about `at` */

    /* The rest serves json_parse alone. The keys of all objects open here lie on one stack, those
     * of an object above those of the object around it. */
    struct json_object *object;
    size_t depth;   /* arrays and objects open here */
    uint64_t *keys; /* the stack: room for KEYS_ROOM */
    size_t open;    /* keys on it, */
    size_t nested;  /* of which those below the top level begin here */
};

/* What next_char returns instead of a character. */
enum { CHAR_END = -1, CHAR_BAD = -2 };

enum { KEYS_ROOM = JSON_FIELDS_MAX + JSON_RELAY_FIELDS + JSON_OPEN_KEYS_MAX };

_Static_assert(JSON_DEPTH_MAX == 32 && JSON_FIELDS_MAX == 64 && JSON_OPEN_KEYS_MAX == 256,
               "the complaints name these numbers");

/* ---- Reading: bytes -------------------------------------------------------------------------- */

static bool fail(struct scan *s, const char *why)
{
    s->why = s->at == s->end ? "the text ends too early" : why;
    return false;
}

static int32_t bad_char(struct scan *s, const char *why)
{
    fail(s, why);
    return CHAR_BAD;
}

/* The next byte, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->at < s->end ? (unsigned char)*s->at : -1;
}

static bool take(struct scan *s, char expected)
{
    if (s->at == s->end || *s->at != expected)
        return false;
    s->at++;
    return true;
}

/* RFC 8259 §2: these four and no others. */
static void skip_space(struct scan *s)
{
    while (take(s, ' ') || take(s, '\t') || take(s, '\n') || take(s, '\r'))
        ;
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static int hex_value(int byte)
{
    if (is_digit(byte))
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* ---- Reading: characters and keys ------------------------------------------------------------ */

static bool is_surrogate(int32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

/* Reads a character of two bytes or more (RFC 3629 §4): in its shortest form, no surrogate, none
 * above U+10FFFF. */
static int32_t utf8_char(struct scan *s)
{
    static const char why[] = "this is not valid UTF-8";
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    int lead = peek(s);
    int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;

    if (lead < 0xC2 || lead > 0xF4 || s->end - s->at <= more)
        return bad_char(s, why);
    int32_t c = lead & (0x3F >> more);
    for (int i = 1; i <= more; i++) {
        int byte = (unsigned char)s->at[i];
        if ((byte & 0xC0) != 0x80)
            return bad_char(s, why);
        c = c << 6 | (byte & 0x3F);
    }
    if (c < least[more] || c > 0x10FFFF || is_surrogate(c))
        return bad_char(s, why);
    s->at += 1 + more;
    return c;
}

static size_t utf8_write(char out[4], int32_t c)
{
    static const int lead[] = {0, 0xC0, 0xE0, 0xF0};
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return 1 + more;
}

/* Reads the four digits of a \u escape. */
static int32_t hex_unit(struct scan *s)
{
    int32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_value(peek(s));
        if (digit < 0)
            return bad_char(s, "a \\u takes four hex digits");
        unit = unit * 16 + digit;
        s->at++;
    }
    return unit;
}

/* Reads what follows a \u: one UTF-16 unit, or the two escapes of a pair (RFC 8259 §7). Half a pair
 * means no character, and every decoder makes something else of it (§8.2). */
static int32_t unicode_escape(struct scan *s)
{
    static const char why[] = "half a surrogate pair stands before this";
    int32_t high = hex_unit(s);

    if (!is_surrogate(high))
        return high;
    if (high >= 0xDC00 || !take(s, '\\') || !take(s, 'u'))
        return bad_char(s, why);
    int32_t low = hex_unit(s);
    if (low == CHAR_BAD)
        return CHAR_BAD;
    if (!is_surrogate(low) || low < 0xDC00)
        return bad_char(s, why);
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static int32_t escaped_char(struct scan *s)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    int letter = peek(s);

    if (take(s, 'u'))
        return unicode_escape(s);
    const char *found = letter > 0 ? strchr(letters, letter) : NULL;
    if (!found)
        return bad_char(s, "JSON has no such escape");
    s->at++;
    return meant[found - letters];
}

/* Reads the next character of a string, raw or escaped. CHAR_END: it was the closing quote.
 * CHAR_BAD: s->why says what is wrong (RFC 8259 §7, §8.1). */
static int32_t next_char(struct scan *s)
{
    int byte = peek(s);

    if (byte < 0x20)
        return bad_char(s, "a control character must be escaped");
    if (byte >= 0x80)
        return utf8_char(s);
    s->at++;
    if (byte == '"')
        return CHAR_END;
    return byte == '\\' ? escaped_char(s) : byte;
}

/* FNV-1a with 64 bits. */
static const uint64_t key_start = 0xcbf29ce484222325;

static uint64_t key_add(uint64_t key, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        key = (key ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return key;
}

uint64_t json_key(const char *name)
{
    return key_add(key_start, name, strlen(name));
}

/* ---- Reading: values (RFC 8259 §3) ----------------------------------------------------------- */

/* Checks the string at whose opening quote `s` stands. */
static bool scan_string(struct scan *s)
{
    int32_t c;

    s->at++;
    while ((c = next_char(s)) >= 0)
        ;
    return c == CHAR_END;
}

/* The same, for the name of a field: tells its key. */
static bool scan_key(struct scan *s, uint64_t *key)
{
    char bytes[4];
    int32_t c;

    *key = key_start;
    s->at++;
    while ((c = next_char(s)) >= 0)
        *key = key_add(*key, bytes, utf8_write(bytes, c));
    return c == CHAR_END;
}

static bool scan_digits(struct scan *s)
{
    if (!is_digit(peek(s)))
        return fail(s, "a digit is missing");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

/* RFC 8259 §6. Its size is nobody's business here: it travels as it was written. */
static bool scan_number(struct scan *s)
{
    take(s, '-');
    if (take(s, '0')) {
        if (is_digit(peek(s)))
            return fail(s, "a number has no leading zeros");
    } else if (!scan_digits(s)) {
        return false;
    }
    if (take(s, '.') && !scan_digits(s))
        return false;
    if (!take(s, 'e') && !take(s, 'E'))
        return true;
    if (!take(s, '+'))
        take(s, '-');
    return scan_digits(s);
}

static bool scan_word(struct scan *s, const char *word)
{
    for (; *word; word++)
        if (!take(s, *word))
            return fail(s, "this is no JSON value");
    return true;
}

static bool scan_nested(struct scan *s);

static bool scan_value(struct scan *s)
{
    switch (peek(s)) {
    case '{':
    case '[':
        return scan_nested(s);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (peek(s) != '-' && !is_digit(peek(s)))
            return fail(s, "this is no JSON value");
        return scan_number(s);
    }
}

/* RFC 8259 §5. */
static bool scan_array(struct scan *s)
{
    s->at++;
    skip_space(s);
    if (take(s, ']'))
        return true;
    do {
        skip_space(s);
        if (!scan_value(s))
            return false;
        skip_space(s);
    } while (take(s, ','));
    return take(s, ']') || fail(s, "a comma or ] is missing");
}

/* What json_relay puts into a message or, first of all, moves to another place in it. */
static const char *const relay_names[] = {"text", "msgType", "SrcUser", "TgtUser",
                                          "Id",   "Time",    "History"};

_Static_assert(sizeof relay_names / sizeof *relay_names == JSON_RELAY_FIELDS,
               "the header says how many there are");

static bool is_relay_name(uint64_t key)
{
    for (size_t i = 0; i < JSON_RELAY_FIELDS; i++)
        if (key == json_key(relay_names[i]))
            return true;
    return false;
}

/* How many fields a message may have whose names so far are these, and `key`. */
static size_t fields_max(const struct scan *s, uint64_t key)
{
    size_t max = JSON_FIELDS_MAX + is_relay_name(key);

    for (size_t i = 0; i < s->object->count; i++)
        max += is_relay_name(s->object->fields[i].key);
    return max;
}

/* Notes a key of the innermost object, whose keys begin at `first`. With two equal keys each reader
 * picks another one (RFC 8259 §4), and what one checks is not what the other sees. */
static bool open_key(struct scan *s, size_t first, uint64_t key)
{
    for (size_t i = first; i < s->open; i++)
        if (s->keys[i] == key)
            return fail(s, "this name is there twice");
    bool many = s->depth == 1 && s->object->count >= JSON_FIELDS_MAX;
    if (many && s->object->count >= fields_max(s, key))
        return fail(s, "a message has 64 fields at most");
    if (s->depth > 1 && s->open - s->nested == JSON_OPEN_KEYS_MAX)
        return fail(s, "nested objects have 256 names at most");
    s->keys[s->open++] = key;
    return true;
}

static bool scan_name(struct scan *s, size_t first, struct json_field *field)
{
    field->name = s->at;
    if (peek(s) != '"')
        return fail(s, "a name in quotes is missing");
    if (!scan_key(s, &field->key))
        return false;
    field->name_len = (size_t)(s->at - field->name);
    if (open_key(s, first, field->key))
        return true;
    s->at = field->name; /* it is the name that is complained about */
    return false;
}

/* One name and its value; of the outermost object, it is recorded. */
static bool scan_field(struct scan *s, size_t first)
{
    struct json_field field;

    if (!scan_name(s, first, &field))
        return false;
    skip_space(s);
    if (!take(s, ':'))
        return fail(s, "a colon is missing");
    skip_space(s);
    field.value = s->at;
    if (!scan_value(s))
        return false;
    field.value_len = (size_t)(s->at - field.value);
    if (s->depth == 1)
        s->object->fields[s->object->count++] = field;
    return true;
}

/* RFC 8259 §4. */
static bool scan_object(struct scan *s)
{
    size_t first = s->open;

    s->at++;
    skip_space(s);
    if (take(s, '}'))
        return true;
    do {
        skip_space(s);
        if (!scan_field(s, first))
            return false;
        skip_space(s);
    } while (take(s, ','));
    s->open = first;
    return take(s, '}') || fail(s, "a comma or } is missing");
}

/* Each level is a recursion, so JSON_DEPTH_MAX bounds the thread's stack too (RFC 8259 §9). */
static bool scan_nested(struct scan *s)
{
    if (s->depth == JSON_DEPTH_MAX)
        return fail(s, "arrays and objects nest 32 deep at most");
    if (s->depth++ == 1)
        s->nested = s->open;
    bool ok = peek(s) == '{' ? scan_object(s) : scan_array(s);
    s->depth--;
    return ok;
}

static bool scan_message(struct scan *s)
{
    skip_space(s);
    if (peek(s) != '{') {
        s->why = "a message is one JSON object";
        return false;
    }
    if (!scan_nested(s))
        return false;
    skip_space(s);
    return s->at == s->end || fail(s, "nothing may follow the object");
}

int json_parse(struct json_object *object, const char *text, size_t len, struct json_error *error)
{
    uint64_t keys[KEYS_ROOM];
    struct scan s = {.at = text, .end = text + len, .object = object, .keys = keys};

    object->count = 0;
    if (scan_message(&s))
        return 0;
    error->offset = (size_t)(s.at - text);
    error->why = s.why;
    return -1;
}

/* ---- Reading: fields ------------------------------------------------------------------------- */

const struct json_field *json_find(const struct json_object *object, const char *name)
{
    uint64_t key = json_key(name);

    for (size_t i = 0; i < object->count; i++)
        if (object->fields[i].key == key)
            return &object->fields[i];
    return NULL;
}

bool json_is_string(const struct json_field *field)
{
    return field && field->value[0] == '"';
}

const char *json_kind(const struct json_field *field)
{
    switch (field->value[0]) {
    case '"':
        return "a string";
    case '{':
        return "an object";
    case '[':
        return "an array";
    case 't':
    case 'f':
        return "true or false";
    case 'n':
        return "null";
    default:
        return "a number";
    }
}

long json_string(const struct json_field *field, char *out, size_t cap)
{
    struct scan s = {.at = field->value, .end = field->value + field->value_len};
    size_t len = 0;
    int32_t c;

    if (!take(&s, '"'))
        return -1;
    while ((c = next_char(&s)) > 0) {
        char bytes[4];
        size_t n = utf8_write(bytes, c);
        if (n >= cap - len)
            return -1;
        memcpy(out + len, bytes, n);
        len += n;
    }
    if (c != CHAR_END || cap == 0)
        return -1;
    out[len] = '\0';
    return (long)len;
}

char *json_text(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);
    char *text = field ? cJSON_malloc(field->value_len) : NULL; /* decoded it is shorter */

    if (text && json_string(field, text, field->value_len) >= 0)
        return text;
    cJSON_free(text);
    return NULL;
}

uint64_t json_count(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);
    uint64_t number = 0;

    return field && json_number(field, &number) == 0 ? number : 0;
}

bool json_true(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);

    return field && field->value[0] == 't';
}

bool json_is(const struct json_object *object, const char *name, const char *text)
{
    char *value = json_text(object, name);
    bool same = value && strcmp(value, text) == 0;

    cJSON_free(value);
    return same;
}

/* The array was parsed before, so it can be read without a complaint. */
bool json_element(const struct json_field *array, size_t *at, struct json_field *element)
{
    uint64_t keys[KEYS_ROOM];
    struct json_object ignored = {.count = 0};
    struct scan s = {.at = array->value + *at,
                     .end = array->value + array->value_len,
                     .object = &ignored,
                     .depth = 1,
                     .keys = keys};

    if (array->value[0] != '[' || !(take(&s, '[') || take(&s, ',')))
        return false;
    skip_space(&s);
    *element = (struct json_field){.value = s.at};
    if (!scan_value(&s))
        return false; /* the array is empty */
    element->value_len = (size_t)(s.at - element->value);
    skip_space(&s);
    *at = (size_t)(s.at - array->value);
    return true;
}

int json_number(const struct json_field *field, uint64_t *out)
{
    const uint64_t most = UINT64_C(1) << 53;
    uint64_t number = 0;

    for (size_t i = 0; i < field->value_len; i++) {
        if (!is_digit(field->value[i]))
            return -1;
        number = number * 10 + (uint64_t)(field->value[i] - '0');
        if (number > most)
            return -1;
    }
    *out = number;
    return 0;
}

/* ---- Relaying -------------------------------------------------------------------------------- */

/* A text that is put together twice by the same function: once with `out` NULL to learn its length,
 * once to write it. So the two cannot disagree. */
struct sink {
    char *out;
    size_t len;
};

static void put(struct sink *sink, const char *bytes, size_t len)
{
    if (sink->out)
        memcpy(sink->out + sink->len, bytes, len);
    sink->len += len;
}

static void put_text(struct sink *sink, const char *text)
{
    put(sink, text, strlen(text));
}

/* Makes room for the text that was measured and `spare` bytes more, and starts it anew. */
static bool sink_open(struct sink *sink, size_t spare)
{
    sink->out = cJSON_malloc(sink->len + spare + 1);
    if (!sink->out)
        return false;
    sink->out[sink->len] = '\0';
    sink->len = 0;
    return true;
}

/* A message on its way from one client to others. */
struct relay {
    bool private;
    const char *src;
    const struct json_field *fields[JSON_FIELDS_MAX + 1]; /* `text` and the others that travel */
    size_t count;
};

/* Picks the fields that travel: `text` first, the others as the client ordered them. */
static void relay_pick(struct relay *relay, const struct json_object *in)
{
    const struct json_field *text = json_find(in, "text");

    if (text)
        relay->fields[relay->count++] = text;
    for (size_t i = 0; i < in->count; i++)
        if (!is_relay_name(in->fields[i].key))
            relay->fields[relay->count++] = &in->fields[i];
}

static void relay_write(const struct relay *relay, struct sink *sink)
{
    put_text(sink, relay->private ? "{\"msgType\":\"PrivateMessage\",\"SrcUser\":"
                                  : "{\"msgType\":\"Broadcast\",\"SrcUser\":");
    put_text(sink, relay->src);
    if (!relay->private)
        put_text(sink, ",\"TgtUser\":\"\"");
    for (size_t i = 0; i < relay->count; i++) {
        put_text(sink, ",");
        put(sink, relay->fields[i]->name, relay->fields[i]->name_len);
        put_text(sink, ":");
        put(sink, relay->fields[i]->value, relay->fields[i]->value_len);
    }
}

char *json_relay(const struct json_object *in, bool private, const char *src, size_t *len)
{
    struct relay relay = {.private = private, .src = src};
    struct sink sink = {0};

    relay_pick(&relay, in);
    relay_write(&relay, &sink);
    if (!sink_open(&sink, JSON_STAMP_MAX))
        return NULL;
    relay_write(&relay, &sink);
    *len = sink.len;
    return sink.out;
}

size_t json_stamp(char *out, uint64_t id, int64_t ms)
{
    int len =
        id ? snprintf(out, JSON_STAMP_MAX, ",\"Id\":%" PRIu64 ",\"Time\":%" PRId64 "}", id, ms)
           : snprintf(out, JSON_STAMP_MAX, ",\"Time\":%" PRId64 "}", ms);

    return (size_t)len;
}

static void online_users_write(const char *const *quoted, size_t count, struct sink *sink)
{
    put_text(sink, "{\"msgType\":\"OnlineUsers\",\"Users\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put_text(sink, ",");
        put_text(sink, quoted[i]);
    }
    put_text(sink, "]}");
}

char *json_online_users(const char *const *quoted, size_t count, size_t *len)
{
    struct sink sink = {0};

    online_users_write(quoted, count, &sink);
    if (!sink_open(&sink, 0))
        return NULL;
    online_users_write(quoted, count, &sink);
    *len = sink.len;
    return sink.out;
}

/* ---- Saying ---------------------------------------------------------------------------------- */

/* Prints `item` if it became whole (`ok`), and frees it in any case. The add functions of cJSON take
 * a NULL object and return NULL, so a message is one chain of && that ends here. */
static char *finish(cJSON *item, bool ok, size_t *len)
{
    char *text = ok ? cJSON_PrintUnformatted(item) : NULL;

    cJSON_Delete(item);
    if (text)
        *len = strlen(text);
    return text;
}

static cJSON *new_message(const char *type)
{
    cJSON *message = cJSON_CreateObject();

    if (cJSON_AddStringToObject(message, "msgType", type))
        return message;
    cJSON_Delete(message);
    return NULL;
}

/* cJSON holds numbers as doubles and prints long ones with an exponent. */
static bool add_integer(cJSON *message, const char *name, uint64_t number)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%" PRIu64, number);
    return cJSON_AddRawToObject(message, name, digits);
}

/* Adds a field of what a client said as it was written, if it is there. */
static bool add_echo(cJSON *message, const struct json_object *about, const char *name)
{
    const struct json_field *field = about ? json_find(about, name) : NULL;

    if (!field)
        return true;
    struct sink copy = {.len = field->value_len};
    if (!sink_open(&copy, 0))
        return false;
    put(&copy, field->value, field->value_len);
    bool ok = cJSON_AddRawToObject(message, name, copy.out);
    cJSON_free(copy.out);
    return ok;
}

char *json_quote(const char *text)
{
    cJSON *string = cJSON_CreateString(text);
    size_t len;

    return finish(string, string != NULL, &len);
}

char *json_server_name(const char *server_name, size_t *len)
{
    cJSON *message = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(message, "ServerName", server_name);

    return finish(message, ok, len);
}

char *json_hello(const char *server_name, bool password_required, const char *nonce, size_t *len)
{
    cJSON *message = new_message("Hello");
    bool ok = cJSON_AddStringToObject(message, "ServerName", server_name) &&
              cJSON_AddBoolToObject(message, "PasswordRequired", password_required) &&
              cJSON_AddStringToObject(message, "Nonce", nonce) &&
              add_integer(message, "Version", 2);

    return finish(message, ok, len);
}

char *json_joined(const struct json_joined *joined, size_t *len)
{
    cJSON *message = new_message("Joined");
    bool ok = cJSON_AddStringToObject(message, "ServerName", joined->server_name) &&
              cJSON_AddStringToObject(message, "Room", joined->room) &&
              cJSON_AddStringToObject(message, "Name", joined->name) &&
              cJSON_AddStringToObject(message, "Epoch", joined->epoch) &&
              add_integer(message, "LastId", joined->last_id) &&
              cJSON_AddBoolToObject(message, "Resumed", joined->resumed) &&
              add_integer(message, "MaxMessageBytes", joined->max_message_bytes);

    return finish(message, ok, len);
}

char *json_error(const char *code, const char *text, const struct json_object *about, size_t *len)
{
    cJSON *message = new_message("Error");
    bool ok = cJSON_AddStringToObject(message, "Code", code) &&
              cJSON_AddStringToObject(message, "text", text) && add_echo(message, about, "Ref") &&
              add_echo(message, about, "TgtUser");

    return finish(message, ok, len);
}

char *json_delivered(const struct json_object *about, size_t *len)
{
    cJSON *message = new_message("Delivered");
    bool ok = add_echo(message, about, "TgtUser") && add_echo(message, about, "Ref");

    return finish(message, ok, len);
}

char *json_user_keys(const char *user, const struct json_keys *keys,
                     const struct json_object *about, size_t *len)
{
    cJSON *message = new_message("UserKeys");
    bool ok = cJSON_AddStringToObject(message, "User", user) && add_echo(message, about, "Ref");

    if (keys)
        ok = ok && cJSON_AddStringToObject(message, "IdentityKey", keys->identity) &&
             cJSON_AddStringToObject(message, "SessionKey", keys->session) &&
             cJSON_AddStringToObject(message, "KeySignature", keys->signature);
    return finish(message, ok, len);
}

char *json_qr_code(int size, const char *path, const struct json_object *about, size_t *len)
{
    cJSON *message = new_message("QrCode");
    bool ok = add_echo(message, about, "Ref") && add_integer(message, "Size", (uint64_t)size) &&
              cJSON_AddStringToObject(message, "Path", path);

    return finish(message, ok, len);
}
