/* SPDX-License-Identifier: MIT
 *
 * roster.c - the members of a room by folded name, as a treap (Aragon and Seidel, 1989).
 *
 * Each client's thread enters it, with the locks that roster.h names. Takes none, and does no I/O.
 */
#include "room/roster.h"

#include <string.h>

#include "net/random.h"
#include "room.h"

bool roster_init(struct roster *roster)
{
    *roster = (struct roster){.root = NULL};
    bool random = random_bytes(&roster->weights, sizeof(roster->weights));
    roster->weights |= 1;
    return random;
}

/* xorshift64* (Marsaglia; Vigna). Members never see a weight, so they cannot predict the next. */
static uint32_t next_weight(struct roster *roster)
{
    uint64_t x = roster->weights;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    roster->weights = x;
    return (uint32_t)((x * 0x2545F4914F6CDD1DU) >> 32);
}

/* The link to the member, or where it would be. A link to NULL: nobody has that name. */
static struct member **find_link(struct member **link, const char *fold)
{
    int order;
    while (*link && (order = strcmp(fold, (*link)->fold)) != 0)
        link = order < 0 ? &(*link)->roster.left : &(*link)->roster.right;
    return link;
}

struct member *roster_find(const struct roster *roster, const char *fold)
{
    struct member *root = roster->root;
    return *find_link(&root, fold);
}

/* Splits a tree without `fold` into what is less and what is greater. */
static void split(struct member *tree, const char *fold, struct member **less,
                  struct member **greater)
{
    while (tree) {
        if (strcmp(tree->fold, fold) < 0) {
            *less = tree;
            less = &tree->roster.right;
            tree = tree->roster.right;
        } else {
            *greater = tree;
            greater = &tree->roster.left;
            tree = tree->roster.left;
        }
    }
    *less = *greater = NULL;
}

void roster_add(struct roster *roster, struct member *member)
{
    struct member **link = &roster->root;
    member->roster.weight = next_weight(roster);
    while (*link && (*link)->roster.weight >= member->roster.weight)
        link = strcmp(member->fold, (*link)->fold) < 0 ? &(*link)->roster.left
                                                       : &(*link)->roster.right;
    split(*link, member->fold, &member->roster.left, &member->roster.right);
    *link = member;
    roster->count++;
}

void roster_remove(struct roster *roster, struct member *member)
{
    struct member **link = find_link(&roster->root, member->fold);
    struct member *less = member->roster.left, *greater = member->roster.right;
    while (less && greater) {
        if (less->roster.weight >= greater->roster.weight) {
            *link = less;
            link = &less->roster.right;
            less = less->roster.right;
        } else {
            *link = greater;
            link = &greater->roster.left;
            greater = greater->roster.left;
        }
    }
    *link = less ? less : greater;
    roster->count--;
}

void roster_replace(struct roster *roster, struct member *before, struct member *after)
{
    *find_link(&roster->root, before->fold) = after;
    after->roster = before->roster;
}

/* Walks a tree from `start` (NULL: all of it). Recurses into what is less, so as deep as the tree.
 * Returns false when the walk is over. */
static bool walk_tree(struct member *tree, const struct roster_start *start,
                      bool (*visit)(void *context, struct member *member), void *context)
{
    for (; tree; tree = tree->roster.right) {
        int order = start ? strcmp(tree->fold, start->fold) : 1;
        if (order < 0 || (order == 0 && start->behind))
            continue;
        if (!walk_tree(tree->roster.left, start, visit, context) || !visit(context, tree))
            return false;
        start = NULL; /* the rest is greater than this one */
    }
    return true;
}

void roster_walk(const struct roster *roster, const struct roster_start *start,
                 bool (*visit)(void *context, struct member *member), void *context)
{
    walk_tree(roster->root, start, visit, context);
}
