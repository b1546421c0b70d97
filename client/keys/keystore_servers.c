/* SPDX-License-Identifier: MIT
 *
 * keystore_servers.c - the servers we know, by the keys of their certificates. One thread.
 *
 * Trust on first use, and the known name of a server. Our identity and the keys of people are
 * stored per server. A server that gets another address must keep its known name, because otherwise
 * everybody would be a stranger to everybody. Every client knows an address (HOST:PORT), so the
 * known name is the address under which the server was first met, and it stays when the server
 * moves. The key tells whether it is the same server: TLS has shown that the peer holds the private
 * key.
 *
 * A key is not enough where a certificate is publicly trusted: one proxy may end the TLS of many
 * servers with one key, and these must not share identities and people. There (and with ws://,
 * which has no key) only the user can say that two addresses are one server, by --known-as. A key
 * that was pinned, because nobody vouches for it, belongs to one server; so does that of a server
 * at a private address or under a local name. Proof and KeySignature still name the dialled
 * address; --known-as is never sent to a server.
 *
 * A pin outranks the system's authorities: any of them could otherwise impersonate a server whose
 * fingerprint was compared.
 */
#include "client/keys/keystore.h"
#include "lib/address.h"
#include "lib/authority.h"
#include "net/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRINT_LEN = FINGERPRINT_MAX - 1 };

/* ---- Addresses ---- */

/* Whether a host is local: a private address, localhost, or a name of a local network. */
static bool is_local(const char *server)
{
    struct sockaddr_storage address;
    struct text host, port;
    if (!authority_split(text_of(server), &host, &port))
        return false;
    if (authority_is_literal(host))
        host = text_before(text_skip(host, 1), "%]");
    if (address_read(host.at, host.len, &address))
        return net_reach(&address) != NET_REACH_EVERYONE;
    return authority_is_local(host) || authority_host_is(host, "localhost");
}

/* ---- Entries ---- */

/* An entry of known_certificates: pointers into the list, none NUL-terminated. */
struct entry {
    const char *line, *certificate, *key, *name, *word;
    size_t address_len, name_len;
};

static struct entry entry_at(const char *line)
{
    struct entry entry = {.line = line, .address_len = strcspn(line, "\t")};
    entry.certificate = line + entry.address_len + 1;
    entry.key = strchr(entry.certificate, '\t') + 1;
    entry.name = strchr(entry.key, '\t') + 1;
    entry.name_len = strcspn(entry.name, "\t");
    entry.word = entry.name + entry.name_len + 1;
    return entry;
}

static bool has_key(const struct entry *entry, const struct fingerprints *prints)
{
    return prints->key[0] && strncmp(entry->key, prints->key, PRINT_LEN) == 0 &&
           entry->key[PRINT_LEN] == '\t';
}

/* The entry of an address; `line` is NULL when there is none. */
static struct entry find_address(const struct keystore *keystore, const char *address)
{
    char prefix[KEYSTORE_SERVER_MAX + 1];
    snprintf(prefix, sizeof(prefix), "%s\t", address);
    const char *value = keystore_list_find(&keystore->certificates, prefix, NULL);
    return value ? entry_at(value - strlen(prefix)) : (struct entry){.line = NULL};
}

/* The first entry with that key that identifies the server (see above); `line` is NULL when there
 * is none. */
static struct entry find_moved(const struct keystore *keystore, const struct keystore_shown *shown)
{
    bool local = is_local(shown->address);
    const char *line = keystore->certificates.text;
    for (; *line; line = keystore_line_end(line)) {
        struct entry entry = entry_at(line);
        bool own =
            keystore_line_is(entry.word, "pinned") && shown->voucher != KEYSTORE_VOUCHED_SYSTEM;
        if (has_key(&entry, &shown->prints) && (local || own))
            return entry;
    }
    return (struct entry){.line = NULL};
}

static void copy(char *out, const char *text, size_t len)
{
    snprintf(out, KEYSTORE_SERVER_MAX, "%.*s", (int)len, text);
}

static void name_server(const struct keystore *keystore, const char *address, char *out)
{
    struct entry entry = find_address(keystore, address);
    if (entry.line)
        copy(out, entry.name, entry.name_len);
    else
        copy(out, address, strlen(address));
}

void keystore_server_name(struct keystore *keystore, const char *address, char *out)
{
    char ignored[KEYSTORE_ERROR_MAX]; /* on failure the last read list counts */
    keystore_list_refresh(&keystore->folder, &keystore->certificates, ignored);
    name_server(keystore, address, out);
}

/* ---- Judging ---- */

/* Judges the first certificate of an address. */
static void judge_first(const struct keystore *keystore, const struct keystore_shown *shown,
                        struct keystore_judged *judged)
{
    bool vouched = shown->voucher != KEYSTORE_VOUCHED_NOT;
    struct entry moved = find_moved(keystore, shown);
    judged->verdict = vouched ? KEYSTORE_GOOD : KEYSTORE_NEW;
    if (!moved.line)
        return;
    /* A key trusted only for its name does not count without that name. */
    if (vouched || keystore_line_is(moved.word, "pinned"))
        judged->verdict = KEYSTORE_MOVED;
    copy(judged->moved_from, moved.line, moved.address_len);
    copy(judged->known_as, moved.name, moved.name_len);
}

