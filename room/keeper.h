/* SPDX-License-Identifier: MIT
 *
 * keeper.h - history that survives: stores the broadcasts of rooms in the history file (store.h).
 *
 * The disk is one more reader of a room's ring, moved by the keeper's thread. The ring is held:
 * members get what is stored, and no more. When storing fails the chat goes on: rings are released,
 * the keeper tries again every second, and members are told (State).
 *
 * Without a history file nothing here does anything: there is no thread, and no room is stored.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct frame;
struct member;
struct room;
struct store;

enum {
    KEEPER_BATCH_BYTES = 1 << 20, /* stored in one commit, or one message */
    KEEPER_BATCH_MESSAGES = 2000, /* the same */
    KEEPER_RETRY_MS = 1000,       /* from a failure to the next attempt */
    KEEPER_STOP_MS = 5000,        /* for storing what is left when the server stops */
    KEEPER_WAIT_MS = 10 * 1000,   /* for a place in the ring; then the sender is closed (1013) */
};

/* ---- For the main thread ---- */

/* Opens config->history_file, unless that is "". Must be called before rooms_init and the sandbox.
 * Returns 0, or -1 and an error of one line in `error` (CONFIG_ERROR_MAX bytes). */
int keeper_open(const struct config *config, char *error);

/* Starts the threads. Must be called after rooms_init, in the sandbox. Returns 0, or -1 when there
 * is no thread or memory. */
int keeper_start(void);

/* Switches to other limits of the history. */
void keeper_set_config(const struct config *config);

/* Waits until everything that was accepted is stored, or storing it has failed once more; at most
 * until `until` (net_now). Must be called after rooms_stop. */
void keeper_finish(int64_t until);

/* Ends the threads and closes the file. Must be called when no client is left. Returns false when
 * the keeper is still waiting for the disk: then nothing is closed, and nothing may be freed. */
bool keeper_close(void);

/* ---- For the rooms ---- */

/* The history file; NULL: there is none. */
struct store *keeper_store(void);

/* Whether the file turned out to be damaged, so that nothing is stored any more. */
bool keeper_has_given_up(void);

/* Loads a room that is to be stored: finds it in the file, takes over its epoch and last Id, and
 * fills its ring with its newest messages. The first client to come does that; others wait for it.
 * Called without a lock, because it waits for the disk. A room that cannot be found in the file is
 * not stored. */
void keeper_load(struct room *room);

/* Must be called after an append: the keeper will store it. The caller has a reference to the
 * room. */
void keeper_notify(struct room *room);

/* Whether the keeper will fan out what was appended, once it is stored. */
bool keeper_fans_out(struct room *room);

/* Counts what the keeper has done; and waits, at most until `until` (net_now), while it has done no
 * more than `seen`. Returns false when it has not. Called without a lock. */
uint64_t keeper_moves(void);
bool keeper_await(uint64_t seen, int64_t until);

/* Whether a message of the member must wait until the keeper has moved: its thread is woken then.
 * Broadcasts wait while a quarter of the ring is not stored; all messages wait while anything is
 * not stored and half of the member's queue is full, because their answers would make it too slow.
 */
bool keeper_must_wait(struct member *member, bool broadcast);

/* Whether members of the room must know that it is not being stored, although it should be. */
bool keeper_fails(const struct room *room);

/* The frame of a State; NULL when memory is out. */
struct frame *keeper_state_frame(bool fails);

#endif
