/* SPDX-License-Identifier: MIT
 *
 * load_options.c - the load generator's command line: one table of settings, read with
 * getopt_long(3). One thread.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBERS_MAX = 99999,        /* five digits in a name */
    DUE_MAX = 64 * 1024 * 1024, /* entries in the table of expected numbers */
    SIZE_MOST = 1024 * 1024,    /* bytes of a text */
};

enum kind { FLAG, NUMBER, TEXT };

static const struct setting {
    const char *name;
    enum kind kind;
    size_t at;
    long least, most;
    const char *help;
} settings[] = {
    {"host", TEXT, offsetof(struct load_options, host), 0, 0, "server (127.0.0.1)"},
    {"port", NUMBER, offsetof(struct load_options, port), 1, 65535, "its port; must be given"},
    {"path", TEXT, offsetof(struct load_options, path), 0, 0, "/ or /rooms/NAME (/)"},
    {"tls", FLAG, offsetof(struct load_options, tls), 0, 1, "over TLS; no certificate is checked"},
    {"v2", FLAG, offsetof(struct load_options, v2), 0, 1, "join by ragnarok.v2, not by two frames"},
    {"password", TEXT, offsetof(struct load_options, password), 0, 0, "of the server (none)"},
    {"members", NUMBER, offsetof(struct load_options, members), 1, MEMBERS_MAX, "who stay (10)"},
    {"joins-at-once", FLAG, offsetof(struct load_options, at_once), 0, 1, "not 64 at a time"},
    {"senders", NUMBER, offsetof(struct load_options, senders), 1, MEMBERS_MAX, "who talk (1)"},
    {"window", NUMBER, offsetof(struct load_options, window), 1, 100000,
     "own broadcasts that a sender has under way (1)"},
    {"rate", NUMBER, offsetof(struct load_options, rate), 1, 1000000,
     "broadcasts per second of all together, instead of a window"},
    {"messages", NUMBER, offsetof(struct load_options, messages), 1, UINT32_MAX,
     "per sender (100)"},
    {"seconds", NUMBER, offsetof(struct load_options, seconds), 1, 86400, "to talk, instead"},
    {"size", NUMBER, offsetof(struct load_options, size), STAMP_LEN, SIZE_MOST, "of a text (100)"},
    {"private", FLAG, offsetof(struct load_options, private), 0, 1,
     "pairs play ping-pong with private messages; nobody broadcasts"},
    {"idle", NUMBER, offsetof(struct load_options, idle), 1, 86400,
     "seconds in which nobody talks"},
    {"stall", NUMBER, offsetof(struct load_options, stall), 1, MEMBERS_MAX,
     "members that stop reading, and must be closed for it"},
    {"churn", NUMBER, offsetof(struct load_options, churn), 1, 1000,
     "joins per second of others, and leaves: half by reset, half properly"},
    {"flap", NUMBER, offsetof(struct load_options, flap), 1, 1000,
     "others that join and leave at once, again and again"},
    {"key-update", NUMBER, offsetof(struct load_options, key_update), 1, UINT32_MAX,
     "new TLS keys before every such message of a sender"},
    {"visits", FLAG, offsetof(struct load_options, visits), 0, 1,
     "connect, upgrade, reset, and again, each member by itself; nobody joins"},
    {"pid", NUMBER, offsetof(struct load_options, pid), 1, INT32_MAX,
     "server's process, to measure"},
    {"timeout", NUMBER, offsetof(struct load_options, timeout), 1, 86400, "seconds for all (120)"},
    {"json", FLAG, offsetof(struct load_options, json), 0, 1, "report one line of JSON"},
};

enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

static void print_help(void)
{
    puts("usage: load --port PORT [OPTION...]\n"
         "Exit status: 0 all was well, 1 a promise was broken, 2 usage.\n");
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        printf("  --%-13s %-2s %s\n", s->name, s->kind == FLAG ? "" : "X", s->help);
}

static bool set_from_text(struct load_options *options, const struct setting *setting,
                          const char *text)
{
    char *at = (char *)options + setting->at, *end = NULL;
    long number = 1;
    if (setting->kind == TEXT) {
        memcpy(at, &text, sizeof(text));
        return true;
    }
    if (setting->kind == NUMBER) {
        errno = 0;
        number = strtol(text, &end, 10);
        if (errno || end == text || *end || number < setting->least || number > setting->most) {
            fprintf(stderr, "load: --%s takes a number from %ld to %ld, not '%s'\n", setting->name,
                    setting->least, setting->most, text);
            return false;
        }
    }
    memcpy(at, &number, sizeof(number));
    return true;
}

/* Checks combinations of options. Returns the complaint, or NULL. */
static const char *check_options(const struct load_options *o)
{
    if (!o->port)
        return "--port must be given";
    if (o->senders + o->stall > o->members)
        return "more senders and stalled members than --members";
    if (o->members * o->senders > DUE_MAX)
        return "too many members times senders for the memory of this program";
    if (o->private && (o->members % 2 || o->stall))
        return "--private takes an even number of members, and nobody stalled";
    if (o->private + (o->rate > 0) + (o->idle > 0) > 1)
        return "only one of --private, --rate and --idle";
    if (o->flap && (!o->idle && !o->seconds))
        return "--flap takes --seconds or --idle";
    if (o->visits &&
        (o->private || o->rate || o->idle || o->stall || o->churn || o->flap || !o->seconds))
        return "--visits takes --seconds, and no other scenario";
    if (o->key_update && !o->tls)
        return "--key-update needs --tls";
    if (o->v2 && strpbrk(o->password, "\"\\"))
        return "--password goes into JSON as it is: no \" and no \\ with --v2";
    return NULL;
}

/* Completes the numbers; from here on they alone define the scenario. */
static void complete_options(struct load_options *o)
{
    if (o->idle)
        o->seconds = o->idle;
    if (o->idle || o->visits)
        o->senders = 0;
    if (o->private)
        o->senders = 1; /* each member has one partner whose messages are counted */
    if (!o->messages && !o->seconds)
        o->messages = 100;
}

int load_options_read(struct load_options *options, int argc, char **argv)
{
    struct option longs[SETTINGS + 2] = {{"help", no_argument, NULL, SETTINGS}};
    int index;
    for (int i = 0; i < SETTINGS; i++)
        longs[i + 1] = (struct option){settings[i].name, settings[i].kind != FLAG, NULL, i};
    while ((index = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (index == SETTINGS) {
            print_help();
            exit(0);
        }
        if (index == '?' || !set_from_text(options, &settings[index], optarg))
            return 2;
    }
    const char *wrong = optind < argc ? "no argument without -- is known" : check_options(options);
    if (wrong) {
        fprintf(stderr, "load: %s; --help tells more\n", wrong);
        return 2;
    }
    complete_options(options);
    return 0;
}
