/* SPDX-License-Identifier: MIT
 *
 * json.c - reads JSON. Any thread, no locks.
 *
 * A strict recursive-descent scanner (RFC 8259 §2 to §8), stricter where the RFC lets parsers
 * differ: no equal keys in one object and no half surrogate pairs (both as RFC 7493 §2.1, §2.3),
 * only UTF-8 (RFC 3629 §4), no byte order mark. It builds no tree, and allocates nothing.
 */
#include "lib/json/json.h"

#include <endian.h>
#include <string.h>

#include "lib/ascii.h"
#include "lib/hex.h"

/* Position in a text. Reading stops at the first complaint. */
struct scan {
    const char *at, *end;
    const char *why; /* the complaint, NULL while there is none; it is about `at` */
    bool wide;       /* whether a character of more than one byte was read */

    /* The rest is used by json_parse only. The keys of all open objects lie on one stack, those of
     * an object above those of the object around it. */
    struct json_object *object;
    const struct json_rules *rules;
    size_t depth;   /* arrays and objects open here */
    uint64_t *keys; /* the stack: has room for KEYS_ROOM */
    size_t open;    /* keys on the stack */
    size_t nested;  /* index of the first key below the top level */
};

/* Returned by next_char in place of a character. */
enum { CHAR_END = -1, CHAR_BAD = -2 };

enum { KEYS_ROOM = JSON_FIELDS_MAX + JSON_EXTRA_MAX + JSON_PAGE_KEYS_MAX };

_Static_assert(JSON_DEPTH_MAX == 32 && JSON_FIELDS_MAX == 64 && JSON_OPEN_KEYS_MAX == 256,
               "the complaints name these numbers");

/* ---- Bytes -------------------------------------------------------------------------- */

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

static bool at_digit(const struct scan *s)
{
    return s->at < s->end && ascii_is_digit(*s->at);
}

static bool take(struct scan *s, char expected)
{
    if (s->at == s->end || *s->at != expected)
        return false;
    s->at++;
    return true;
}

/* RFC 8259 §2: only these four. */
static bool is_json_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && *s->at <= ' ' && is_json_space(*s->at))
        s->at++;
}

/* ---- characters and keys ------------------------------------------------------------ */

static bool is_surrogate(int32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

/* Reads a character of two bytes or more (RFC 3629 §4): in its shortest form, no surrogate, at most
 * U+10FFFF. */
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
    s->wide = true;
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
        int digit = s->at < s->end ? hex_value(*s->at) : -1;
        if (digit < 0)
            return bad_char(s, "a \\u takes four hex digits");
        unit = unit * 16 + digit;
        s->at++;
    }
    return unit;
}

/* Reads the rest of an escape after \u: one UTF-16 unit, or the two escapes of a pair (RFC 8259
 * §7). Half a pair means no character, and decoders disagree about it (§8.2). */
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
 * CHAR_BAD: s->why has the complaint (RFC 8259 §7, §8.1). */
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

/* Whether a byte stands for itself in a string: ASCII except control characters, " and \. */
static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* How many of the next bytes are plain. Looks at eight at a time: a subtraction sets the top bit of
 * a byte that is too low. It may borrow from the bytes above, but not from those below, so the
 * lowest top bit is right. */
static size_t plain_run(const struct scan *s)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    size_t len = (size_t)(s->end - s->at), run = 0;
    uint64_t word;

    for (; len - run >= sizeof(word); run += sizeof(word)) {
        memcpy(&word, s->at + run, sizeof(word));
        word = le64toh(word); /* the first byte is the lowest */
        uint64_t low =
            (word - each * 0x20) | ((word ^ each * '"') - each) | ((word ^ each * '\\') - each);
        uint64_t special = (low | word) & each * 0x80;
        if (special)
            return run + (size_t)__builtin_ctzll(special) / 8;
    }
    while (run < len && is_plain((unsigned char)s->at[run]))
        run++;
    return run;
}

static uint64_t key_add(uint64_t key, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        key = json_key_add(key, bytes[i]);
    return key;
}

/* ---- values (RFC 8259 §3) ----------------------------------------------------------- */

/* Checks the string whose opening quote is at the position of `s`. */
static bool scan_string(struct scan *s)
{
    s->at++;
    for (;;) {
        s->at += plain_run(s);
        if (take(s, '"'))
            return true;
        if (next_char(s) < 0)
            return false;
    }
}

