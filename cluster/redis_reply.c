/* SPDX-License-Identifier: MIT
 *
 * redis_reply.c - RESP by hiredis' reader, with our own values and bounds. Pure: no locks; one
 * thread at a time for each parser.
 *
 * The reader calls the functions of `makers` for each value. A value within an array lies in that
 * array's memory, so only the root and the bytes of strings are allocated one by one.
 */
#include "cluster/redis_reply.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/read.h>

enum {
    READ_BUFFER_MAX = 1 << 18, /* an empty buffer larger than this is freed */
    COUNT_LINE_MAX = 32,       /* "$" or "*" and a number */
};

/* ---- Values ---- */

static bool reply_fails(struct reply_budget *budget, const char *why)
{
    if (!budget->why)
        budget->why = why;
    return false;
}

/* The place of a new value: in its array, or, for the root, allocated. NULL when a bound is
 * exceeded or memory is out. */
static struct reply_value *place_value(const redisReadTask *task, enum reply_type type)
{
    struct reply_budget *budget = task->privdata;
    size_t depth = 0;
    for (const redisReadTask *above = task->parent; above; above = above->parent)
        depth++;
    if (depth > REPLY_DEPTH_MAX && !reply_fails(budget, "arrays within arrays are too deep"))
        return NULL;
    struct reply_value *value;
    if (task->parent) {
        struct reply_value *array = task->parent->obj;
        value = &array->items[task->idx];
    } else {
        value = calloc(1, sizeof(*value));
    }
    if (value)
        value->type = type;
    else
        reply_fails(budget, "out of memory");
    return value;
}

/* A value whose content could not be made. A root must be freed here, because the reader does not
 * know it yet. */
static void *discard_value(const redisReadTask *task, struct reply_value *value, const char *why)
{
    reply_fails(task->privdata, why);
    if (!task->parent)
        free(value);
    else
        value->type = REPLY_NIL;
    return NULL;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct reply_budget *budget = task->privdata;
    enum reply_type type = task->type == REDIS_REPLY_STATUS  ? REPLY_STATUS
                           : task->type == REDIS_REPLY_ERROR ? REPLY_ERROR
                                                             : REPLY_STRING;
    struct reply_value *value = place_value(task, type);
    if (!value)
        return NULL;
    if (len > budget->bytes)
        return discard_value(task, value, "the reply is too long");
    budget->bytes -= len;
    value->bytes = malloc(len + 1);
    if (!value->bytes)
        return discard_value(task, value, "out of memory");
    memcpy(value->bytes, bytes, len);
    value->bytes[len] = '\0';
    value->len = len;
    return value;
}

static void *make_counted(const redisReadTask *task, size_t count)
{
    struct reply_budget *budget = task->privdata;
    struct reply_value *value = place_value(task, REPLY_ARRAY);
    if (!value)
        return NULL;
    if (task->type != REDIS_REPLY_ARRAY)
        return discard_value(task, value, "a type of RESP3");
    if (count > budget->values)
        return discard_value(task, value, "the reply has too many values");
    budget->values -= count;
    if (count > 0) {
        value->items = calloc(count, sizeof(*value->items));
        if (!value->items)
            return discard_value(task, value, "out of memory");
        value->count = count;
    }
    return value;
}

static void *make_integer(const redisReadTask *task, long long number)
{
    struct reply_value *value = place_value(task, REPLY_INTEGER);
    if (value)
        value->number = number;
    return value;
}

static void *make_nil(const redisReadTask *task)
{
    return place_value(task, REPLY_NIL);
}

static void free_content(struct reply_value *value)
{
    for (size_t i = 0; i < value->count; i++)
        free_content(&value->items[i]);
    free(value->items);
    free(value->bytes);
}

static void free_root(void *root)
{
    free_content(root);
    free(root);
}

/* hiredis 1.0 and later counts in size_t, and knows the types of RESP3. */
#ifdef REDIS_REPLY_DOUBLE
static void *make_array(const redisReadTask *task, size_t count)
{
    return make_counted(task, count);
}

static void *refuse_double(const redisReadTask *task, double number, char *text, size_t len)
{
    (void)number, (void)text, (void)len;
    reply_fails(task->privdata, "a type of RESP3");
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)value;
    reply_fails(task->privdata, "a type of RESP3");
    return NULL;
}
#else
static void *make_array(const redisReadTask *task, int count)
{
    return make_counted(task, count > 0 ? (size_t)count : 0);
}
#endif

