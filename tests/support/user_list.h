/* SPDX-License-Identifier: MIT
 *
 * user_list.h - the user list of a client of ragnarok.v2 for unit tests: it reads OnlineUsers and
 * Presence as docs/PROTOCOL.md says, and checks what the server promises.
 */
#ifndef USER_LIST_H
#define USER_LIST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_msg.h"
#include "lib/name.h"

enum { USER_LIST_CAP = 512 };

struct user_list {
    char names[USER_LIST_CAP][NAME_MAX_BYTES + 1]; /* in no order */
    size_t known, count;
    uint64_t version;
    bool has_names;
    int lists, changes; /* messages that were read */
};

static inline size_t user_list_find(const struct user_list *list, const char *name)
{
    size_t i = 0;
    while (i < list->known && strcmp(list->names[i], name) != 0)
        i++;
    return i;
}

/* Calls `each` with each name of the array, which must be sorted by folded name. */
static inline void user_list_each(struct user_list *list, const struct json_field *names,
                                  void (*each)(struct user_list *list, const char *name))
{
    struct json_field element;
    char name[NAME_MAX_BYTES + 1];
    char *last = NULL;
    for (size_t at = 0; names && json_element(names, &at, &element);) {
        assert_true(json_string(&element, name, sizeof(name)) > 0);
        char *fold = name_fold(name, strlen(name));
        assert_non_null(fold);
        assert_true(!last || strcmp(last, fold) <= 0);
        free(last);
        last = fold;
        each(list, name);
    }
    free(last);
}

static inline void user_list_add(struct user_list *list, const char *name)
{
    if (user_list_find(list, name) < list->known)
        return;
    assert_true(list->known < USER_LIST_CAP);
    strcpy(list->names[list->known++], name);
}

static inline void user_list_drop(struct user_list *list, const char *name)
{
    size_t at = user_list_find(list, name);
    if (at < list->known)
        memmove(list->names[at], list->names[--list->known], sizeof(list->names[at]));
}

static inline void user_list_change(struct user_list *list, const struct json_object *message)
{
    const struct json_field *joined = json_find(message, "Joined");
    const struct json_field *left = json_find(message, "Left");
    list->changes++;
    assert_true(json_get_uint(message, "Since") <= list->version); /* it missed none */
    if (json_get_uint(message, "Version") <= list->version)
        return;
    list->has_names = list->has_names && (joined || left);
    user_list_each(list, left, user_list_drop);
    user_list_each(list, joined, user_list_add);
}

/* Reads one message, NUL-terminated; passes over others than those two. */
static inline void user_list_read(struct user_list *list, const char *text, size_t len)
{
    struct json_object message;
    struct json_error error;
    assert_int_equal(json_parse_message(&message, text, len, &error), 0);
    const struct json_field *users = json_find(&message, "Users");
    bool is_list = json_equals(&message, "msgType", "OnlineUsers");
    if (!is_list && !json_equals(&message, "msgType", "Presence"))
        return;
    if (is_list) {
        list->lists++;
        list->known = 0;
        list->has_names = users;
        user_list_each(list, users, user_list_add);
    } else {
        user_list_change(list, &message);
    }
    uint64_t version = json_get_uint(&message, "Version");
    if (version < list->version) {
        assert_false(is_list);
        return;
    }
    list->version = version;
    list->count = (size_t)json_get_uint(&message, "Count");
    if (list->has_names)
        assert_int_equal(list->known, list->count);
}

/* Reads messages, one for each line. */
static inline void user_list_read_lines(struct user_list *list, const char *lines)
{
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        if (*lines == '{')
            user_list_read(list, lines, (size_t)(end - lines));
}

#endif
