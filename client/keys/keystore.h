/* SPDX-License-Identifier: MIT
 *
 * keystore.h - our identity, and the people and servers we know: the terminal client's files.
 *
 * In $XDG_DATA_HOME/ragnarok, else ~/.local/share/ragnarok (mode 0700):
 *   seed                32 random bytes in hexadecimal; 0600, made on first use. All our identity
 *                       keys are derived from it
 *   known_keys          server, room, folded name, identity key, "seen" or "verified"
 *   known_certificates  address, SHA-256 of its certificate and of its key, the server's known
 *                       name, and "pinned", "trusted" or "plain"
 *   lock                held while one of them is changed
 * The two lists have a line for each entry, with tabs between the fields. Files are replaced
 * atomically. Every function reads a list again if another process has changed its file. Every
 * change is made under the lock, after reading the file again. One thread.
 *
 * A complaint is a text in `error`, which has room for KEYSTORE_ERROR_MAX bytes.
 */
#ifndef KEYSTORE_H
#define KEYSTORE_H

#include <stdbool.h>

#include "client/keys/keystore_file.h"
#include "lib/crypto/e2e.h"
#include "net/stream.h"
#include "lib/url.h"

enum {
    KEYSTORE_KEYS_MAX = 8,                  /* of one person; one more is refused */
    KEYSTORE_SERVER_MAX = URL_HOST_MAX + 8, /* "HOST:PORT", with its NUL */
};

struct keystore {
    struct keystore_folder folder;
    unsigned char seed[E2E_SEED_BYTES];
    struct keystore_list keys, certificates;
    struct keystore_list unsaved; /* keys that could not be written: see keystore_meet */
    bool told;                    /* `unsaved` was reported */
};

/* Opens the folder, and makes missing files. Returns 0, or -1 and a complaint that names the file:
 * others can read the seed or change the folder or a list, a file is invalid, or it cannot be read
 * or made. In both cases keystore_close must be called. */
int keystore_open(struct keystore *keystore, char *error);
void keystore_close(struct keystore *keystore);

/* ---- Ourselves ---- */

/* Our identity key (Ed25519) for a folded name, a room and a server (keystore_server_name). It is
 * the same each time, and differs for every other server, room or name, so nobody can tell from
 * keys that two names are one person. Its private key is
 *   HKDF-SHA256(seed, salt "ragnarok-v2 identity",
 *               info block(server) || block(room) || block(fold)),
 * where block(x) is the length of x as two bytes, the higher one first, and then x. The caller
 * frees it with EVP_PKEY_free. NULL when memory is out, or the three have more than 2,000 bytes
 * together. */
EVP_PKEY *keystore_identity(const struct keystore *keystore, const char *server, const char *room,
                            const char *fold);

/* ---- People ---- */

/* The owner of a key: the server (keystore_server_name), the room, and the folded name (name_fold).
 * None contains a control character. */
struct keystore_id {
    const char *server, *room, *name;
};

/* Trust in a key. A person may have several keys (a phone and a laptop). */
enum keystore_trust {
    KEYSTORE_UNKNOWN,  /* no key of that name is known */
    KEYSTORE_STRANGE,  /* other keys of that name are known */
    KEYSTORE_SEEN,     /* known: the first key of that name, or an accepted one */
    KEYSTORE_VERIFIED, /* known, and its safety number was compared */
};

/* The trust in this key. `error` is "", or says why the file could not be read again: the answer is
 * then that of the last successful read. */
enum keystore_trust keystore_find(struct keystore *keystore, const struct keystore_id *id,
                                  const unsigned char key[E2E_KEY_BYTES], char *error);

/* First use of a key: if no key of that name is known (checked again under the lock), stores it as
 * seen. Returns the trust in it then. Never replaces or adds to known keys. A key that cannot be
 * written is kept until keystore_close. It counts as long as the file has no key of that name, and
 * the next successful write includes it. `error` reports the failure once, until a write succeeds;
 * else it is "". KEYSTORE_UNKNOWN: the key could not even be kept, because memory is out or such
 * keys have KEYSTORE_FILE_MAX bytes; `error` says why. */