/* The same for the name of a field; also computes its key. */
static bool scan_key(struct scan *s, uint64_t *key)
{
    char bytes[4];
    int32_t c;

    *key = JSON_KEY_START;
    s->at++;
    for (;;) {
        size_t run = plain_run(s);
        *key = key_add(*key, s->at, run);
        s->at += run;
        c = next_char(s);
        if (c < 0)
            return c == CHAR_END;
        *key = key_add(*key, bytes, utf8_write(bytes, c));
    }
}

static bool scan_digits(struct scan *s)
{
    if (!at_digit(s))
        return fail(s, "a digit is missing");
    while (at_digit(s))
        s->at++;
    return true;
}

/* RFC 8259 §6. The magnitude is not checked, because a number is relayed as it was written. */
static bool scan_number(struct scan *s)
{
    take(s, '-');
    if (take(s, '0')) {
        if (at_digit(s))
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
        if (peek(s) != '-' && !at_digit(s))
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

/* How many fields the object may have, given the names so far and `key`. */
static size_t fields_max(const struct scan *s, uint64_t key)
{
    size_t max = JSON_FIELDS_MAX + s->rules->is_extra(key);

    for (size_t i = 0; i < s->object->count; i++)
        max += s->object->fields[i].extra;
    return max < JSON_FIELDS_MAX + JSON_EXTRA_MAX ? max : JSON_FIELDS_MAX + JSON_EXTRA_MAX;
}

/* Pushes a key of the innermost object, whose keys begin at `first`. Refuses equal keys, because
 * readers disagree about which one counts (RFC 8259 §4): one could check a value that the other
 * does not see. */
static bool open_key(struct scan *s, size_t first, uint64_t key)
{
    for (size_t i = first; i < s->open; i++)
        if (s->keys[i] == key)
            return fail(s, "this name is there twice");
    bool many = s->depth == 1 && s->object->count >= JSON_FIELDS_MAX;
    if (many && s->object->count >= fields_max(s, key))
        return fail(s, "the object has 64 names at most");
    size_t nested_max = s->rules->is_page ? JSON_PAGE_KEYS_MAX : JSON_OPEN_KEYS_MAX;
    if (s->depth > 1 && s->open - s->nested == nested_max)
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
    s->at = field->name; /* report the position of the name */
    return false;
}

/* Reads one name and its value. A field of the outermost object is recorded. */
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
    if (s->depth > 1)
        return true;
    field.extra = s->rules->is_extra(field.key);
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

/* Each level is a recursion, so this also bounds the thread's stack (RFC 8259 §9). */
static bool scan_nested(struct scan *s)
{
    if (s->depth == (size_t)(s->rules->is_page ? JSON_PAGE_DEPTH_MAX : JSON_DEPTH_MAX))
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

int json_parse(struct json_object *object, const char *text, size_t len,
               const struct json_rules *rules, struct json_error *error)
{
    uint64_t keys[KEYS_ROOM];
    struct scan s = {.at = text, .end = text + len, .object = object, .keys = keys, .rules = rules};

    object->count = 0;
    bool good = scan_message(&s);
    object->ascii = !s.wide;
    if (good)
        return 0;
    error->offset = (size_t)(s.at - text);
    error->why = s.why;
    return -1;
}

/* ---- values again ------------------------------------------------------------------- */

long json_string(const struct json_field *field, char *out, size_t cap)
{
    struct scan s = {.at = field->value, .end = field->value + field->value_len};
    size_t len = 0;

    if (!take(&s, '"'))
        return -1;
    for (;;) {
        char bytes[4];
        size_t run = plain_run(&s);
        if (run >= cap - len)
            return -1;
        memcpy(out + len, s.at, run);
        len += run;
        s.at += run;
        int32_t c = next_char(&s);
        if (c == CHAR_END)
            break;
        size_t n = c > 0 ? utf8_write(bytes, c) : cap;
        if (n >= cap - len)
            return -1;
        memcpy(out + len, bytes, n);
        len += n;
    }
    out[len] = '\0';
    return (long)len;
}

/* The array was parsed before, so reading it again cannot fail. It may be one of a page. */
bool json_element(const struct json_field *array, size_t *at, struct json_field *element)
{
    static const struct json_rules page = {.is_page = true};
    uint64_t keys[KEYS_ROOM];
    struct json_object ignored = {.count = 0};
    struct scan s = {.at = array->value + *at,
                     .end = array->value + array->value_len,
                     .object = &ignored,
                     .rules = &page,
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
