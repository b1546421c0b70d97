/* SPDX-License-Identifier: MIT
 *
 * bridge.h - rooms that are shared with other servers, through the engine (cluster/engine.h).
 *
 * What a member says, its join and its leave become calls, which the writer's thread sends. What
 * happens in a room is what its log says, in that order, on all servers: reader threads read the
 * logs and apply the entries. So a member's own words come back through the log like everybody's.
 *
 * Without `cluster_engine` nothing here does anything: there is no thread, and room->link is NULL.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct frame;
struct member;

enum {
    BRIDGE_AWAY_MS = 3000,   /* silence of the engine after which members are told, and nobody can
                               * join */
    BRIDGE_ILL_MS = 10000,   /* silence after which /healthz fails */
    BRIDGE_LOAD_MS = 5000,   /* for opening a room */
    BRIDGE_JOIN_MS = 5000,   /* for a join to appear in the log */
    BRIDGE_FINISH_MS = 5000, /* for sending what was accepted when the server stops */
    BRIDGE_CLOSE_MS = 2000,  /* for the last leaves */
    BRIDGE_TELLS_MAX = 4096, /* private messages of a room without an outcome; with more, or more
                              * than cluster_queue_bytes of all rooms, the receiver is busy */
};

/* ---- For the main thread ---- */

/* Reads the settings and looks up the engine's address, unless cluster_engine is "". Tries to reach
 * the engine once; if that fails, the server starts all the same, but a refused log-in or settings
 * that differ from those of other servers are errors. Must be called before rooms_init and the
 * sandbox. Returns 0, or -1 and an error of one line in `error` (CONFIG_ERROR_MAX bytes). */
int bridge_open(const struct config *config, char *error);

/* Starts the threads. Must be called after rooms_init, in the sandbox. Returns 0, or -1 when there
 * is no thread or memory. */
int bridge_start(void);

/* Waits until the engine has everything that was accepted, at most until `until` (net_now). Must be
 * called after rooms_stop. */
void bridge_finish(int64_t until);

/* Sends what is left, in BRIDGE_CLOSE_MS. If all clients have left (`all_left`), ends the threads
 * and frees everything; else the process must end. */
void bridge_close(bool all_left);

/* ---- For any thread ---- */

/* Whether rooms are shared. */
bool bridge_is_on(void);

/* For how many milliseconds the engine has not answered although it should have; 0 if rooms are not
 * shared. */
int64_t bridge_silence_ms(void);

/* Whether the member must not be read, because too much waits for the engine: its thread is woken
 * when that is over. */
bool bridge_must_wait(struct member *member);

#endif
