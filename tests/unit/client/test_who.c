/* SPDX-License-Identifier: MIT
 *
 * test_who.c - who is here: states, changes of them, rooms that are only counted, and short memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/who.h"
#include "no_memory.h"

static struct ws_client ws;
static struct output output = {.mode = MODE_LISTEN}; /* nothing is shown */

static char *joined_names(const struct who_names *names)
{
    static char text[4][4096];
    static size_t next;
    char *out = text[next++ % 4];
    out[0] = '\0';
    for (size_t i = 0; i < names->count; i++)
        snprintf(out + strlen(out), 4096 - strlen(out), "%s%s", i ? " " : "", names->names[i]);
    return out;
}

/* Takes a message. Returns NULL if it is passed over, else "all" and "joined/left". */
static const char *heard(struct who *who, const char *json)
{
    static char text[4096];
    struct json_object in;
    struct json_error error;
    struct who_change change;
    assert_int_equal(json_parse_message(&in, json, strlen(json), &error), 0);
    bool taken = who_heard(who, &in, &change);
    snprintf(text, sizeof(text), "%s%s/%s", change.all ? "all " : "", joined_names(&change.joined),
             joined_names(&change.left));
    who_tell_change(who, &change);
    who_change_fini(&change);
    return taken ? text : NULL;
}

static void states(void **state)
{
    struct who who;
    (void)state;
    who_init(&who, &ws, &output);
    assert_string_equal(
        heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":5,\"Users\":[\"bo\",\"ana\"]}"),
        "all ana bo/");
    assert_string_equal(joined_names(&who.here), "ana bo");
    assert_int_equal(who_knows(&who, "ana"), WHO_HERE);
    assert_int_equal(who_knows(&who, "Ana"), WHO_GONE);
    assert_string_equal(
        heard(&who,
              "{\"msgType\":\"OnlineUsers\",\"Version\":2,\"Users\":[\"cem\",\"bo\",\"bo\"]}"),
        "all cem/ana");
    assert_int_equal(who.count, 2);
    who_fini(&who);
}

static void changes(void **state)
{
    struct who who;
    (void)state;
    who_init(&who, &ws, &output);
    heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Users\":[\"ana\",\"bo\"]}");
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Since\":1,\"Version\":2,"
                                    "\"Joined\":[\"eve\",\"cem\"],\"Left\":[\"bo\"]}"),
                        "cem eve/bo");
    assert_string_equal(joined_names(&who.here), "ana cem eve");
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Since\":2,\"Version\":3,"
                                    "\"Joined\":[\"cem\"],\"Left\":[\"cem\",\"nobody\"]}"),
                        "cem/cem");
    assert_string_equal(joined_names(&who.here), "ana cem eve");
    assert_null(
        heard(&who, "{\"msgType\":\"Presence\",\"Since\":2,\"Version\":3,\"Left\":[\"ana\"]}"));
    assert_null(heard(&who, "{\"msgType\":\"Presence\",\"Version\":1,\"Joined\":[\"bo\"]}"));
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Version\":9,\"Left\":[\"ana\"]}"),
                        "/ana");
    assert_int_equal(who.count, 2);
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Version\":10,\"Since\":5,"
                                    "\"Joined\":[\"cem\",\"dora\"],\"Left\":[\"bo\"]}"),
                        "dora/"); /* our list was newer than that of others */
    assert_string_equal(joined_names(&who.here), "cem dora eve");
    who_fini(&who);
}

static void counted(void **state)
{
    struct who who;
    (void)state;
    who_init(&who, &ws, &output);
    assert_string_equal(heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Count\":5000}"),
                        "all /");
    assert_true(who.counted && who.count == 5000);
    assert_int_equal(who_knows(&who, "ana"), WHO_UNKNOWN);
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Version\":2,\"Count\":5001}"),
                        "/");
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Version\":3,\"Count\":5002,"
                                    "\"Joined\":[\"ana\"]}"),
                        "/");
    assert_true(who.counted && who.count == 5002);
    heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":4,\"Users\":[\"ana\"]}");
    assert_true(!who.counted && who.count == 1);
    assert_string_equal(heard(&who, "{\"msgType\":\"Presence\",\"Version\":5,\"Count\":2001}"),
                        "/");
    assert_true(who.counted && who.count == 2001 && who.here.count == 0);
    who_fini(&who);
}