enum keystore_trust keystore_meet(struct keystore *keystore, const struct keystore_id *id,
                                  const unsigned char key[E2E_KEY_BYTES], char *error);

/* Adds a key, or with KEYSTORE_VERIFIED marks it as compared. Never downgrades a verified key.
 * Returns 0, or -1 and a complaint, with nothing changed, also when KEYSTORE_KEYS_MAX others are
 * known. */
int keystore_accept(struct keystore *keystore, const struct keystore_id *id,
                    const unsigned char key[E2E_KEY_BYTES], enum keystore_trust trust, char *error);

/* Forgets all keys of a person. Returns their number, or -1 and a complaint. */
int keystore_forget(struct keystore *keystore, const struct keystore_id *id, char *error);

struct keystore_key {
    unsigned char key[E2E_KEY_BYTES];
    bool verified;
};

/* The keys of a person, the oldest first. Returns their number, at most KEYSTORE_KEYS_MAX (0: the
 * person is unknown). `error` as for keystore_find. */
int keystore_keys(struct keystore *keystore, const struct keystore_id *id,
                  struct keystore_key keys[KEYSTORE_KEYS_MAX], char *error);

/* The best trust in any key of a person: KEYSTORE_VERIFIED, KEYSTORE_SEEN or KEYSTORE_UNKNOWN. */
enum keystore_trust keystore_best(struct keystore *keystore, const struct keystore_id *id);

/* ---- Servers (keystore_servers.c) ---- */

/* The known name of the server at an address ("HOST:PORT", url_server): the address under which it
 * was first met. It names the server in keystore_identity. `out` has room for KEYSTORE_SERVER_MAX
 * bytes; for an unknown server it gets `address` itself. */
void keystore_server_name(struct keystore *keystore, const char *address, char *out);

/* The reason to trust a certificate. */
enum keystore_voucher {
    KEYSTORE_VOUCHED_NOT,  /* self-signed, or refused by stream_verify_peer */
    KEYSTORE_VOUCHED_FILE, /* a certificate in the file of --ca */
    KEYSTORE_VOUCHED_SYSTEM,
};

/* Facts about a server on this connection. */
struct keystore_shown {
    const char *address; /* the dialled address; borrowed, as is known_as */
    struct fingerprints prints;
    enum keystore_voucher voucher;
    const char *known_as; /* the address of --known-as; NULL: not given */
};

enum keystore_verdict {
    KEYSTORE_GOOD,  /* vouched for, or its key is the pinned one */
    KEYSTORE_MOVED, /* new at this address, with the key of a known server */
    KEYSTORE_NEW,   /* new at this address, and not vouched for: ask, or trust first use */
    KEYSTORE_OTHER, /* not the pinned key, but the system vouches for it: ask */
    KEYSTORE_BAD,   /* not the known key and not vouched for, or not vouched for any more: refuse */
};

struct keystore_judged {
    enum keystore_verdict verdict;
    char before[FINGERPRINT_MAX];         /* fingerprint of the stored certificate, or "" */
    char known_as[KEYSTORE_SERVER_MAX];   /* the server's known name, once it is accepted */
    char moved_from[KEYSTORE_SERVER_MAX]; /* the address where this key was first met, or "" */
};

/* Judges a server's certificate by its key, because a certificate may be renewed. `error` as for
 * keystore_find. */
void keystore_judge(struct keystore *keystore, const struct keystore_shown *shown,
                    struct keystore_judged *judged, char *error);

/* Stores a server as it was judged and accepted. A pinned address stays pinned while its key stays.
 * If shown->prints are "" (there is no TLS, or it was not checked), only known_as is stored.
 * Returns 0, or -1 and a complaint: it could not be written; or another process has stored
 * something else in the meantime, and *judged holds the new judgement. */
int keystore_pin(struct keystore *keystore, const struct keystore_shown *shown,
                 struct keystore_judged *judged, char *error);

#endif
