/* SPDX-License-Identifier: MIT
 *
 * roster.h - the names in a room: the members, sorted by folded name.
 *
 * It is a treap: a search tree by name that is also a heap by random weights. Members cannot choose
 * the weights, so whatever names they take, its depth is that of a random tree: O(log n). The
 * nodes are in the members, so nothing here allocates or fails.
 *
 * The caller has the room's locks 2 and 3 (room.h) to change a roster, and one of them to read it.
 */
#ifndef ROSTER_H
#define ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct member;

struct roster {
    struct member *root;
    size_t count;
    uint64_t weights; /* state of the generator of weights, not 0 */
};

/* Makes an empty roster. Returns false when the system gives no random bytes. */
bool roster_init(struct roster *roster);

/* Finds the member of that folded name, or NULL. */
struct member *roster_find(const struct roster *roster, const char *fold);

/* Adds a member. None of the same folded name may be there. */
void roster_add(struct roster *roster, struct member *member);

/* Removes a member, which must be there. */
void roster_remove(struct roster *roster, struct member *member);

/* Puts `after` into the place of `before`, which must be there and has the same folded name. */
void roster_replace(struct roster *roster, struct member *before, struct member *after);

/* Where a walk begins: at the first name that is not less than `fold` or, if `behind` is true, at
 * the first one that is greater. */
struct roster_start {
    const char *fold;
    bool behind;
};

/* Visits members in the order of their folded names (bytes), until `visit` returns false. Takes
 * O(log n) steps and one for each visit. */
void roster_walk(const struct roster *roster, const struct roster_start *start,
                 bool (*visit)(void *context, struct member *member), void *context);

#endif
