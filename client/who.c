/* SPDX-License-Identifier: MIT
 *
 * who.c - keeps the list of members. One thread.
 *
 * OnlineUsers replaces it, Presence changes it. Without names either says how many members there
 * are, and then nobody knows who they are. Lists are sorted, so a million names from a hostile
 * server cost little.
 */
#include "client/who.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/name.h"

void who_init(struct who *who, struct ws_client *ws, struct output *output)
{
    *who = (struct who){.ws = ws, .output = output, .version = UINT64_MAX};
}

void who_fini(struct who *who)
{
    who_names_fini(&who->here);
    who_names_fini(&who->found);
    free(who->line);
    who->line = NULL;
}

void who_change_fini(struct who_change *change)
{
    who_names_fini(&change->joined);
    who_names_fini(&change->left);
}

/* ---- Lists of names ---- */

void who_names_fini(struct who_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct who_names){NULL, 0, 0};
}

/* Takes `name`; NULL is ignored. */
static void push_name(struct who_names *names, char *name)
{
    if (name && names->count == names->cap) {
        size_t cap = names->cap ? 2 * names->cap : 16;
        char **grown = realloc(names->names, cap * sizeof(*grown));
        if (!grown) {
            free(name);
            return;
        }
        names->names = grown;
        names->cap = cap;
    }
    if (name)
        names->names[names->count++] = name;
}

void who_read_names(struct who_names *names, const struct json_field *array)
{
    struct json_field element;
    size_t at = 0;
    while (array && json_element(array, &at, &element)) {
        char name[NAME_MAX_BYTES + 1];
        if (json_string(&element, name, sizeof(name)) > 0)
            push_name(names, strdup(name));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts names, and drops those that are there twice. */
static void sort_names(struct who_names *names)
{
    size_t kept = 0;
    if (names->count > 0)
        qsort(names->names, names->count, sizeof(*names->names), by_name);
    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && strcmp(names->names[kept - 1], names->names[i]) == 0)
            free(names->names[i]);
        else
            names->names[kept++] = names->names[i];
    }
    names->count = kept;
}

bool who_among(const struct who_names *names, const char *name)
{
    return names->count > 0 &&
           bsearch(&name, names->names, names->count, sizeof(*names->names), by_name);
}

enum who_known who_knows(const struct who *who, const char *name)
{
    if (who->counted)
        return WHO_UNKNOWN;
    return who_among(&who->here, name) ? WHO_HERE : WHO_GONE;
}

/* Copies the names of `ours` that are not in `theirs`. */
static struct who_names difference(const struct who_names *ours, const struct who_names *theirs)
{
    struct who_names names = {NULL, 0, 0};
    for (size_t i = 0; i < ours->count; i++)
        if (!who_among(theirs, ours->names[i]))
            push_name(&names, strdup(ours->names[i]));
    return names;
}

/* ---- Changes ---- */

/* From now on only the number is known. */
static void count_only(struct who *who, uint64_t count)
{
    who_names_fini(&who->here);
    who->counted = true;
    who->count = count;
}

static bool is_array(const struct json_field *field)
{
    return field && field->value[0] == '[';
}

static bool take_state(struct who *who, const struct json_object *in, struct who_change *change)
{
    struct who_names before = who->here;
    const struct json_field *users = json_find(in, "Users");
    bool listed = is_array(users);
    if (!listed && !json_find(in, "Count"))
        return false;
    change->all = true;
    who->here = (struct who_names){NULL, 0, 0};
    who->version = json_find(in, "Version") ? json_get_uint(in, "Version") : UINT64_MAX;
    who_read_names(&who->here, users);
    sort_names(&who->here);
    if (listed && !who->counted) {
        change->joined = difference(&who->here, &before);
        change->left = difference(&before, &who->here);
    }
    who->counted = false;
    who->count = who->here.count;
    if (!listed || who->here.count > WHO_NAMES_MAX)
        count_only(who, listed ? who->here.count : json_get_uint(in, "Count"));
    who_names_fini(&before);
    return true;
}

/* Drops the names that are among `others`, unless they are among `except` (NULL: none), too; or
 * with `keep` all other names. */
static void drop_names(struct who_names *names, const struct who_names *others, bool keep,
                       const struct who_names *except)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        char *name = names->names[i];
        bool found = who_among(others, name) && !(except && who_among(except, name));
        if (found == keep)
            names->names[kept++] = name;
        else
            free(name);
    }
    names->count = kept;
}

/* Takes those who left off the list, then adds those who joined. Our list may be newer than that of
 * others: what it has already is no news. */
static void apply_change(struct who *who, struct who_change *change)
{
    struct who_names *here = &who->here;
    drop_names(&change->left, here, true, NULL);
    drop_names(&change->joined, here, false, &change->left);
    drop_names(here, &change->left, false, NULL);
    for (size_t i = 0; i < change->joined.count; i++)
        push_name(here, strdup(change->joined.names[i]));
    sort_names(here);
    who->count = here->count;
    if (here->count > WHO_NAMES_MAX)
        count_only(who, here->count);
}

static bool take_change(struct who *who, const struct json_object *in, struct who_change *change)
{
    uint64_t version = json_get_uint(in, "Version");
    const struct json_field *joined = json_find(in, "Joined"), *left = json_find(in, "Left");
    bool listed = is_array(joined) || is_array(left);
    if (version <= who->version || (!listed && !json_find(in, "Count")))
        return false;
    who->version = version;
    if (who->counted || !listed) {
        count_only(who, json_get_uint(in, "Count"));
        return true;
    }
    who_read_names(&change->joined, joined);
    who_read_names(&change->left, left);
    sort_names(&change->joined);
    sort_names(&change->left);
    apply_change(who, change);
    return true;
}

bool who_heard(struct who *who, const struct json_object *in, struct who_change *change)
{
    *change = (struct who_change){.all = false};
    return json_equals(in, "msgType", "Presence") ? take_change(who, in, change)
                                                  : take_state(who, in, change);
}

/* ---- For the user ---- */

/* Reports the names of `ours` that are not in `theirs`. */
static void tell_some(struct who *who, const struct who_names *ours, const struct who_names *theirs,
                      const char *what)
{
    const char *one = NULL;
    size_t others = 0;
    for (size_t i = 0; i < ours->count; i++) {
        if (who_among(theirs, ours->names[i]))
            continue;
        one = ours->names[i];
        others++;
    }
    if (others == 1)
        output_note(who->output, OUTPUT_INFO, "%s %s", output_quote(one).text, what);
    else if (others > 1)
        output_note(who->output, OUTPUT_INFO, "%zu people %s", others, what);
}

void who_tell_change(struct who *who, const struct who_change *change)
{
    tell_some(who, &change->joined, &change->left, "came");
    tell_some(who, &change->left, &change->joined, "left");
}
