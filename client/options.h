/* SPDX-License-Identifier: MIT
 *
 * options.h - ragchat's settings: its command line, and the password.
 *
 * Read once at start; a password that is typed later is added.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/name.h"
#include "lib/url.h"

/* Exit statuses of ragchat; the usage text and ragchat.1 list the same. */
enum options_status {
    STATUS_OK = 0,      /* a proper end: everything that was to be sent was delivered */
    STATUS_USAGE = 1,   /* wrong options */
    STATUS_CONNECT = 2, /* no connection was made */
    STATUS_REFUSED =
        3,             /* the server refused: password, name, room; or another took the name over */
    STATUS_CERT = 4,   /* the server's certificate is not trusted */
    STATUS_PARTLY = 5, /* not everything was delivered; --timeout; --once without a message */
    STATUS_FILES = 6,  /* the key files cannot be used */
};

enum options_mode {
    MODE_TALK,
    MODE_SEND,
    MODE_LISTEN,
    MODE_HISTORY, /* prints older messages, and ends */
};

struct options {
    struct url url;
    char room[NAME_MAX_BYTES + 1];
    const char *name;
    const char *to;                  /* NULL: the room */
    const char *ca;                  /* NULL: the system's certificates */
    char *password;                  /* NULL: none was given. Freed with options_free */
    char known_as[URL_HOST_MAX + 8]; /* --known-as, as url_server writes it; "": not given */
    int64_t timeout_ms;              /* 0: none */
    enum options_mode mode;
    unsigned history; /* MODE_HISTORY: so many messages */
    bool once, insecure;
};

/* Reads the command line, $RAGNAROK_PASSWORD and the user's name. Returns -1 to go on, or the
 * status to exit with, after reporting the reason. options_free must be called in both cases. */
int options_read(int argc, char **argv, struct options *options);
void options_free(struct options *options);

#endif