static void passed_over(void **state)
{
    static const char *const wrong[] = {
        "{\"msgType\":\"OnlineUsers\",\"Version\":2}",
        "{\"msgType\":\"OnlineUsers\",\"Users\":\"ana\"}",
        "{\"msgType\":\"Presence\"}",
        "{\"msgType\":\"Presence\",\"Joined\":[\"bo\"]}",
        "{\"msgType\":\"Presence\",\"Version\":-1,\"Joined\":[\"bo\"]}",
        "{\"msgType\":\"Presence\",\"Version\":\"9\",\"Joined\":[\"bo\"]}",
        "{\"msgType\":\"Presence\",\"Version\":9,\"Joined\":\"bo\"}",
    };
    struct who who;
    (void)state;
    who_init(&who, &ws, &output);
    assert_null(heard(&who, "{\"msgType\":\"Presence\",\"Version\":9,\"Joined\":[\"bo\"]}"));
    heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Users\":[\"ana\",7,null,\"\"]}");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_null(heard(&who, wrong[i]));
    assert_string_equal(joined_names(&who.here), "ana");
    who_lost(&who); /* the next connection begins with a state */
    assert_null(heard(&who, "{\"msgType\":\"Presence\",\"Version\":9,\"Joined\":[\"bo\"]}"));
    heard(&who, "{\"msgType\":\"OnlineUsers\",\"Users\":[\"ana\"]}"); /* of the short way */
    assert_null(heard(&who, "{\"msgType\":\"Presence\",\"Version\":9,\"Joined\":[\"bo\"]}"));
    who_fini(&who);
}

/* "n0","n1",... */
static char *list_of(const char *head, size_t count)
{
    char *json = malloc(count * 12 + 128);
    assert_non_null(json);
    size_t len = (size_t)sprintf(json, "%s[", head);
    for (size_t i = 0; i < count; i++)
        len += (size_t)sprintf(json + len, "%s\"n%zu\"", i ? "," : "", i);
    strcpy(json + len, "]}");
    return json;
}

static void no_list_grows_without_end(void **state)
{
    struct who who;
    (void)state;
    char *most = list_of("{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Users\":", WHO_NAMES_MAX);
    char *more =
        list_of("{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Users\":", WHO_NAMES_MAX + 1);
    who_init(&who, &ws, &output);
    assert_non_null(heard(&who, more));
    assert_true(who.counted && who.count == WHO_NAMES_MAX + 1);
    assert_non_null(heard(&who, most));
    assert_true(!who.counted && who.here.count == WHO_NAMES_MAX);
    assert_non_null(
        heard(&who, "{\"msgType\":\"Presence\",\"Version\":2,\"Joined\":[\"one more\"]}"));
    assert_true(who.counted && who.here.count == 0);
    free(most);
    free(more);
    who_fini(&who);
}

/* Names for which memory is out are left out, and nothing else happens. */
static void short_memory(void **state)
{
    (void)state;
    for (int after = 0; after < 12; after++) {
        struct who who;
        who_init(&who, &ws, &output);
        heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Users\":[\"ana\",\"bo\"]}");
        no_memory_after(after);
        heard(&who,
              "{\"msgType\":\"Presence\",\"Version\":2,\"Joined\":[\"cem\"],\"Left\":[\"bo\"]}");
        no_memory_end();
        assert_int_equal(who_knows(&who, "ana"), WHO_HERE);
        assert_true(who.here.count <= 3);
        heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":3,\"Users\":[\"ana\",\"bo\"]}");
        assert_string_equal(joined_names(&who.here), "ana bo");
        who_fini(&who);
    }
}

/* Answers count only if they were asked for; a closed connection takes no question. */
static void questions(void **state)
{
    static const char answer[] = "{\"msgType\":\"Users\",\"Count\":5000,\"Users\":[\"ana\"],"
                                 "\"More\":true,\"Ref\":\"who-1\"}";
    struct who who;
    struct json_object in;
    struct json_error error;
    struct pace pace = {.count = 0};
    (void)state;
    who_init(&who, &ws, &output);
    heard(&who, "{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Count\":5000}");
    assert_int_equal(json_parse_message(&in, answer, strlen(answer), &error), 0);
    assert_int_equal(who_answered(&who, &in), WHO_NO_QUESTION);
    who_show(&who, "an");
    assert_int_equal(who.asked, WHO_NO_QUESTION); /* the connection is closed */
    who.asked = WHO_COMPLETE;
    assert_int_equal(who_answered(&who, &in), WHO_COMPLETE);
    assert_string_equal(joined_names(&who.found), "ana");
    assert_int_equal(who_refused(&who, &in, "no"), WHO_NO_QUESTION);
    who_complete(&who, &pace, "hello an", 8, 2);
    assert_true(who_is_waiting(&who, "hello an", 8));
    assert_false(who_is_waiting(&who, "hello an", 7));
    assert_false(who_is_waiting(&who, "hello ana", 8));
    who.asked = WHO_SHOW;
    who_lost(&who);
    assert_int_equal(who.asked, WHO_NO_QUESTION);
    who_fini(&who);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states),
        cmocka_unit_test(changes),
        cmocka_unit_test(counted),
        cmocka_unit_test(passed_over),
        cmocka_unit_test(no_list_grows_without_end),
        cmocka_unit_test(short_memory),
        cmocka_unit_test(questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
