/* SPDX-License-Identifier: MIT
 *
 * ticket_keys.c - the keys that encrypt TLS session tickets, and their replacement.
 *
 * Entered by the threads that run TLS handshakes. Takes the lock of the keys, a leaf. A key that is
 * too old is wiped at the next handshake, whichever that is.
 */
#include "net/ticket_keys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/random.h"

struct ticket_keys {
    pthread_mutex_t lock;
    int count;                  /* [k] keys that there are: 0 to 2 */
    struct ticket_key known[2]; /* [k] the newest, and the one before it */
    int64_t since[2];           /* [k] when they were made */
};

struct ticket_keys *ticket_keys_new(void)
{
    struct ticket_keys *keys = calloc(1, sizeof(*keys));
    if (keys)
        pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

void ticket_keys_free(struct ticket_keys *keys)
{
    if (!keys)
        return;
    pthread_mutex_destroy(&keys->lock);
    explicit_bzero(keys, sizeof(*keys));
    free(keys);
}

/* Wipes keys that have had their time, two periods after they were made. */
static void wipe_old(struct ticket_keys *keys, int64_t now)
{
    for (; keys->count > 0 && now >= keys->since[keys->count - 1] + 2 * TICKET_PERIOD_MS;
         keys->count--)
        explicit_bzero(&keys->known[keys->count - 1], sizeof(keys->known[0]));
}

/* Makes the key that seals, if there is none or it has sealed for a period. */
static bool renew_ticket_key(struct ticket_keys *keys, int64_t now)
{
    struct ticket_key fresh;
    if (keys->count > 0 && now < keys->since[0] + TICKET_PERIOD_MS)
        return true;
    bool made = random_bytes(fresh.name, sizeof(fresh.name)) &&
                random_bytes(fresh.cipher, sizeof(fresh.cipher)) &&
                random_bytes(fresh.mac, sizeof(fresh.mac));
    if (made) {
        keys->known[1] = keys->known[0];
        keys->since[1] = keys->since[0];
        keys->known[0] = fresh;
        keys->since[0] = now;
        keys->count = keys->count > 0 ? 2 : 1;
    }
    explicit_bzero(&fresh, sizeof(fresh));
    return made;
}

bool ticket_keys_current(struct ticket_keys *keys, int64_t now, struct ticket_key *key)
{
    pthread_mutex_lock(&keys->lock);
    wipe_old(keys, now);
    bool found = renew_ticket_key(keys, now);
    if (found)
        *key = keys->known[0];
    pthread_mutex_unlock(&keys->lock);
    return found;
}

bool ticket_keys_find(struct ticket_keys *keys, int64_t now,
                      const unsigned char name[TICKET_NAME_BYTES], struct ticket_key *key)
{
    bool found = false;
    pthread_mutex_lock(&keys->lock);
    wipe_old(keys, now);
    for (int i = 0; i < keys->count && !found; i++) {
        found = memcmp(keys->known[i].name, name, TICKET_NAME_BYTES) == 0;
        if (found)
            *key = keys->known[i];
    }
    pthread_mutex_unlock(&keys->lock);
    return found;
}
