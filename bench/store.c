/* SPDX-License-Identifier: MIT
 *
 * store.c - how fast a history file is, without a server: `make bench-store`.
 *
 * Stores MESSAGES messages of 3 to 24 words in transactions of 100 while the cleaner runs, then reads
 * pages of 50 from anywhere, and searches. Processor times are those of this thread, so that they hold on
 * a busy machine, too; the others are by the clock.
 *
 *   build/bench_store MESSAGES FILE
 */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/socket.h"

enum { BATCH = 100, WORDS = 5000, PAGES = 2000, PAGE = 50, INDEX_MS = 60 * 1000 };

static unsigned seed = 1;

static void die(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static long memory_kib(void)
{
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2) // NOLINT(cert-err34-c)
        die("no memory figures");
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* One of WORDS words of 2 to 9 letters, always the same for a number, and a blank. */
static size_t add_word(char *out, unsigned number)
{
    size_t len = 2 + number % 8;
    for (size_t i = 0; i < len; i++) {
        number = number * 1103515245 + 12345;
        out[i] = (char)('a' + (number >> 16) % 26);
    }
    out[len] = ' ';
    return len + 1;
}

static void add_message(struct store *store, struct store_room *room, uint64_t id)
{
    char text[256] = "", body[512];
    size_t len = 0;
    for (int words = 3 + rand_r(&seed) % 22; words > 0; words--)
        len += add_word(text + len, (unsigned)rand_r(&seed) % WORDS);
    int size = snprintf(body, sizeof(body),
                        "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\",\"text\":"
                        "\"%.*s%s\",\"Id\":%llu,\"Time\":1764500000000}",
                        (int)len, text, id == 6 ? "needle" : "", (unsigned long long)id);
    if (store_add(store, room, id, 1764500000000, body, (size_t)size) != STORE_OK)
        die(store_failure(store));
}

static void measure_storing(struct store *store, struct store_room *room, uint64_t messages)
{
    int64_t begun = net_now_us(), longest = 0;
    for (uint64_t id = 1; id <= messages;) {
        int64_t at = net_now_us();
        if (store_begin(store) != STORE_OK)
            die(store_failure(store));
        for (int i = 0; i < BATCH && id <= messages; i++)
            add_message(store, room, id++);
        if (store_commit(store) != STORE_OK)
            die(store_failure(store));
        at = net_now_us() - at;
        longest = at > longest ? at : longest;
    }
    double seconds = (double)(net_now_us() - begun) / 1e6;
    printf("stored: %.0f messages a second, longest transaction %.1f ms\n",
           (double)messages / seconds, (double)longest / 1e3);
}

static bool count_row(void *context, uint64_t id, int64_t time_ms, const char *body, size_t len)
{
    (void)id;
    (void)time_ms;
    (void)body;
    (void)len;
    ++*(int *)context;
    return true;
}

static void measure_pages(struct store *store, const struct store_room *room, uint64_t messages)
{
    int64_t cpu = net_cpu_us(), clock = net_now_us();
    for (int i = 0; i < PAGES; i++) {
        uint64_t before = PAGE + 1 + (uint64_t)rand_r(&seed) % messages, rest;
        struct store_query query = {before, PAGE, 256 << 10, NULL};
        int rows = 0;
        if (store_read(store, room, &query, count_row, &rows, &rest) != STORE_OK || rows != PAGE)
            die("a page is not whole");
    }
    printf("page of %d: %.3f ms of processor time, %.3f ms by the clock\n", PAGE,
           (double)(net_cpu_us() - cpu) / PAGES / 1e3,
           (double)(net_now_us() - clock) / PAGES / 1e3);
}

/* Goes on until something is found or all was looked at. */
static void measure_search(struct store *store, const struct store_room *room, const char *words)
{
    struct store_query query = {UINT64_MAX, 20, 256 << 10, words};
    int64_t cpu = net_cpu_us();
    int rows = 0, queries = 0;
    do {
        if (store_read(store, room, &query, count_row, &rows, &query.before) != STORE_OK)
            die("a search has failed");
        queries++;
    } while (rows == 0 && query.before > 0);
    printf("search \"%s\": %.1f ms of processor time, %d queries, %d found\n", words,
           (double)(net_cpu_us() - cpu) / 1e3, queries, rows);
}

int main(int argc, char **argv)
{
    char why[STORE_WHY_MAX];
    uint64_t messages = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    if (messages < PAGE)
        die("usage: bench_store MESSAGES FILE");
    struct store_options options = {
        .file = argv[2], .search = true, .messages = 10000000, .body_max = 65536};
    net_wake_init();
    struct store *store = store_open(&options, why);
    if (!store || !store_start(store))
        die(store ? "no thread" : why);
    long memory = memory_kib();
    struct store_room room = {.epoch = "0123456789abcdef0123456789abcdef"};
    if (store_room_open(store, "", &room) != STORE_OK || room.last_id > 0)
        die("expected a new file");
    measure_storing(store, &room, messages);
    measure_pages(store, &room, messages);
    net_wait(-1, 0, net_now() + INDEX_MS); /* the filters are made meanwhile */
    measure_search(store, &room, "needle");
    measure_search(store, &room, "not there");
    printf("memory: %ld KiB more than at the start\n", memory_kib() - memory);
    store_close(store, true);
    return 0;
}
