/* SPDX-License-Identifier: MIT
 *
 * registry.c - the list of connected clients, and the limits on their number.
 *
 * Entered by the acceptor (reserve), by each client's thread (the rest) and by the main thread when
 * the server stops. Takes the registry's lock, and the locks of streams under it. upgrade.c sends
 * the refusals.
 */
#include "server/registry.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/metrics.h"
#include "net/random.h"

/* The numbers of connections of an address, the narrowest source of address.h. */
struct address_count {
    struct address_block address;
    int count;    /* of all */
    int upgraded; /* of those that are WebSockets */
};

#define TOO_MANY "too many connections from your address"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct config *settings;      /* [r] in force */
static pthread_cond_t given;               /* a place was released */
static struct registry_slot *first, *last; /* [r] all connections, oldest first */
static struct newcomers newcomers;         /* [r] connections that may be evicted, by source */
static uint64_t chance;                    /* [r] state of random_below */
static void *address_counts;               /* [r] a tree (search.h) */
static int places, spare_places;           /* [r] numbers of those taken */
static uint64_t last_number;               /* [r] */
static bool stopping;                      /* [r] new connections get 503 */
static bool cutting;                       /* [r] refusals are cut off, too */

void registry_init(const struct config *config)
{
    settings = config;
    if (!random_bytes(&chance, sizeof(chance)) || chance == 0)
        chance = 1;
    net_cond_init(&given);
}

void registry_set_config(const struct config *config)
{
    pthread_mutex_lock(&lock);
    settings = config;
    pthread_mutex_unlock(&lock);
}

/* ---- The list ---- */

static void append_slot(struct registry_slot *entry)
{
    entry->next = NULL;
    entry->previous = last;
    if (last)
        last->next = entry;
    else
        first = entry;
    last = entry;
}

static void unlink_slot(struct registry_slot *entry)
{
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    else
        last = entry->previous;
}

/* ---- Places ---- */

static int by_address(const void *a, const void *b)
{
    const struct address_count *one = a, *other = b;
    return memcmp(one->address.bytes, other->address.bytes, ADDRESS_BYTES);
}

/* Finds or makes the count of an address. Returns NULL when memory is out. */
static struct address_count *count_of_address(const struct sockaddr_storage *peer)
{
    struct address_count *counted = calloc(1, sizeof(*counted));
    if (!counted)
        return NULL;
    address_source(peer, 0, &counted->address);
    struct address_count **node = tsearch(counted, &address_counts, by_address);
    struct address_count *known = node ? *node : NULL;
    if (known != counted)
        free(counted);
    return known;
}

bool registry_exempts(const struct sockaddr_storage *peer, const struct config *config)
{
    return (config->exempt_loopback && net_reach(peer) == NET_REACH_HOST) ||
           address_in(peer, &config->trusted_proxies);
}

bool registry_unguarded(const struct sockaddr_storage *peer, const struct config *config)
{
    return config->exempt_loopback && net_reach(peer) == NET_REACH_HOST &&
           !address_in(peer, &config->trusted_proxies);
}

bool registry_limits(const struct sockaddr_storage *peer, const struct config *config)
{
    return config->max_clients_per_address > 0 && !registry_exempts(peer, config);
}

/* Counts one more connection of entry->peer's address; *over says whether it has all its WebSockets
 * already, or too many other connections. Returns false when memory is out. */
static bool count_address(struct registry_slot *entry, bool *over)
{
    struct address_count *counted = count_of_address(&entry->peer);
    int most = settings->max_clients_per_address, others = REGISTRY_PAGES * most;
    if (!counted)
        return false;
    entry->counted = true;
    counted->count++;
    if (others < REGISTRY_NEWCOMERS_LEAST)
        others = REGISTRY_NEWCOMERS_LEAST;
    bool full = counted->upgraded >= most || counted->count - counted->upgraded > others;
    *over = full && registry_limits(&entry->peer, settings);
    return true;
}

/* The count of an address that has one. */
static struct address_count *find_count(const struct sockaddr_storage *peer)
{
    struct address_count key;
    address_source(peer, 0, &key.address);
    return *(struct address_count **)tfind(&key, &address_counts, by_address);
}

static void uncount_address(struct registry_slot *entry)
{
    if (!entry->counted)
        return;
    struct address_count *counted = find_count(&entry->peer);
    counted->upgraded -= entry->upgraded;
    entry->counted = entry->upgraded = false;
    if (--counted->count > 0)
        return;
    tdelete(counted, &address_counts, by_address);
    free(counted);
}

