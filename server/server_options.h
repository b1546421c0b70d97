/* SPDX-License-Identifier: MIT
 *
 * server_options.h - the command line of the server.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>

struct server_options {
    const char *path;
    const char *web_root;  /* NULL: the built-in page */
    const char *export_to; /* --export; NULL: not given */
    bool check;
    bool init;
    bool lan;
    bool allow_root;
    bool allow_core;
    bool allow_sample;
    bool no_sandbox;
};

/* Parses the command line. `options` borrows from it. Returns -1 to continue, or the exit status
 * after doing what was asked for, or printing an error. */
int server_options_read(int argc, char **argv, struct server_options *options);

/* --export: writes the history file that the settings name as lines of JSON. Prints errors. Returns
 * the exit status. */
int server_options_export(const struct server_options *options);

#endif
