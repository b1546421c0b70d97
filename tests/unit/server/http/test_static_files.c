/* SPDX-License-Identifier: MIT
 *
 * test_static_files.c - the page that is built in, and how requests for it are answered.
 */
#include "server/http/static_files.h"
#include "lib/http/http_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE_BYTES_MAX = 110 * 1000 }; /* of all files together, as a browser gets them */

static const struct trust_page untold = {.state = TRUST_PAGE_PLAIN};

static struct text text(const char *string)
{
    return (struct text){string, string ? strlen(string) : 0};
}

static struct http_request get(const char *path)
{
    return (struct http_request){.path = text(path), .host = text("chat.local:81")};
}

/* The status of an answer that is in order. */
static int status_of(const struct static_file_answer *answer)
{
    assert_memory_equal(answer->head, "HTTP/1.1 ", 9);
    assert_true(answer->head_len < HTTP_RESPONSE_MAX);
    assert_int_equal(strlen(answer->head), answer->head_len);
    return (int)strtol(answer->head + 9, NULL, 10);
}

/* The value of a field, copied into `value`; an empty one when it is not there. */
static void field_of(const struct static_file_answer *answer, const char *name, char value[512])
{
    char start[64];
    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *at = strstr(answer->head, start);
    value[0] = '\0';
    if (at)
        snprintf(value, 512, "%.*s", (int)strcspn(at + strlen(start), "\r"), at + strlen(start));
}

static void check_field(const struct static_file_answer *answer, const char *name,
                        const char *expected)
{
    char value[512];
    field_of(answer, name, value);
    assert_string_equal(value, expected);
}

/* The file whose name begins so: a digest follows "app-". */
static const struct static_file *file_named(const char *name)
{
    for (size_t i = 0; i < page_count; i++)
        if (strncmp(page_files[i].name, name, strlen(name)) == 0)
            return &page_files[i];
    fail_msg("no %s", name);
    return NULL;
}

/* A request for the script. The path borrows from `path`. */
static struct http_request get_script(char path[256])
{
    snprintf(path, 256, "/%s", file_named("app-")->name);
    return get(path);
}

static int set_up(void **state)
{
    char error[STATIC_FILE_ERROR_MAX];
    (void)state;
    return static_files_init(NULL, error);
}

/* ---- What is built in ------------------------------------------------------------------------ */

static void test_the_whole_page_is_small(void **state)
{
    (void)state;
    size_t sum = 0;
    for (size_t i = 0; i < page_count; i++)
        sum += page_files[i].gzip ? page_files[i].gzip_len : page_files[i].plain_len;
    assert_in_range(sum, 1, PAGE_BYTES_MAX);
}

static void test_gzip_is_shorter_and_gzip(void **state)
{
    (void)state;
    for (size_t i = 0; i < page_count; i++) {
        const struct static_file *file = &page_files[i];
        if (!file->gzip)
            continue;
        assert_true(file->gzip_len < file->plain_len);
        assert_memory_equal(file->gzip, "\x1f\x8b\x08\x00\x00\x00\x00\x00",
                            8); /* no name, no time */
        uint32_t size;          /* RFC 1952 §2.3.1: ISIZE, little-endian, at the end */
        const unsigned char *end = file->gzip + file->gzip_len - 4;
        size = end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
        assert_int_equal(size, file->plain_len);
    }
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static void test_the_page_and_its_rooms(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/index.html", "/rooms/tea", "/rooms/caf%C3%A9"};
    const struct static_file *index = file_named("index.html");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct static_file_answer answer;
        struct http_request rq = get(paths[i]);
        page_answer(&rq, &untold, &answer);
        assert_int_equal(status_of(&answer), 200);
        assert_ptr_equal(answer.body, index->plain);
        assert_int_equal(answer.body_len, index->plain_len);
        check_field(&answer, "Content-Type", "text/html; charset=utf-8");
        static_file_answer_free(&answer);
    }
}

