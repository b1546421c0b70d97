/* SPDX-License-Identifier: MIT
 *
 * contacts.h - who we are, and whom we have met: the terminal client's files.
 *
 * In $XDG_DATA_HOME/ragnarok, else ~/.local/share/ragnarok (mode 0700):
 *   identity.pem        our identity key (Ed25519, PKCS #8); 0600, made on first use
 *   known_keys          server, room, folded name, identity key, "seen" or "verified"
 *   known_certificates  server, SHA-256 of its certificate and of its key, "pinned" or "trusted"
 *   lock                held while one of them is changed, so that two clients lose nothing
 * The two lists have a line for each entry, with tabs between the fields. A file is replaced as a
 * whole, or not at all. One thread.
 */
#ifndef CONTACTS_H
#define CONTACTS_H

#include <stdbool.h>

#include "e2e.h"
#include "net.h"

enum {
    CONTACTS_ERROR_MAX = 512,             /* room for a complaint, with its NUL */
    CONTACTS_PATH_MAX = 1024,             /* a longer path is an error */
    CONTACTS_FILE_MAX = 16 * 1024 * 1024, /* bytes of a list; more is an error */
};

/* A list in memory, as it was when the file was last read. */
struct contacts_list {
    const char *name; /* of the file */
    char *text;       /* its lines; "" if there is no file */
};

struct contacts {
    char folder[CONTACTS_PATH_MAX];
    EVP_PKEY *identity;
    struct contacts_list keys, certificates;
};

/* Opens the folder, and makes what is not there yet. Returns 0, or -1 and a complaint that names the
 * file: others can read the key or change a list, it is broken, it cannot be read or made. In both
 * cases contacts_close is due. */
int contacts_open(struct contacts *contacts, char *error);
void contacts_close(struct contacts *contacts);

/* Whom a key belongs to. `name` is folded (name_fold). None holds a control character. */
struct contacts_id {
    const char *server, *room, *name;
};

enum contacts_trust { CONTACTS_UNKNOWN, CONTACTS_SEEN, CONTACTS_VERIFIED };

/* What is remembered of somebody; `key` (E2E_KEY_BYTES) is filled in unless it is CONTACTS_UNKNOWN. */
enum contacts_trust contacts_find(const struct contacts *contacts, const struct contacts_id *id,
                                  unsigned char *key);

/* Remembers a key, in place of what was known. Returns 0, or -1 and a complaint: it is remembered
 * neither in the file nor in memory then. */
int contacts_remember(struct contacts *contacts, const struct contacts_id *id,
                      const unsigned char *key, enum contacts_trust trust, char *error);

enum contacts_verdict {
    CONTACTS_GOOD, /* trusted, or with the key that was pinned */
    CONTACTS_NEW,  /* not trusted, and the first that this server shows */
    CONTACTS_BAD,  /* not trusted, and with another key; or trusted before, and no more */
};

/* What to think of a server's certificate. `trusted`: net_peer had nothing against it. A server may
 * have its certificate issued anew: its key is what counts. With CONTACTS_BAD `before`
 * (NET_PRINT_MAX) gets the fingerprint of the certificate before. */
enum contacts_verdict contacts_judge(const struct contacts *contacts, const char *server,
                                     const struct net_prints *prints, bool trusted, char *before);

/* Remembers a certificate that was accepted, in place of the one before. Returns 0, or -1 and a
 * complaint. */
int contacts_pin(struct contacts *contacts, const char *server, const struct net_prints *prints,
                 bool trusted, char *error);

#endif
