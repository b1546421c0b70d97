/* SPDX-License-Identifier: MIT
 *
 * tcache.h - disables glibc's per-thread malloc cache.
 */
#ifndef TCACHE_H
#define TCACHE_H

/* Executes the program again with the cache disabled, and then does not return. Returns if that is
 * done already, has no effect, or is not possible (tcache.c lists the cases); the program works all
 * the same. `argv` is main's. Must be called first in main, before threads, other processes, or
 * anything that must not be done twice. */
void tcache_turn_off(char **argv);

#endif