static void tell_to_give_way(struct registry_slot *entry)
{
    if (entry->ending)
        outbox_cancel(entry->out);
    else
        outbox_close(entry->out, WS_CODE_TRY_LATER, "too many are on their way in");
}

static int newcomers_max(void)
{
    int share = settings->max_clients / REGISTRY_NEWCOMERS;
    return share > REGISTRY_NEWCOMERS_LEAST ? share : REGISTRY_NEWCOMERS_LEAST;
}

static void evict_newcomer(struct newcomer *victim)
{
    struct registry_slot *entry = victim->context;
    entry->evicted = true;
    newcomers_remove(&newcomers, victim);
    if (entry->out)
        tell_to_give_way(entry);
}

/* A random number below `limit` (xorshift64; guessing it would gain an attacker little). */
static int random_below(int limit)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (int)(chance % (uint64_t)limit);
}

/* Whether the heaviest source has many newcomers and is subject to limits by source. */
static bool is_crowd(void)
{
    const struct newcomer *victim = newcomers_victim(&newcomers);
    const struct registry_slot *entry = victim ? victim->context : NULL;
    return entry && newcomers_heaviest(&newcomers) > REGISTRY_NEWCOMERS_LEAST &&
           registry_limits(&entry->peer, settings);
}

/* Whether a newcomer must be evicted for one more: always when the share is full, before that with
 * a probability. */
static bool is_crowded(void)
{
    int most = newcomers_max(), over = newcomers.count - most / 2;
    if (newcomers.count >= most)
        return true;
    return over > 0 && random_below(most - most / 2) < over && is_crowd();
}

/* Evicts other newcomers of its source if that has too many at a level. */
static void limit_source(const struct registry_slot *entry)
{
    if (!registry_limits(&entry->peer, settings))
        return;
    for (int level = 0; level < entry->newcomer.levels; level++) {
        int most = newcomers_max() * (level == 0 ? REGISTRY_SOURCE : REGISTRY_WIDE) / 4;
        if (most < REGISTRY_NEWCOMERS_LEAST)
            most = REGISTRY_NEWCOMERS_LEAST;
        if (newcomers_of_source(&entry->newcomer, level) > most)
            evict_newcomer(newcomers_victim_of_source(&entry->newcomer, level));
    }
}

/* Makes it a newcomer, and evicts another one if needed. Returns false when memory is out. */
static bool enter_newcomers(struct registry_slot *entry)
{
    if (is_crowded())
        evict_newcomer(newcomers_victim(&newcomers));
    entry->newcomer.context = entry;
    if (!newcomers_add(&newcomers, &entry->newcomer, &entry->peer, entry->number, NEWCOMER_SILENT))
        return false;
    limit_source(entry);
    return true;
}

static void refuse_client(struct registry_slot *entry, int status, const char *why)
{
    entry->refusal = status;
    entry->why = why;
}

/* Refuses a new connection over a limit; `over`: it is over that of its address. */
static void apply_limits(struct registry_slot *entry, bool over)
{
    if (stopping)
        refuse_client(entry, 503, "the server is shutting down");
    else if (places >= settings->max_clients)
        refuse_client(entry, 503, "the server is full");
    else if (over)
        refuse_client(entry, 429, TOO_MANY);
    entry->spare = entry->refusal;
}

/* The counter of its kind of place. */
static int *place_count(const struct registry_slot *entry)
{
    return entry->spare ? &spare_places : &places;
}

static bool reserve_locked(struct registry_slot *entry)
{
    bool over;
    if (!count_address(entry, &over))
        return false;
    apply_limits(entry, over);
    entry->number = ++last_number;
    if (entry->spare ? spare_places >= REGISTRY_SPARE : !enter_newcomers(entry)) {
        uncount_address(entry);
        return false;
    }
    *place_count(entry) += 1;
    append_slot(entry);
    metrics_add(METRIC_CONNECTIONS, 1);
    return true;
}

void registry_probe(void)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}

bool registry_reserve(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    bool taken = reserve_locked(entry);
    pthread_mutex_unlock(&lock);
    return taken;
}

void registry_set_stage(struct registry_slot *entry, enum newcomer_stage stage)
{
    pthread_mutex_lock(&lock);
    newcomers_set_stage(&newcomers, &entry->newcomer, stage);
    pthread_mutex_unlock(&lock);
}

