/* SPDX-License-Identifier: MIT
 *
 * no_memory.c - memory that runs out on command. Any thread; no locks.
 */
#include "no_memory.h"

#include <stddef.h>

static _Thread_local int left = -1;
static _Thread_local bool failed, all;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *before, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *before, size_t size);
char *__wrap_strdup(const char *text);

void no_memory_after(int count)
{
    left = count;
    failed = all = false;
}

void no_memory_from(int count)
{
    no_memory_after(count);
    all = true;
}

bool no_memory_end(void)
{
    left = -1;
    return failed;
}

static bool fails(void)
{
    if (left < 0 || left-- > 0)
        return false;
    failed = true;
    if (all)
        left = 0;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *before, size_t size)
{
    return fails() ? NULL : __real_realloc(before, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}