static void test_every_file_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < page_count; i++) {
        char path[256];
        struct static_file_answer answer;
        snprintf(path, sizeof path, "/%s", page_files[i].name);
        struct http_request rq = get(path);
        page_answer(&rq, &untold, &answer);
        assert_int_equal(status_of(&answer), 200);
        if (strcmp(page_files[i].name, "trust.html") !=
            0) /* which is filled in: test_trust_page.c */
            assert_ptr_equal(answer.body, page_files[i].plain);
        check_field(&answer, "Content-Type", page_files[i].type);
        check_field(&answer, "Cache-Control",
                    strstr(page_files[i].name, ".html") ? "no-cache"
                                                        : "public, max-age=31536000, immutable");
        static_file_answer_free(&answer);
    }
}

/* It scans safety numbers; /trust, scripts and what is not there need no device. */
static void test_only_the_chat_may_use_the_camera(void **state)
{
    static const struct {
        const char *path, *start;
    } cases[] = {
        {"/", "camera=(self), "},           {"/rooms/tea", "camera=(self), "},
        {"/index.html", "camera=(self), "}, {"/trust", "camera=(), "},
        {"/none", "camera=(), "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char value[512];
        struct static_file_answer answer;
        struct http_request rq = get(cases[i].path);
        page_answer(&rq, &untold, &answer);
        field_of(&answer, "Permissions-Policy", value);
        assert_memory_equal(value, cases[i].start, strlen(cases[i].start));
        static_file_answer_free(&answer);
    }
}

static void test_nothing_else(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/index",
        "/index.htm",
        "/index.html/",
        "/index.html%00",
        "/INDEX.HTML",
        "//index.html",
        "//",
        "/./index.html",
        "/web/",
        "/web/index.html",
        "/../config.json",
        "/%2e%2e/config.json",
        "/%69ndex.html",
        "/config.json",
        "/rooms",
        "/self-signed.pem",
        "/etc/passwd",
        "/index.html.gz",
        "/app.js", /* a part of the script, and not under this name */
        "/style.css",
        "/.",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct static_file_answer answer;
        struct http_request rq = get(paths[i]);
        page_answer(&rq, &untold, &answer);
        if (status_of(&answer) != 404)
            fail_msg("%s: %s", paths[i], answer.head);
        assert_int_equal(answer.body_len, 0);
        assert_non_null(strstr(answer.head, "404 Not Found: "));
    }
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static void test_gzip_where_it_is_taken(void **state)
{
    (void)state;
    const struct static_file *script = file_named("app-");
    struct static_file_answer plain, packed;
    char tag[2][512], path[256];
    struct http_request rq = get_script(path);
    page_answer(&rq, &untold, &plain);
    rq.gzip = true;
    page_answer(&rq, &untold, &packed);
    assert_ptr_equal(packed.body, script->gzip);
    assert_int_equal(packed.body_len, script->gzip_len);
    check_field(&packed, "Content-Encoding", "gzip");
    check_field(&plain, "Content-Encoding", "");
    check_field(&packed, "Vary", "Accept-Encoding");
    check_field(&plain, "Vary", "Accept-Encoding");
    field_of(&plain, "ETag", tag[0]);
    field_of(&packed, "ETag", tag[1]);
    assert_string_not_equal(tag[0], tag[1]); /* RFC 9110 §8.8.3.3 */
}

/* It contains data of the server, and its length would tell of them (BREACH). */
static void test_a_template_is_not_packed(void **state)
{
    (void)state;
    struct static_file_answer answer;
    struct http_request rq = get("/trust");
    rq.gzip = true;
    page_answer(&rq, &untold, &answer);
    check_field(&answer, "Content-Encoding", "");
    check_field(&answer, "Vary", "");
    assert_null(file_named("trust.html")->gzip);
    static_file_answer_free(&answer);
}

static void check_length(const struct static_file_answer *answer, size_t len)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%zu", len);
    check_field(answer, "Content-Length", expected);
}

static void test_head_rfc9110_9_3_2(void **state)
{
    (void)state;
    struct static_file_answer got, head;
    struct http_request rq = get("/");
    page_answer(&rq, &untold, &got);
    rq.head_only = true;
    page_answer(&rq, &untold, &head);
    assert_string_equal(head.head, got.head);
    assert_int_equal(head.body_len, 0);
    check_length(&head, file_named("index.html")->plain_len);

    rq.path = text("/nothing");
    page_answer(&rq, &untold, &head);
    assert_int_equal(status_of(&head), 404);
    assert_string_equal(head.head + head.head_len - 4, "\r\n\r\n");
}

