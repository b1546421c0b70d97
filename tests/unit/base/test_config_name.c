/* SPDX-License-Identifier: MIT
 *
 * test_config_name.c - the name of a room whose settings do not name it.
 */
#undef _FORTIFY_SOURCE /* its gethostname() is an inline function */

#include "base/config.h"

#include "config_file.h"

static const char *pretended_host; /* NULL: gethostname fails */

/* Replaces the C library's. */
int gethostname(char *name, size_t len)
{
    if (!pretended_host) {
        errno = EPERM;
        return -1;
    }
    snprintf(name, len, "%s", pretended_host);
    return 0;
}

static const struct {
    const char *host, *name;
} hosts[] = {
    {"box", "box"},      {"Box-2_b", "Box-2_b"}, {"chat.example.org", "chat"},
    {"", "Ragnarok"},    {".local", "Ragnarok"}, {"(none)", "Ragnarok"},
    {"a b", "Ragnarok"}, {"a\nb", "Ragnarok"},   {"\xFF", "Ragnarok"},
    {NULL, "Ragnarok"},
};

static void expect_name(const char *value, const char *name)
{
    write_with("server_name", value, NULL);
    load();
    assert_string_equal(config.server_name, name);
    config_free(&config);
}

static void test_a_room_without_a_name_is_called_as_the_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        pretended_host = hosts[i].host;
        expect_name(NULL, hosts[i].name);
        expect_name("\"\"", hosts[i].name);
    }
}

static void test_a_name_of_ones_own_is_kept(void **state)
{
    (void)state;
    pretended_host = "box";
    expect_name("\"tea\"", "tea");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_room_without_a_name_is_called_as_the_host),
        TEST(test_a_name_of_ones_own_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
