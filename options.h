/* SPDX-License-Identifier: MIT
 *
 * options.h - what ragchat was told to do: its command line, and where the password comes from.
 *
 * Read once at start; a password that was asked for is put in later.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "name.h"
#include "url.h"

/* How ragchat ends; the usage text and ragchat.1 say the same. */
enum options_status {
    STATUS_OK = 0,      /* a proper end; all that was to be sent was delivered */
    STATUS_USAGE = 1,   /* wrong options */
    STATUS_CONNECT = 2, /* no connection came about */
    STATUS_REFUSED =
        3,             /* the server refused: password, name, room; or another took the name over */
    STATUS_CERT = 4,   /* the server's certificate is not to be trusted */
    STATUS_PARTLY = 5, /* not everything was delivered; --timeout; --once without a message */
    STATUS_FILES = 6,  /* the files with keys cannot be used */
};

enum options_mode { MODE_TALK, MODE_SEND, MODE_LISTEN };

struct options {
    struct url url;
    char room[NAME_MAX_BYTES + 1];
    const char *name;
    const char *to;     /* NULL: the room */
    const char *ca;     /* NULL: what the system trusts */
    char *password;     /* NULL: none was given. Freed with options_free */
    int64_t timeout_ms; /* 0: none */
    enum options_mode mode;
    bool once, insecure;
};

/* Reads them, with $RAGNAROK_PASSWORD and the user's name. Returns -1 to go on, or the status to exit
 * with; then everything has been said. options_free is due in both cases. */
int options_read(int argc, char **argv, struct options *options);
void options_free(struct options *options);

#endif