static void test_304_rfc9110_13_1_2(void **state)
{
    (void)state;
    struct static_file_answer answer;
    char plain[512], packed[512], path[256];
    struct http_request rq = get_script(path);
    page_answer(&rq, &untold, &answer);
    field_of(&answer, "ETag", plain);
    assert_int_equal(strlen(plain), 2 + 32);
    rq.gzip = true;
    page_answer(&rq, &untold, &answer);
    field_of(&answer, "ETag", packed);

    rq.if_none_match = text(packed);
    page_answer(&rq, &untold, &answer);
    assert_int_equal(status_of(&answer), 304);
    assert_int_equal(answer.body_len, 0);
    check_field(&answer, "ETag", packed); /* §15.4.5: what a 200 would have said */
    check_field(&answer, "Vary", "Accept-Encoding");
    check_field(&answer, "Cache-Control", "public, max-age=31536000, immutable");

    rq.if_none_match = text(plain); /* the other form is not this one */
    page_answer(&rq, &untold, &answer);
    assert_int_equal(status_of(&answer), 200);
}

/* ---- What the page may do -------------------------------------------------------------------- */

static void check_sockets(const char *host, const char *expected)
{
    struct static_file_answer answer;
    char policy[512];
    struct http_request rq = get("/");
    rq.host = text(host);
    page_answer(&rq, &untold, &answer);
    field_of(&answer, "Content-Security-Policy", policy);
    const char *at = strstr(policy, "connect-src ");
    assert_non_null(at);
    snprintf(policy, sizeof policy, "%.*s", (int)strcspn(at, ";"), at);
    assert_string_equal(policy, expected);
}

static void test_policy(void **state)
{
    (void)state;
    check_sockets("a.b-c:81", "connect-src 'self' ws://a.b-c:81 wss://a.b-c:81");
    check_sockets("127.0.0.1", "connect-src 'self' ws://127.0.0.1 wss://127.0.0.1");
    check_sockets("[::1]:81", "connect-src 'self'");
    check_sockets("a;script-src *", "connect-src 'self'");
    check_sockets("a,b", "connect-src 'self'");
    check_sockets("*", "connect-src 'self'");
    check_sockets("'self'", "connect-src 'self'");
    check_sockets("", "connect-src 'self'");
    check_sockets(NULL, "connect-src 'self'");
    char *name = malloc(302);
    assert_non_null(name);
    memset(name, 'a', 301);
    name[301] = '\0';
    check_sockets(name, "connect-src 'self'");
    free(name);
}

static void test_policy_is_strict(void **state)
{
    (void)state;
    struct static_file_answer answer;
    char policy[512];
    struct http_request rq = get("/");
    page_answer(&rq, &untold, &answer);
    field_of(&answer, "Content-Security-Policy", policy);
    static const char *const parts[] = {
        "default-src 'none';",
        "; script-src 'self' 'sha256-",
        "; style-src 'sha256-",
        "; base-uri 'none'",
        "; frame-ancestors 'none'",
        "; form-action 'none'",
        "; img-src 'self' data:",
        "; manifest-src 'self'",
        "; require-trusted-types-for 'script'",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(policy, parts[i]) == NULL)
            fail_msg("no \"%s\" in %s", parts[i], policy);
    assert_null(strstr(policy, "unsafe"));
}

/* ---- From a folder --------------------------------------------------------------------------- */

static char folder[64];

