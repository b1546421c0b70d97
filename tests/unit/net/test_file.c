/* SPDX-License-Identifier: MIT
 *
 * test_file.c - file.c: reading to the end, new files, and replacing one as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/file.h"

static char folder[] = "/tmp/ragnarok-file-XXXXXX", path[64], draft[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(draft, sizeof(draft), "%s/file.new", folder);
    umask(0);
    return 0;
}

static int empty_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(draft);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void assert_file(const char *text, mode_t mode)
{
    char found[64];
    struct stat about;
    int fd = file_open(path, &about);
    assert_true(fd >= 0);
    ssize_t len = file_read(fd, found, sizeof(found) - 1);
    close(fd);
    assert_int_equal(len, strlen(text));
    assert_int_equal(about.st_size, len);
    assert_memory_equal(found, text, strlen(text));
    assert_int_equal(about.st_mode & 07777, mode);
    assert_int_equal(access(draft, F_OK), -1);
}

static void test_create_makes_a_file_with_its_mode(void **state)
{
    (void)state;
    assert_int_equal(file_create(path, 0600, "one", 3), 0);
    assert_file("one", 0600);
}

static void test_create_takes_nobodys_place(void **state)
{
    (void)state;
    assert_int_equal(file_create(path, 0600, "one", 3), 0);
    assert_int_equal(file_create(path, 0600, "two", 3), -1);
    assert_int_equal(errno, EEXIST);
    assert_file("one", 0600);
}

static void test_replace_puts_the_new_one_in_place(void **state)
{
    (void)state;
    assert_int_equal(file_replace(path, 0644, "one", 3), 0);
    assert_file("one", 0644);
    assert_int_equal(file_replace(path, 0600, "second", 6), 0);
    assert_file("second", 0600);
    assert_int_equal(file_replace(path, 0600, "", 0), 0);
    assert_file("", 0600);
}

static void test_replace_deletes_what_was_cut_off_before(void **state)
{
    (void)state;
    assert_int_equal(file_create(draft, 0666, "half of some", 12), 0);
    assert_int_equal(file_replace(path, 0600, "one", 3), 0);
    assert_file("one", 0600);
}

/* A reader that opened the old file goes on reading that. */
static void test_replace_leaves_the_old_file_to_its_readers(void **state)
{
    char found[8];
    struct stat about;
    (void)state;
    assert_int_equal(file_create(path, 0600, "one", 3), 0);
    int fd = file_open(path, &about);
    assert_int_equal(file_replace(path, 0600, "two", 3), 0);
    assert_int_equal(file_read(fd, found, sizeof(found)), 3);
    assert_memory_equal(found, "one", 3);
    close(fd);
}

/* A folder is in the way, so that rename(2) fails: nothing stays behind. */
static void test_a_failed_replace_leaves_no_draft(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_replace(path, 0600, "one", 3), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(access(draft, F_OK), -1);
    assert_int_equal(rmdir(path), 0);
}

static void test_without_a_folder_nothing_is_written(void **state)
{
    (void)state;
    assert_int_equal(file_create("/tmp/ragnarok-no-such-folder/x", 0600, "one", 3), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(file_replace("/tmp/ragnarok-no-such-folder/x", 0600, "one", 3), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_read_stops_at_its_bound(void **state)
{
    char found[8] = "........";
    struct stat about;
    (void)state;
    assert_int_equal(file_create(path, 0600, "12345", 5), 0);
    int fd = file_open(path, &about);
    assert_int_equal(file_read(fd, found, 4), 4);
    assert_int_equal(found[4], '.');
    assert_int_equal(file_read(fd, found, 4), 1);
    assert_int_equal(file_read(fd, found, 4), 0);
    close(fd);
}

static void test_read_tells_of_faults(void **state)
{
    char found[8];
    struct stat about;
    (void)state;
    assert_int_equal(file_read(-1, found, sizeof(found)), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(file_open(path, &about), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_rewrite_keeps_mode_and_owner(void **state)
{
    struct stat about;
    bool is_root = geteuid() == 0;
    (void)state;
    assert_int_equal(file_create(path, 0640, "one", 3), 0);
    if (is_root)
        assert_int_equal(chown(path, 65534, 65533), 0);
    assert_int_equal(chmod(path, 0604), 0);
    umask(077);
    assert_int_equal(file_rewrite(path, "second", 6), 0);
    umask(0);
    assert_file("second", 0604);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_uid, is_root ? 65534 : geteuid());
    assert_int_equal(about.st_gid, is_root ? 65533 : getegid());
}

static void test_rewrite_follows_a_link(void **state)
{
    char target[64];
    struct stat about;
    (void)state;
    snprintf(target, sizeof(target), "%s/target", folder);
    assert_int_equal(file_create(target, 0600, "one", 3), 0);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(file_rewrite(path, "two", 3), 0);
    assert_file("two", 0600);
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(unlink(target), 0);
}

static void test_rewrite_makes_no_file(void **state)
{
    (void)state;
    assert_int_equal(file_rewrite(path, "one", 3), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(access(path, F_OK), -1);
}

/* A folder in the place of the draft cannot be replaced. */
static void test_a_failed_rewrite_leaves_the_old_file(void **state)
{
    (void)state;
    assert_int_equal(file_create(path, 0600, "one", 3), 0);
    assert_int_equal(mkdir(draft, 0700), 0);
    assert_int_equal(file_rewrite(path, "two", 3), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(rmdir(draft), 0);
    assert_file("one", 0600);
}

/* Nobody writes to it: an open that waited would wait for ever. */
static void test_open_does_not_wait_for_a_named_pipe(void **state)
{
    struct stat about;
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = file_open(path, &about);
    assert_true(fd >= 0);
    assert_true(S_ISFIFO(about.st_mode));
    close(fd);
}

#define TEST(name) cmocka_unit_test_teardown(name, empty_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create_makes_a_file_with_its_mode),
        TEST(test_create_takes_nobodys_place),
        TEST(test_replace_puts_the_new_one_in_place),
        TEST(test_replace_deletes_what_was_cut_off_before),
        TEST(test_replace_leaves_the_old_file_to_its_readers),
        TEST(test_a_failed_replace_leaves_no_draft),
        TEST(test_without_a_folder_nothing_is_written),
        TEST(test_read_stops_at_its_bound),
        TEST(test_read_tells_of_faults),
        TEST(test_rewrite_keeps_mode_and_owner),
        TEST(test_rewrite_follows_a_link),
        TEST(test_rewrite_makes_no_file),
        TEST(test_a_failed_rewrite_leaves_the_old_file),
        TEST(test_open_does_not_wait_for_a_named_pipe),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
