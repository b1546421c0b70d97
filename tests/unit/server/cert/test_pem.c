/* SPDX-License-Identifier: MIT
 *
 * test_pem.c - how pem.c writes files: they, and their names, are on the disk when it returns.
 * fsync(2) is replaced here, and fails when it is told to. What pem.c reads is looked at in
 * test_server_cert.c.
 */
#include "server/cert/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/bio.h>

static char folder[] = "/tmp/ragnarok-pem-XXXXXX", path[64], draft[80];
static char error[CONFIG_ERROR_MAX];
static const struct config config = {.path = (char[]){"config.json"}};
static const struct pem_file file = {&config, "SSL_Cert", path, error};

static int files_synced, folders_synced;
static int folder_failure; /* errno of the fsync of a folder; 0: it works */
static bool was_there;     /* when the folder was synced: the file */

int fsync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    if (!S_ISDIR(st.st_mode)) {
        files_synced++;
        return 0;
    }
    folders_synced++;
    was_there = access(path, F_OK) == 0 && access(draft, F_OK) < 0;
    errno = folder_failure;
    return folder_failure ? -1 : 0;
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a.pem", folder);
    snprintf(draft, sizeof draft, "%s.new", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int begin(void **state)
{
    (void)state;
    files_synced = folders_synced = folder_failure = 0;
    was_there = false;
    error[0] = '\0';
    unlink(path);
    return 0;
}

static int put(int (*writer)(const struct pem_file *, BIO *), const char *text)
{
    BIO *pem = BIO_new(BIO_s_mem());
    assert_true(BIO_puts(pem, text) > 0);
    int rc = writer(&file, pem);
    BIO_free(pem);
    return rc;
}

static int make(const struct pem_file *to, BIO *pem)
{
    return pem_write(to, 0600, pem);
}

static void check_content(const char *expected)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

static void test_a_replaced_file_survives_a_power_cut(void **state)
{
    (void)state;
    assert_int_equal(put(make, "old"), 0);
    files_synced = folders_synced = 0;
    was_there = false;
    assert_int_equal(put(pem_replace, "new"), 0);
    assert_int_equal(files_synced, 1);
    assert_int_equal(folders_synced, 1);
    assert_true(was_there);
    check_content("new");
}

static void test_a_new_file_survives_a_power_cut(void **state)
{
    (void)state;
    assert_int_equal(put(make, "text"), 0);
    assert_int_equal(files_synced, 1);
    assert_int_equal(folders_synced, 1);
    assert_true(was_there);
}

static void test_a_folder_that_cannot_be_written_is_complained_of(void **state)
{
    (void)state;
    folder_failure = EIO;
    assert_int_equal(put(make, "text"), -1);
    assert_non_null(strstr(error, strerror(EIO)));
    assert_true(access(path, F_OK) < 0); /* it has left no file behind */
    folder_failure = 0;
    assert_int_equal(put(make, "old"), 0);
    folder_failure = EIO;
    error[0] = '\0';
    assert_int_equal(put(pem_replace, "new"), -1);
    assert_non_null(strstr(error, strerror(EIO)));
    assert_true(access(draft, F_OK) < 0);
    check_content("new"); /* whole, and perhaps not on the disk */
}

/* fsync(2): EINVAL, where a file system has no such thing for folders. */
static void test_a_file_system_without_it_is_no_fault(void **state)
{
    (void)state;
    folder_failure = EINVAL;
    assert_int_equal(put(make, "old"), 0);
    assert_int_equal(put(pem_replace, "new"), 0);
    check_content("new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_replaced_file_survives_a_power_cut, begin),
        cmocka_unit_test_setup(test_a_new_file_survives_a_power_cut, begin),
        cmocka_unit_test_setup(test_a_folder_that_cannot_be_written_is_complained_of, begin),
        cmocka_unit_test_setup(test_a_file_system_without_it_is_no_fault, begin),
    };
    return cmocka_run_group_tests_name("pem", tests, make_folder, remove_folder);
}