static int enter_folder(void **state)
{
    char error[STATIC_FILE_ERROR_MAX];
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_page_XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? static_files_init(folder, error) : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    unlink("index.html");
    unlink("other.html");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void put(const char *name, const char *content)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static int ask(const char *path, struct static_file_answer *answer)
{
    struct http_request rq = get(path);
    rq.gzip = true;
    page_answer(&rq, &untold, answer);
    return status_of(answer);
}

static void check_gone(const char *path)
{
    struct static_file_answer answer;
    assert_int_equal(ask(path, &answer), 404);
    static_file_answer_free(&answer);
}

static void test_a_file_is_read_again_each_time(void **state)
{
    (void)state;
    struct static_file_answer answer;
    char tag[2][512];
    const char *const contents[] = {"one", "two!"};
    for (int i = 0; i < 2; i++) {
        put("index.html", contents[i]);
        assert_int_equal(ask("/rooms/tea", &answer), 200);
        assert_int_equal(answer.body_len, strlen(contents[i]));
        assert_memory_equal(answer.body, contents[i], answer.body_len);
        check_field(&answer, "Content-Encoding", "");
        field_of(&answer, "ETag", tag[i]);
        static_file_answer_free(&answer);
    }
    assert_string_not_equal(tag[0], tag[1]);
}

/* Its style and scripts are files there. */
static void test_policy_of_a_folder(void **state)
{
    (void)state;
    struct static_file_answer answer;
    char policy[512];
    put("index.html", "one");
    assert_int_equal(ask("/", &answer), 200);
    check_field(&answer, "Cache-Control", "no-cache");
    field_of(&answer, "Content-Security-Policy", policy);
    assert_non_null(strstr(policy, "; script-src 'self'; style-src 'self';"));
    static_file_answer_free(&answer);
    check_gone("/app.js"); /* of the list, and not in the folder */
}

static void test_only_files_of_the_list(void **state)
{
    (void)state;
    check_gone("/"); /* not there yet */
    put("other.html", "secret");
    check_gone("/other.html");
    assert_int_equal(symlink("other.html", "index.html"), 0);
    check_gone("/");
    assert_int_equal(unlink("index.html"), 0);
    assert_int_equal(mkfifo("index.html", 0600), 0); /* nobody ever writes to it */
    check_gone("/");
    assert_int_equal(unlink("index.html"), 0);
    assert_int_equal(mkdir("index.html", 0700), 0);
    check_gone("/");
    assert_int_equal(rmdir("index.html"), 0);
}

static void test_size_limit(void **state)
{
    (void)state;
    struct static_file_answer answer;
    put("index.html", "");
    assert_int_equal(truncate("index.html", STATIC_FILE_FILE_MAX), 0);
    assert_int_equal(ask("/", &answer), 200);
    assert_int_equal(answer.body_len, STATIC_FILE_FILE_MAX);
    static_file_answer_free(&answer);
    assert_int_equal(truncate("index.html", STATIC_FILE_FILE_MAX + 1), 0);
    check_gone("/");
}

static void test_a_folder_that_is_none(void **state)
{
    (void)state;
    char error[STATIC_FILE_ERROR_MAX];
    assert_int_equal(static_files_init("/no/such/folder", error), -1);
    assert_non_null(strstr(error, "--web-root /no/such/folder: No such file"));
    put("other.html", "x");
    assert_int_equal(static_files_init("other.html", error), -1);
    assert_non_null(strstr(error, "Not a directory"));
}

int main(void)
{
    const struct CMUnitTest built_in[] = {
        cmocka_unit_test(test_the_whole_page_is_small),
        cmocka_unit_test(test_gzip_is_shorter_and_gzip),
        cmocka_unit_test(test_the_page_and_its_rooms),
        cmocka_unit_test(test_every_file_by_its_name),
        cmocka_unit_test(test_only_the_chat_may_use_the_camera),
        cmocka_unit_test(test_nothing_else),
        cmocka_unit_test(test_gzip_where_it_is_taken),
        cmocka_unit_test(test_a_template_is_not_packed),
        cmocka_unit_test(test_head_rfc9110_9_3_2),
        cmocka_unit_test(test_304_rfc9110_13_1_2),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_policy_is_strict),
    };
    const struct CMUnitTest from_folder[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_read_again_each_time, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(test_policy_of_a_folder, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(test_only_files_of_the_list, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(test_size_limit, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(test_a_folder_that_is_none, enter_folder, leave_folder),
    };
    int failed = cmocka_run_group_tests(built_in, set_up, NULL);
    return failed + cmocka_run_group_tests(from_folder, NULL, NULL);
}
