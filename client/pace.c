/* SPDX-License-Identifier: MIT
 *
 * pace.c - a sliding window over the last PACE_MAX messages, and a queue before it. One thread.
 */
#include "client/pace.h"

#include <stdlib.h>

void pace_fini(struct pace *pace)
{
    while (pace->first) {
        struct pace_message *message = pace->first;
        pace->first = message->next;
        free(message->json);
        free(message);
    }
    pace->waiting = 0;
}

int64_t pace_next(const struct pace *pace)
{
    return pace->count < PACE_MAX ? 0 : pace->sent[pace->count % PACE_MAX] + PACE_MS;
}

bool pace_take(struct pace *pace, int64_t now)
{
    if (now < pace_next(pace))
        return false;
    pace->sent[pace->count++ % PACE_MAX] = now;
    return true;
}

bool pace_push(struct pace *pace, char *json)
{
    struct pace_message **end = &pace->first;
    struct pace_message *message = NULL;
    if (json && pace->waiting < PACE_QUEUE_MAX)
        message = calloc(1, sizeof(*message));
    if (!message) {
        free(json);
        return false;
    }
    while (*end)
        end = &(*end)->next;
    message->json = json;
    *end = message;
    pace->waiting++;
    return true;
}

char *pace_pop(struct pace *pace, int64_t now)
{
    struct pace_message *message = pace->first;
    if (!message || !pace_take(pace, now))
        return NULL;
    char *json = message->json;
    pace->first = message->next;
    pace->waiting--;
    free(message);
    return json;
}
