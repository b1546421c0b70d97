/* SPDX-License-Identifier: MIT
 *
 * config_lan.c - opens the room to the LAN, by changing config.json. Main thread only, no locks.
 */
#include "base/config_lan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/config_edit.h"
#include "lib/passphrase.h"
#include "net/file.h"
#include "net/random.h"
#include "net/socket.h"

enum { EDITS_MAX = 2 }; /* server_ip and server_password */

/* The wildcard address for a server that only this machine reaches; NULL for any other server. */
static const char *wildcard_for(const char *server_ip)
{
    struct sockaddr_storage address;
    if (strcmp(server_ip, "localhost") == 0)
        return "0.0.0.0";
    if (!address_read(server_ip, strlen(server_ip), &address) ||
        net_reach(&address) != NET_REACH_HOST)
        return NULL;
    return address.ss_family == AF_INET6 ? "::" : "0.0.0.0";
}

static int make_password(char password[PASSPHRASE_MAX], char *error)
{
    unsigned char random[PASSPHRASE_RANDOM];
    if (!random_bytes(random, sizeof(random))) {
        snprintf(error, CONFIG_ERROR_MAX, "ragnarok: the system gives no random bytes");
        return -1;
    }
    passphrase_write(password, random);
    explicit_bzero(random, sizeof(random));
    return 0;
}

static int write_edits(const char *path, const char *text, size_t len,
                       const struct config_edit *edits, size_t count, char *error)
{
    size_t new_len;
    char *edited = config_edit(text, len, edits, count, &new_len);
    int rc = -1;
    if (!edited)
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was changed");
    else if (new_len > CONFIG_FILE_MAX)
        snprintf(error, CONFIG_ERROR_MAX,
                 "%s: expected room for an address and a password, got a "
                 "file of %zu bytes, and %d are allowed",
                 path, len, CONFIG_FILE_MAX);
    else if ((rc = file_rewrite(path, edited, new_len)) < 0)
        snprintf(error, CONFIG_ERROR_MAX, "%s: cannot be written, which --lan has to: %s", path,
                 strerror(errno));
    if (edited)
        explicit_bzero(edited, new_len);
    free(edited);
    return rc;
}

/* Decides what has to change, and changes it. */
static int open_file(const struct config *config, const char *text, size_t len, bool *made,
                     char *error)
{
    struct config_edit edits[EDITS_MAX];
    char password[PASSPHRASE_MAX];
    size_t count = 0;
    const char *wildcard = wildcard_for(config->server_ip);
    if (wildcard)
        edits[count++] = (struct config_edit){"server_ip", wildcard};
    *made = config_has_sample_password(config);
    if (*made) {
        if (make_password(password, error) < 0)
            return -1;
        edits[count++] = (struct config_edit){"server_password", password};
    }
    int rc = count > 0 ? write_edits(config->path, text, len, edits, count, error) : 0;
    explicit_bzero(password, sizeof(password));
    return rc;
}

int config_open_to_lan(const char *path, bool *made, char *error)
{
    struct config config;
    bool ignored;
    size_t len;
    int rc = -1;
    char *text = config_read(path, &len, &ignored, error);
    if (text && config_parse(&config, path, text, len, error) == 0) {
        rc = open_file(&config, text, len, made, error);
        config_free(&config);
    }
    free(text);
    return rc;
}