void registry_joined(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    newcomers_remove(&newcomers, &entry->newcomer);
    pthread_mutex_unlock(&lock);
}

void registry_upgrade(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    struct address_count *counted = entry->counted ? find_count(&entry->peer) : NULL;
    bool limited = registry_limits(&entry->peer, settings);
    if (limited && counted && counted->upgraded >= settings->max_clients_per_address) {
        refuse_client(entry, 429, TOO_MANY);
    } else if (counted) {
        counted->upgraded++;
        entry->upgraded = true;
    }
    pthread_mutex_unlock(&lock);
}

void registry_move(struct registry_slot *entry, const struct sockaddr_storage *address)
{
    bool over = false;
    struct newcomer *newcomer = &entry->newcomer;
    pthread_mutex_lock(&lock);
    uncount_address(entry);
    entry->peer = *address;
    if (!count_address(entry, &over))
        refuse_client(entry, 503, "the server is out of memory");
    else if (over && !entry->refusal)
        refuse_client(entry, 429, TOO_MANY);
    if (newcomer->levels > 0) { /* count it for its new address */
        newcomers_remove(&newcomers, newcomer);
        if (newcomers_add(&newcomers, newcomer, address, entry->number, newcomer->stage))
            limit_source(entry);
        else
            refuse_client(entry, 503, "the server is out of memory");
    }
    pthread_mutex_unlock(&lock);
}

void registry_release(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    uncount_address(entry);
    *place_count(entry) -= 1;
    metrics_add(METRIC_CONNECTIONS, -1);
    pthread_cond_signal(&given);
    pthread_mutex_unlock(&lock);
}

/* ---- Stopping ---- */

/* Closes a connection because the server stops. One that is being refused is told by its answer,
 * and has until registry_cut. One that is ending already is left alone. */
static void tell_stop(struct registry_slot *entry)
{
    if (!entry->ending && (!entry->refusal || cutting))
        outbox_close(entry->out, WS_CODE_GOING_AWAY, "the server is shutting down");
}

/* Calls `tell` for each connection that is enlisted. */
static void tell_all(void (*tell)(struct registry_slot *entry))
{
    for (struct registry_slot *entry = first; entry; entry = entry->next)
        if (entry->out)
            tell(entry);
}

static void wake_client(struct registry_slot *entry)
{
    outbox_wake(entry->out);
}

void registry_enlist(struct registry_slot *entry, struct outbox *out)
{
    pthread_mutex_lock(&lock);
    entry->out = out;
    if (entry->evicted)
        tell_to_give_way(entry);
    else if (stopping)
        tell_stop(entry);
    pthread_mutex_unlock(&lock);
}

bool registry_ending(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    bool evicted = entry->evicted;
    entry->ending = true;
    pthread_mutex_unlock(&lock);
    return evicted;
}

void registry_delist(struct registry_slot *entry)
{
    pthread_mutex_lock(&lock);
    newcomers_remove(&newcomers, &entry->newcomer);
    unlink_slot(entry);
    pthread_mutex_unlock(&lock);
}

void registry_wake(void)
{
    pthread_mutex_lock(&lock);
    tell_all(wake_client);
    pthread_mutex_unlock(&lock);
}

void registry_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    tell_all(tell_stop);
    pthread_mutex_unlock(&lock);
}

bool registry_stopping(void)
{
    pthread_mutex_lock(&lock);
    bool answer = stopping;
    pthread_mutex_unlock(&lock);
    return answer;
}

/* Waits until *count and *more are 0, or until `until`. The lock is held. */
static void wait_locked(const int *count, const int *more, int64_t until)
{
    const struct timespec end = net_timespec(until);
    int timed_out = 0;
    while (*count + *more > 0 && !timed_out)
        timed_out = pthread_cond_timedwait(&given, &lock, &end);
}

void registry_wait(int64_t until)
{
    static const int none = 0;
    pthread_mutex_lock(&lock);
    wait_locked(&places, &none, until);
    pthread_mutex_unlock(&lock);
}

int registry_cut(int64_t until)
{
    pthread_mutex_lock(&lock);
    cutting = true;
    tell_all(tell_stop);
    wait_locked(&places, &spare_places, until);
    int left = places + spare_places;
    pthread_mutex_unlock(&lock);
    return left;
}
