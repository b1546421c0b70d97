/* SPDX-License-Identifier: MIT
 *
 * register.c - who is connected, as register.h promises it.
 *
 * Entered by the acceptor (take), by each client's thread (the rest) and by the main thread at the
 * end. What a refused client is told is admit.c's matter.
 */
#include "register.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metrics.h"

/* How many connections a household has (net_household). */
struct visitor {
    unsigned char household[NET_HOUSEHOLD];
    int count;
};

#define TOO_MANY "too many connections from your address"

/* Connections, in the order in which they came. */
struct register_list {
    struct register_entry *first, *last;
    int count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct config *settings;          /* [r] in force */
static pthread_cond_t given;                   /* a place was given back */
static struct register_list newcomers, others; /* [r] who may be told to give way, and who not */
static void *visitors;                         /* [r] a tree (search.h) */
static int places, spare_places;               /* [r] taken */
static uint64_t last_number;                   /* [r] */
static bool stopping;                          /* [r] nobody is welcome any more */
static bool cutting;                           /* [r] and nobody is told so any more */

void register_init(const struct config *config)
{
    pthread_condattr_t monotonic;
    settings = config;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&given, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void register_adopt(const struct config *config)
{
    pthread_mutex_lock(&lock);
    settings = config;
    pthread_mutex_unlock(&lock);
}

/* ---- The lists ---- */

static void append(struct register_list *list, struct register_entry *entry)
{
    entry->in = list;
    entry->next = NULL;
    entry->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = entry;
    list->last = entry;
    list->count++;
}

static void take_out(struct register_entry *entry)
{
    struct register_list *list = entry->in;
    *(entry->previous ? &entry->previous->next : &list->first) = entry->next;
    *(entry->next ? &entry->next->previous : &list->last) = entry->previous;
    list->count--;
    entry->in = NULL;
}

/* It is a newcomer no more: it has joined, or gives way. */
static void settle(struct register_entry *entry)
{
    take_out(entry);
    append(&others, entry);
}

/* ---- Places ---- */

static int by_household(const void *a, const void *b)
{
    const struct visitor *one = a, *other = b;
    return memcmp(one->household, other->household, NET_HOUSEHOLD);
}

/* The entry of an address, made if need be. Returns NULL when memory is out. */
static struct visitor *visitor_of(const struct sockaddr_storage *peer)
{
    struct visitor *visitor = calloc(1, sizeof(*visitor));
    if (!visitor)
        return NULL;
    net_household(peer, visitor->household);
    struct visitor **node = tsearch(visitor, &visitors, by_household);
    struct visitor *known = node ? *node : NULL;
    if (known != visitor)
        free(visitor);
    return known;
}

static void visitor_leaves(const struct sockaddr_storage *peer)
{
    struct visitor key;
    net_household(peer, key.household);
    struct visitor *visitor = *(struct visitor **)tfind(&key, &visitors, by_household);
    if (--visitor->count > 0)
        return;
    tdelete(visitor, &visitors, by_household);
    free(visitor);
}

bool register_exempts(const struct sockaddr_storage *peer, const struct config *config)
{
    return (config->exempt_loopback && net_reach(peer) == NET_REACH_HOST) ||
           address_in(peer, &config->trusted_proxies);
}

/* Counts one more visit of entry->peer, and says whether that is too many. Returns false when memory is
 * out. */
static bool count_visit(struct register_entry *entry, bool *over)
{
    struct visitor *visitor = visitor_of(&entry->peer);
    int most = settings->max_clients_per_address;
    if (!visitor)
        return false;
    entry->counted = true;
    visitor->count++;
    *over = most && visitor->count > most && !register_exempts(&entry->peer, settings);
    return true;
}

static void uncount_visit(struct register_entry *entry)
{
    if (entry->counted)
        visitor_leaves(&entry->peer);
    entry->counted = false;
}

static void tell_to_give_way(struct register_entry *entry)
{
    if (entry->ending)
        outbox_hurry(entry->out);
    else
        outbox_close(entry->out, WS_CODE_TRY_LATER, "too many are on their way in");
}

static int newcomers_max(void)
{
    int share = settings->max_clients / REGISTER_NEWCOMERS;
    return share > REGISTER_NEWCOMERS_LEAST ? share : REGISTER_NEWCOMERS_LEAST;
}

/* Sees to it that there is a place for one more newcomer. */
static void make_way(void)
{
    struct register_entry *oldest = newcomers.first;
    if (newcomers.count < newcomers_max())
        return;
    oldest->gave_way = true;
    settle(oldest);
    if (oldest->out)
        tell_to_give_way(oldest);
}

static void refuse(struct register_entry *entry, int status, const char *why)
{
    entry->refusal = status;
    entry->why = why;
}

/* Refuses one who comes and is over a limit; `over`: that of its address. */
static void judge(struct register_entry *entry, bool over)
{
    if (stopping)
        refuse(entry, 503, "the server is shutting down");
    else if (places >= settings->max_clients)
        refuse(entry, 503, "the server is full");
    else if (over)
        refuse(entry, 429, TOO_MANY);
    else
        make_way();
    entry->spare = entry->refusal;
}

static bool take_locked(struct register_entry *entry)
{
    bool over;
    if (!count_visit(entry, &over))
        return false;
    judge(entry, over);
    if (entry->spare && spare_places >= REGISTER_SPARE) {
        uncount_visit(entry);
        return false;
    }
    *(entry->spare ? &spare_places : &places) += 1;
    append(entry->spare ? &others : &newcomers, entry);
    entry->number = ++last_number;
    metrics_add(METRIC_CONNECTIONS, 1);
    return true;
}

bool register_take(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    bool taken = take_locked(entry);
    pthread_mutex_unlock(&lock);
    return taken;
}

void register_joined(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    settle(entry);
    pthread_mutex_unlock(&lock);
}

void register_move(struct register_entry *entry, const struct sockaddr_storage *address)
{
    bool over = false;
    pthread_mutex_lock(&lock);
    uncount_visit(entry);
    entry->peer = *address;
    if (!count_visit(entry, &over))
        refuse(entry, 503, "the server is out of memory");
    else if (over && !entry->refusal)
        refuse(entry, 429, TOO_MANY);
    pthread_mutex_unlock(&lock);
}

void register_give(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    uncount_visit(entry);
    *(entry->spare ? &spare_places : &places) -= 1;
    metrics_add(METRIC_CONNECTIONS, -1);
    pthread_cond_signal(&given);
    pthread_mutex_unlock(&lock);
}

/* ---- From beginning to end ---- */

/* Who is being refused is told so by its answer; it has until register_cut. Who is ending already has
 * heard enough. */
static void tell_stop(struct register_entry *entry)
{
    if (!entry->ending && (!entry->refusal || cutting))
        outbox_close(entry->out, WS_CODE_GOING_AWAY, "the server is shutting down");
}

/* Does something with each connection that can be told. */
static void each(const struct register_list *list, void (*tell)(struct register_entry *entry))
{
    for (struct register_entry *entry = list->first; entry; entry = entry->next)
        if (entry->out)
            tell(entry);
}

static void tell_all(void (*tell)(struct register_entry *entry))
{
    each(&newcomers, tell);
    each(&others, tell);
}

static void wake(struct register_entry *entry)
{
    outbox_wake(entry->out);
}

void register_enlist(struct register_entry *entry, struct outbox *out)
{
    pthread_mutex_lock(&lock);
    entry->out = out;
    if (entry->gave_way)
        tell_to_give_way(entry);
    else if (stopping)
        tell_stop(entry);
    pthread_mutex_unlock(&lock);
}

bool register_ending(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    bool gave_way = entry->gave_way;
    entry->ending = true;
    pthread_mutex_unlock(&lock);
    return gave_way;
}

void register_delist(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    if (entry->in)
        take_out(entry);
    pthread_mutex_unlock(&lock);
}

void register_wake(void)
{
    pthread_mutex_lock(&lock);
    tell_all(wake);
    pthread_mutex_unlock(&lock);
}

void register_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    tell_all(tell_stop);
    pthread_mutex_unlock(&lock);
}

bool register_stopping(void)
{
    pthread_mutex_lock(&lock);
    bool answer = stopping;
    pthread_mutex_unlock(&lock);
    return answer;
}

/* Waits until *count and *more are 0, or for `until`. The lock is held. */
static void wait_locked(const int *count, const int *more, int64_t until)
{
    struct timespec end = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    int timed_out = 0;
    while (*count + *more > 0 && !timed_out)
        timed_out = pthread_cond_timedwait(&given, &lock, &end);
}

void register_wait(int64_t until)
{
    static const int none = 0;
    pthread_mutex_lock(&lock);
    wait_locked(&places, &none, until);
    pthread_mutex_unlock(&lock);
}

int register_cut(int64_t until)
{
    pthread_mutex_lock(&lock);
    cutting = true;
    tell_all(tell_stop);
    wait_locked(&places, &spare_places, until);
    int left = places + spare_places;
    pthread_mutex_unlock(&lock);
    return left;
}
