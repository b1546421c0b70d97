/* SPDX-License-Identifier: MIT
 *
 * register.c - who is connected, as register.h promises it.
 *
 * Entered by the acceptor (take), by each client's thread (the rest) and by the main thread at the
 * end. What a refused client is told is client.c's matter.
 */
#include "register.h"

#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many connections an address has. */
struct visitor {
    unsigned char address[16]; /* IPv4 as ::ffff:1.2.3.4; of IPv6 the /64, which is one household */
    int count;
};

static const struct config *settings; /* [I] */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given;        /* a place was given back */
static struct register_entry *list; /* [r] */
static void *visitors;              /* [r] a tree (search.h) */
static int places, spare_places;    /* [r] taken */
static uint64_t last_number;        /* [r] */
static bool stopping;               /* [r] */

void register_init(const struct config *config)
{
    pthread_condattr_t monotonic;
    settings = config;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&given, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* ---- Places ---- */

static void address_key(const struct sockaddr_storage *peer, unsigned char key[16])
{
    memset(key, 0, 16);
    if (peer->ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)peer)->sin6_addr;
        memcpy(key, in6->s6_addr, IN6_IS_ADDR_V4MAPPED(in6) ? 16 : 8);
    } else {
        key[10] = key[11] = 0xFF;
        memcpy(key + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    }
}

static int by_address(const void *a, const void *b)
{
    return memcmp(((const struct visitor *)a)->address, ((const struct visitor *)b)->address, 16);
}

/* The entry of an address, made if need be. Returns NULL when memory is out. */
static struct visitor *visitor_of(const struct sockaddr_storage *peer)
{
    struct visitor *visitor = calloc(1, sizeof(*visitor));
    if (!visitor)
        return NULL;
    address_key(peer, visitor->address);
    struct visitor **node = tsearch(visitor, &visitors, by_address);
    struct visitor *known = node ? *node : NULL;
    if (known != visitor)
        free(visitor);
    return known;
}

static void visitor_leaves(const struct sockaddr_storage *peer)
{
    struct visitor key;
    address_key(peer, key.address);
    struct visitor *visitor = *(struct visitor **)tfind(&key, &visitors, by_address);
    if (--visitor->count > 0)
        return;
    tdelete(visitor, &visitors, by_address);
    free(visitor);
}

/* Says which limit a newcomer is over, if any. */
static void judge(struct register_entry *entry, int visits)
{
    int most = settings->max_clients_per_address;
    entry->refusal = 503;
    if (stopping) {
        entry->why = "the server is shutting down";
    } else if (places >= settings->max_clients) {
        entry->why = "the server is full";
    } else if (most && visits > most) {
        entry->refusal = 429;
        entry->why = "too many connections from your address";
    } else {
        entry->refusal = 0;
    }
}

static bool take_locked(struct register_entry *entry)
{
    struct visitor *visitor = visitor_of(&entry->peer);
    if (!visitor)
        return false;
    judge(entry, ++visitor->count);
    if (entry->refusal && spare_places >= REGISTER_SPARE) {
        visitor_leaves(&entry->peer);
        return false;
    }
    *(entry->refusal ? &spare_places : &places) += 1;
    entry->number = ++last_number;
    return true;
}

bool register_take(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    bool taken = take_locked(entry);
    pthread_mutex_unlock(&lock);
    return taken;
}

void register_give(const struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    visitor_leaves(&entry->peer);
    *(entry->refusal ? &spare_places : &places) -= 1;
    pthread_cond_signal(&given);
    pthread_mutex_unlock(&lock);
}

/* ---- The list ---- */

static void tell_stop(struct register_entry *entry)
{
    outbox_close(entry->out, WS_CODE_GOING_AWAY, "the server is shutting down");
}

void register_enlist(struct register_entry *entry, struct outbox *out)
{
    pthread_mutex_lock(&lock);
    entry->out = out;
    entry->next = list;
    if (list)
        list->previous = entry;
    list = entry;
    if (stopping)
        tell_stop(entry);
    pthread_mutex_unlock(&lock);
}

void register_delist(struct register_entry *entry)
{
    pthread_mutex_lock(&lock);
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        list = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    pthread_mutex_unlock(&lock);
}

void register_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    for (struct register_entry *entry = list; entry; entry = entry->next)
        tell_stop(entry);
    pthread_mutex_unlock(&lock);
}

int register_wait(int64_t until)
{
    struct timespec end = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    int timed_out = 0;
    pthread_mutex_lock(&lock);
    while (places + spare_places > 0 && !timed_out)
        timed_out = pthread_cond_timedwait(&given, &lock, &end);
    int left = places + spare_places;
    pthread_mutex_unlock(&lock);
    return left;
}
