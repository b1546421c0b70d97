/* SPDX-License-Identifier: MIT
 *
 * store_vfs.c - SQLite's access to files, with two changes.
 *
 * The unused part of a page is zero. With secure_delete SQLite overwrites what is deleted, but not
 * all copies of it: when cells move to another page, the page may be built again, and the bytes
 * between its cell pointers and its cells keep what was there (rebuildPage in btree.c). They would
 * hold a message that is deleted later. So they are cleared when a page is written to the database
 * file. The log is cut off after messages were deleted (store_maintain.c).
 *
 * fstat(2) is called directly. In the C library it is a form of newfstatat(2), which the sandbox
 * would have to allow with any path, because it cannot see paths.
 *
 * The format of pages: https://sqlite.org/fileformat.html §1.6, pointer maps: §1.8. Any thread
 * writes, each on its own connection; the two tables here are written once, before there are
 * threads.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store_parts.h"

enum {
    PAGE = STORE_PAGE_SIZE,
    HEAD = 100,                  /* of the database, in its first page */
    MAP_INTERVAL = PAGE / 5 + 1, /* pages from one pointer map to the next; the first is page 2 */
    PENDING_PAGE = 0x40000000 / PAGE + 1, /* is never used */
    NUMBER_MAX = 0x01FFFFFF,              /* of a page; 128 GiB */
};

static sqlite3_vfs vfs;               /* SQLite's own, with our xOpen */
static const sqlite3_vfs *system_vfs; /* SQLite's own; NULL: not registered yet */
static sqlite3_io_methods methods;    /* of database files, with our xWrite */
static const sqlite3_io_methods *system_methods;

/* Whether a page can be of a b-tree, whose first byte is its kind. A pointer map may begin with the
 * same byte, but its place is known. An overflow page and a page of the free list begin with the
 * number of another page, whose highest byte is at most 1 in a file that is not too large. */
static bool can_be_tree_page(sqlite3_int64 number)
{
    sqlite3_int64 map = (number - 2) / MAP_INTERVAL * MAP_INTERVAL + 2;
    if (map == PENDING_PAGE)
        map++;
    return number != map && number != PENDING_PAGE && number <= NUMBER_MAX;
}

static size_t read_u16(const unsigned char *at)
{
    return (size_t)at[0] << 8 | at[1];
}

/* Finds the bytes between the cell pointers and the cells. Returns false if it is no b-tree page,
 * or all of it is used. */
static bool find_gap(const unsigned char *page, sqlite3_int64 number, size_t *from, size_t *to)
{
    size_t head = number == 1 ? HEAD : 0;
    unsigned char kind = page[head];
    bool is_inner = kind == 2 || kind == 5;
    if (!can_be_tree_page(number) || (!is_inner && kind != 10 && kind != 13))
        return false;
    *from = head + (is_inner ? 12 : 8) + 2 * read_u16(page + head + 3);
    *to = read_u16(page + head + 5);
    return *from < *to && *to <= PAGE;
}

static int write_page(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    unsigned char page[PAGE];
    size_t from, to;
    if (len != PAGE || at % PAGE != 0 || !find_gap(bytes, at / PAGE + 1, &from, &to))
        return system_methods->xWrite(file, bytes, len, at);
    memcpy(page, bytes, PAGE);
    memset(page + from, 0, to - from);
    return system_methods->xWrite(file, page, len, at);
}

/* Opens a file, and gives a database file our xWrite. */
static int open_by_vfs(sqlite3_vfs *unused, const char *name, sqlite3_file *file, int flags,
                       int *out_flags)
{
    int rc = system_vfs->xOpen(&vfs, name, file, flags, out_flags);
    (void)unused;
    if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
        return rc;
    if (!system_methods) {
        system_methods = file->pMethods;
        methods = *file->pMethods;
        methods.xWrite = write_page;
    }
    if (file->pMethods != system_methods) { /* another kind of file system than the first file's */
        file->pMethods->xClose(file);
        file->pMethods = NULL;
        return SQLITE_CANTOPEN;
    }
    file->pMethods = &methods;
    return SQLITE_OK;
}

#if __WORDSIZE == 64 && defined(SYS_fstat) /* there the kernel's struct is the C library's */
static int stat_open_file(int fd, struct stat *about)
{
    return (int)syscall(SYS_fstat, fd, about);
}
#else
static int stat_open_file(int fd, struct stat *about)
{
    return fstat(fd, about);
}
#endif

const char *store_vfs(void)
{
    sqlite3_vfs *found = system_vfs ? NULL : sqlite3_vfs_find(NULL);
    if (found) {
        vfs = *found;
        vfs.zName = "ragnarok";
        vfs.xOpen = open_by_vfs;
        vfs.pNext = NULL;
        system_vfs = found;
        found->xSetSystemCall(found, "fstat", (sqlite3_syscall_ptr)stat_open_file);
        sqlite3_vfs_register(&vfs, 0);
    }
    return vfs.zName;
}
