/* SPDX-License-Identifier: MIT
 *
 * no_memory.h - memory that runs out on command, for unit tests.
 *
 * The linker replaces malloc, calloc, realloc and strdup of the project's own files by those here
 * (--wrap, ld(1)); libraries are not affected. Each thread has its own count.
 */
#ifndef NO_MEMORY_H
#define NO_MEMORY_H

#include <stdbool.h>

/* Lets `count` more allocations of this thread succeed, and the one after them fail; with a
 * negative number all succeed. */
void no_memory_after(int count);

/* Lets `count` more succeed, and all after them fail. */
void no_memory_from(int count);

/* Ends that. Returns whether an allocation has failed since. */
bool no_memory_end(void);

#endif
