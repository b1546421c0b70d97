/* SPDX-License-Identifier: MIT
 *
 * fuzz_config.c - settings of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: a file is read, or refused with one line that begins with its path. The file is
 * one in memory, reached by its name under /proc.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    struct config config;
    char error[CONFIG_ERROR_MAX] = "";
    require(pwrite(fd, data, size, 0) == (ssize_t)size);
    require(ftruncate(fd, (off_t)size) == 0); /* afterwards, so that its memory stays its own */
    if (config_load(&config, path, error) == 0) {
        require(config.server_port >= 0 && config.server_port <= 65535);
        require(config.max_clients > 0 && config.server_name[0] != '\0');
        config_free(&config);
    } else {
        require(strncmp(error, path, strlen(path)) == 0 && strchr(error, '\n') == NULL);
    }
    return 0;
}
