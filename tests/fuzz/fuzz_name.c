/* SPDX-License-Identifier: MIT
 *
 * fuzz_name.c - names of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: a refusal has words; a name that is allowed has a fold, and the fold of that is
 * the same again, so that two names are either the same or not, whoever asks.
 */
#include "lib/name.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = malloc(size ? size : 1);
    memcpy(name, data, size);
    const char *why = name_check(name, size);
    if (why) {
        require(why[0] != '\0');
    } else {
        require(size > 0 && size <= NAME_MAX_BYTES && !memchr(name, '\0', size));
        char *once = name_fold(name, size);
        require(once != NULL);
        char buf[NAME_MAX_BYTES + 1], *same = name_fold_into(buf, name, size);
        require(same != NULL && strcmp(once, same) == 0);
        if (same != buf)
            free(same);
        char *twice = name_fold(once, strlen(once));
        require(twice != NULL && strcmp(once, twice) == 0);
        free(once);
        free(twice);
    }
    free(name);
    return 0;
}
