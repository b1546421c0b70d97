/* SPDX-License-Identifier: MIT
 *
 * fuzz_config.c - settings of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: a file is read, or refused with one line that begins with its path; and read
 * again by a server that runs, which keeps what cannot change. The file is one in memory, reached
 * by its name under /proc.
 */
#include "base/config.h"

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

static int write_file(const void *bytes, size_t size)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("config", MFD_CLOEXEC);
    require(pwrite(fd, bytes, size, 0) == (ssize_t)size);
    require(ftruncate(fd, (off_t)size) == 0); /* afterwards, so that its memory stays its own */
    return fd;
}

/* The settings that the server began with. */
static const struct config *running(const char *path)
{
    static const char text[] =
        "{\"SSL\":true,\"SSL_Cert\":\"a\",\"SSL_Key\":\"/"
        "b\",\"server_ip\":\"::\",\"server_port\":1,"
        "\"server_name\":\"Ks\",\"server_password\":\"963\",\"room_buffer_bytes\":4000000}";
    static struct config config;
    char error[CONFIG_ERROR_MAX];
    if (!config.path) {
        write_file(text, strlen(text));
        require(config_load(&config, path, error) == 0);
    }
    return &config;
}

static void read_again(struct config *config, const struct config *running, const char *path)
{
    char kept[CONFIG_KEPT_MAX], error[CONFIG_ERROR_MAX] = "";
    if (config_keep(config, running, kept, error) == 0) {
        require(config->SSL == running->SSL && config->server_port == running->server_port);
        require(strcmp(config->server_ip, running->server_ip) == 0);
        require(config->room_buffer_bytes == running->room_buffer_bytes);
        require(*config->SSL_Cert && *config->SSL_Key);
    } else {
        require(strncmp(error, path, strlen(path)) == 0 && strchr(error, '\n') == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    struct config config;
    char error[CONFIG_ERROR_MAX] = "";
    if (!path[0])
        snprintf(path, sizeof(path), "/proc/self/fd/%d", write_file("", 0));
    const struct config *first = running(path);
    write_file(data, size);
    if (config_load(&config, path, error) == 0) {
        require(config.server_port >= 0 && config.server_port <= 65535);
        require(config.max_clients > 0 && config.server_name[0] != '\0');
        read_again(&config, first, path);
        config_free(&config);
    } else {
        require(strncmp(error, path, strlen(path)) == 0 && strchr(error, '\n') == NULL);
    }
    return 0;
}