static redisReplyObjectFunctions makers = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
#ifdef REDIS_REPLY_DOUBLE
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = free_root,
};

/* ---- The parser ---- */

int reply_parser_init(struct reply_parser *parser, size_t bytes_max)
{
    memset(parser, 0, sizeof(*parser));
    parser->bytes_max = bytes_max;
    parser->budget = (struct reply_budget){.bytes = bytes_max, .values = REPLY_VALUES_MAX};
    parser->reader = redisReaderCreateWithFunctions(&makers);
    if (!parser->reader)
        return -1;
    parser->reader->maxbuf = READ_BUFFER_MAX;
    parser->reader->privdata = &parser->budget;
    return 0;
}

void reply_parser_fini(struct reply_parser *parser)
{
    if (parser->reader)
        redisReaderFree(parser->reader);
    parser->reader = NULL;
}

static int parser_fails(struct reply_parser *parser, const char *why)
{
    parser->why = why;
    return -1;
}

int reply_parser_feed(struct reply_parser *parser, const char *bytes, size_t len)
{
    redisReader *reader = parser->reader;
    if (len > parser->bytes_max || reader->len - reader->pos > parser->bytes_max - len)
        return parser_fails(parser, "the reply is too long");
    if (redisReaderFeed(reader, bytes, len) != REDIS_OK)
        return parser_fails(parser, "out of memory");
    return 0;
}

/* The type of the value that is being read; its first byte has been taken already. */
static int current_type(const redisReader *reader)
{
    if (reader->ridx < 0)
        return -1;
#ifdef REDIS_REPLY_DOUBLE
    return reader->task[reader->ridx]->type;
#else
    return reader->rstack[reader->ridx].type;
#endif
}

/* The reader looks for the end of a line again with each feed, so a line without one must not grow.
 */
static bool line_is_too_long(const redisReader *reader)
{
    size_t len = reader->len - reader->pos;
    int type = current_type(reader);
    if (type == REDIS_REPLY_STRING || type == REDIS_REPLY_ARRAY)
        return len > COUNT_LINE_MAX && !memchr(reader->buf + reader->pos, '\r', COUNT_LINE_MAX);
    return len > REPLY_LINE_MAX;
}

int reply_parser_next(struct reply_parser *parser, struct reply_value **value)
{
    void *reply = NULL;
    int result = redisReaderGetReply(parser->reader, &reply);
    if (result != REDIS_OK)
        return parser_fails(parser, parser->budget.why ? parser->budget.why
                                                       : redisReaderGetError(parser->reader));
    if (!reply)
        return line_is_too_long(parser->reader) ? parser_fails(parser, "a line is too long") : 0;
    parser->budget = (struct reply_budget){.bytes = parser->bytes_max, .values = REPLY_VALUES_MAX};
    *value = reply;
    return 1;
}

int reply_parser_has_more(const struct reply_parser *parser)
{
    return parser->reader->len > parser->reader->pos;
}

void reply_free(struct reply_value *value)
{
    if (value)
        free_root(value);
}

struct text reply_text(const struct reply_value *value)
{
    if (!value || (value->type != REPLY_STRING && value->type != REPLY_STATUS))
        return (struct text){NULL, 0};
    return (struct text){value->bytes, value->len};
}

struct reply_value *reply_item(const struct reply_value *value, size_t at)
{
    return value && value->type == REPLY_ARRAY && at < value->count ? &value->items[at] : NULL;
}

/* ---- Commands ---- */

char *reply_format_command(const struct text *words, size_t count, size_t *len)
{
    size_t size = COUNT_LINE_MAX;
    for (size_t i = 0; i < count; i++)
        size += COUNT_LINE_MAX + words[i].len;
    char *bytes = malloc(size);
    if (!bytes)
        return NULL;
    size_t at = (size_t)sprintf(bytes, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        at += (size_t)sprintf(bytes + at, "$%zu\r\n", words[i].len);
        if (words[i].len > 0)
            memcpy(bytes + at, words[i].at, words[i].len);
        at += words[i].len;
        memcpy(bytes + at, "\r\n", 2);
        at += 2;
    }
    *len = at;
    return bytes;
}