static enum keystore_verdict judge_again(const struct entry *entry,
                                         const struct keystore_shown *shown)
{
    if (shown->voucher == KEYSTORE_VOUCHED_FILE)
        return KEYSTORE_GOOD;
    if (keystore_line_is(entry->word, "trusted"))
        return shown->voucher == KEYSTORE_VOUCHED_SYSTEM ? KEYSTORE_GOOD : KEYSTORE_BAD;
    if (has_key(entry, &shown->prints))
        return KEYSTORE_GOOD;
    return shown->voucher == KEYSTORE_VOUCHED_SYSTEM ? KEYSTORE_OTHER : KEYSTORE_BAD;
}

static void judge_locked(const struct keystore *keystore, const struct keystore_shown *shown,
                         struct keystore_judged *judged)
{
    struct entry entry = find_address(keystore, shown->address);
    bool keyed = entry.line && !keystore_line_is(entry.word, "plain");
    memset(judged, 0, sizeof(*judged));
    name_server(keystore, shown->address, judged->known_as);
    if (!shown->prints.key[0]) {
        judged->verdict = KEYSTORE_GOOD;
    } else if (keyed) {
        snprintf(judged->before, sizeof(judged->before), "%.*s", PRINT_LEN, entry.certificate);
        judged->verdict = judge_again(&entry, shown);
    } else {
        judge_first(keystore, shown, judged);
    }
    if (shown->known_as)
        name_server(keystore, shown->known_as, judged->known_as);
}

void keystore_judge(struct keystore *keystore, const struct keystore_shown *shown,
                    struct keystore_judged *judged, char *error)
{
    keystore_list_refresh(&keystore->folder, &keystore->certificates, error);
    judge_locked(keystore, shown, judged);
}

/* ---- Remembering ---- */

/* The new line of an address. A pinned address stays pinned while it has the same key, whoever
 * vouches for it now. Returns NULL when memory is out. */
static char *format_entry(const struct entry *old, const struct keystore_shown *shown,
                          const char *known_as)
{
    char *line = NULL;
    const struct fingerprints *prints = &shown->prints;
    bool keyed = old->line && !keystore_line_is(old->word, "plain");
    bool stays = keyed && keystore_line_is(old->word, "pinned") && has_key(old, prints);
    bool trusted = shown->voucher == KEYSTORE_VOUCHED_SYSTEM && !stays;
    int len;
    if (prints->key[0])
        len = asprintf(&line, "%s\t%s\t%s\t%s\t%s\n", shown->address, prints->certificate,
                       prints->key, known_as, trusted ? "trusted" : "pinned");
    else if (keyed)
        len = asprintf(&line, "%.*s%s\t%.*s", (int)(old->name - old->line), old->line, known_as,
                       (int)(keystore_line_end(old->word) - old->word), old->word);
    else
        len = asprintf(&line, "%s\t-\t-\t%s\tplain\n", shown->address, known_as);
    return len < 0 ? NULL : line;
}

static int write_entry(struct keystore *keystore, const struct keystore_shown *shown,
                       const char *known_as, char *error)
{
    struct keystore_list *list = &keystore->certificates;
    struct entry old = find_address(keystore, shown->address);
    const char *from = old.line ? old.line : list->text + strlen(list->text);
    const char *to = old.line ? keystore_line_end(old.line) : from;
    char *line = format_entry(&old, shown, known_as);
    if (!line)
        return keystore_complain(error, "out of memory");
    size_t len = strlen(line);
    bool same = old.line && len == (size_t)(to - from) && memcmp(line, from, len) == 0;
    int result = 0;
    if (!same)
        result = keystore_list_save(&keystore->folder, list,
                                    keystore_list_splice(list, from, to, line), error);
    free(line);
    return result;
}

/* Whether the accepted judgement still holds. */
static bool still_holds(const struct keystore_judged *now, const struct keystore_judged *accepted)
{
    return now->verdict == KEYSTORE_GOOD || now->verdict == KEYSTORE_MOVED ||
           (now->verdict == accepted->verdict && strcmp(now->before, accepted->before) == 0);
}

int keystore_pin(struct keystore *keystore, const struct keystore_shown *shown,
                 struct keystore_judged *judged, char *error)
{
    int result = -1;
    struct keystore_judged now;
    error[0] = '\0';
    if (!shown->prints.key[0] && !shown->known_as)
        return 0;
    int lock = keystore_lock(&keystore->folder, error);
    if (lock < 0)
        return -1;
    if (keystore_list_load(&keystore->folder, &keystore->certificates, error) == 0) {
        judge_locked(keystore, shown, &now);
        if (still_holds(&now, judged))
            result = write_entry(keystore, shown, now.known_as, error);
        else
            keystore_complain(error,
                              "another process has remembered another certificate of %s "
                              "in the meantime",
                              shown->address);
        *judged = now;
    }
    close(lock);
    return result;
}
