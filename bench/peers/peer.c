/* SPDX-License-Identifier: MIT
 *
 * peer.c - common parts of the two C programs here. One thread.
 */
#include "peer.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static _Noreturn void usage(const char *program)
{
    fprintf(stderr, "usage: %s [--port N] [--tls --cert FILE --key FILE] [--presence MS]\n",
            program);
    exit(2);
}

/* Returns the number, or ends the program. */
static long number(const char *program, const char *text, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > most)
        usage(program);
    return value;
}

/* Each member needs a descriptor. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct peer_options peer_begin(int argc, char **argv)
{
    static const struct option longs[] = {
        {"port", required_argument, NULL, 'p'},     {"tls", no_argument, NULL, 't'},
        {"cert", required_argument, NULL, 'c'},     {"key", required_argument, NULL, 'k'},
        {"presence", required_argument, NULL, 'm'}, {0}};
    struct peer_options options = {0};
    int letter;
    while ((letter = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (letter == 'p')
            options.port = (int)number(argv[0], optarg, 65535);
        else if (letter == 't')
            options.tls = true;
        else if (letter == 'c')
            options.cert = optarg;
        else if (letter == 'k')
            options.key = optarg;
        else if (letter == 'm')
            options.presence_ms = number(argv[0], optarg, 60000);
        else
            usage(argv[0]);
    }
    if (optind < argc || (options.tls && (!options.cert || !options.key)))
        usage(argv[0]);
    raise_limit();
    return options;
}

void peer_listening(int port)
{
    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
}

int64_t peer_time_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t peer_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool peer_name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\')
            return false;
    return len > 0 && len <= PEER_NAME_MAX;
}
