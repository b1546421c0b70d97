/* SPDX-License-Identifier: MIT
 *
 * options.c - ragchat's command line.
 */
#include "client/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/http/http_request.h"
#include "lib/http/http_room.h"
#include "lib/version.h"

enum {
    PASSWORD_MAX = 4096,     /* bytes of a password file; more is an error */
    TIMEOUT_MAX_S = 1000000, /* --timeout; more is an error */
    HISTORY_MAX = 100000,    /* messages of --history; more is an error */
};

static const char usage[] =
    "Usage: ragchat [options] URL\n"
    "\n"
    "Talks in a room of a Ragnarok server: wss://HOST:PORT/ or wss://HOST:PORT/rooms/NAME.\n"
    "On a terminal it shows what is said, and sends what you type; /help tells more.\n"
    "What comes through a pipe is sent line by line, and it ends when all was delivered.\n"
    "\n"
    "  -n, --name NAME           who you are there (default: your user name)\n"
    "  -t, --to NAME             send the lines of a pipe to NAME alone, encrypted\n"
    "  -l, --listen              send nothing, print each message as a line of JSON\n"
    "  -1, --once                the same, and end after the first message\n"
    "      --history N           print the last N messages as lines of JSON, and end\n"
    "      --timeout SECONDS     end after that time\n"
    "      --password-file FILE  the password is FILE's first line\n"
    "      --ca FILE             trust the certificates in FILE (PEM), and no others\n"
    "      --known-as HOST:PORT  the server is the one that was met under that address: who you\n"
    "                            are there, and whose keys you know, stay\n"
    "      --insecure            do not check the server's certificate: anyone on the way can\n"
    "                            read and change everything, and learn the password\n"
    "      --version             print the version, and end\n"
    "  -h, --help                print this, and end\n"
    "\n"
    "The password comes from --password-file, or $RAGNAROK_PASSWORD, or is asked for.\n"
    "A certificate that the system does not trust is shown by its fingerprint when it is first\n"
    "seen, and remembered; one with another key is refused later.\n"
    "\n"
    "Exit status: 0 a proper end, all delivered; 1 wrong options; 2 no connection; 3 refused\n"
    "(password, name, room; or the name was taken over); 4 the certificate; 5 not all was\n"
    "delivered, or the time is up; 6 the files with keys cannot be used.\n";

/* Reports an error in the options. Always returns STATUS_USAGE. */
static int complain(const char *what, const char *value, const char *why)
{
    fprintf(stderr, "ragchat: %s%s%s: %s\nTry ragchat --help\n", what, value ? " " : "",
            value ? value : "", why);
    return STATUS_USAGE;
}

static int read_url(struct options *options, const char *text)
{
    const char *why = url_parse(&options->url, text);
    const char *path = options->url.path;
    struct http_request request = {.path = {path, strcspn(path, "?")}};
    if (why || http_room(&request, options->room, sizeof(options->room), &why) < 0)
        return complain("the address", text, why);
    return -1;
}

static int read_timeout(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    long seconds = strtol(text, &end, 10);
    if (errno || *end || end == text || seconds < 1 || seconds > TIMEOUT_MAX_S)
        return complain("--timeout", text, "expected 1 to 1000000 seconds");
    options->timeout_ms = (int64_t)seconds * 1000;
    return -1;
}

static int read_history(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    long count = strtol(text, &end, 10);
    if (errno || *end || end == text || count < 1 || count > HISTORY_MAX)
        return complain("--history", text, "expected 1 to 100000 messages");
    options->history = (unsigned)count;
    return -1;
}

/* Warns when others can read the password file. A pipe has no lasting readers. */
static void look_at_mode(FILE *file, const char *path)
{
    struct stat about;
    if (fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode) && about.st_mode & 077)
        fprintf(stderr,
                "ragchat: --password-file %s: others can read it (mode %04o); chmod 600 %s\n", path,
                (unsigned)about.st_mode & 07777, path);
}

/* Reads the first line of a file, without its newline. */
static int read_password_file(struct options *options, const char *path)
{
    char line[PASSWORD_MAX];
    FILE *file = fopen(path, "re");
    if (!file)
        return complain("--password-file", path, strerror(errno));
    look_at_mode(file, path);
    bool any = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    if (!any)
        return complain("--password-file", path, "it is empty");
    if (strlen(line) == sizeof(line) - 1)
        return complain("--password-file", path, "its first line is too long");
    line[strcspn(line, "\r\n")] = '\0';
    free(options->password);
    options->password = strdup(line);
    OPENSSL_cleanse(line, sizeof(line));
    return options->password ? -1 : complain("--password-file", path, "out of memory");
}

static int read_name_option(const char *option, const char *name, const char **out)
{
    const char *why = name_check(name, strlen(name));
    if (why)
        return complain(option, name, why);
    *out = name;
    return -1;
}

/* Reads an address without scheme and path. The port is required, because no default would be
 * obvious. */
static int read_known_as(struct options *options, const char *text)
{
    struct url url;
    const char *why = url_parse(&url, text), *port = strrchr(text, ':');
    if (!why && (strpbrk(text, "/?") || !port || strspn(port + 1, "0123456789") == 0 ||
                 port[1 + strspn(port + 1, "0123456789")]))
        why = "expected HOST:PORT, like chat.example.org:12345";
    if (why)
        return complain("--known-as", text, why);
    url_server(&url, options->known_as);
    return -1;
}

/* Reads the environment. Removes the password from it, and wipes its bytes, because
 * /proc/PID/environ shows them. */
static int read_defaults(struct options *options)
{
    char *password = getenv("RAGNAROK_PASSWORD");
    bool given = password != NULL;
    memset(options, 0, sizeof(*options));
    options->mode = isatty(STDIN_FILENO) ? MODE_TALK : MODE_SEND;
    options->password = given ? strdup(password) : NULL;
    if (given)
        OPENSSL_cleanse(password, strlen(password));
    unsetenv("RAGNAROK_PASSWORD");
    return given && !options->password ? complain("start", NULL, "out of memory") : -1;
}

enum {
    OPT_TIMEOUT = 256,
    OPT_PASSWORD,
    OPT_CA,
    OPT_INSECURE,
    OPT_VERSION,
    OPT_HISTORY,
    OPT_KNOWN_AS = 512
};

static int read_option(struct options *options, int option)
{
    switch (option) {
    case 'n':
        return read_name_option("--name", optarg, &options->name);
    case 't':
        return read_name_option("--to", optarg, &options->to);
    case '1':
        options->once = true;
        options->mode = MODE_LISTEN;
        return -1;
    case 'l':
        options->mode = MODE_LISTEN;
        return -1;
    case OPT_HISTORY:
        return read_history(options, optarg);
    case OPT_TIMEOUT:
        return read_timeout(options, optarg);
    case OPT_PASSWORD:
        return read_password_file(options, optarg);
    case OPT_CA:
        options->ca = optarg;
        return -1;
    case OPT_KNOWN_AS:
        return read_known_as(options, optarg);
    case OPT_INSECURE:
        options->insecure = true;
        return -1;
    case OPT_VERSION:
        printf("ragchat " RAGNAROK_VERSION "\n%s\n", OpenSSL_version(OPENSSL_VERSION));
        return STATUS_OK;
    case 'h':
        fputs(usage, stdout);
        return STATUS_OK;
    default:
        fputs("Try ragchat --help\n", stderr);
        return STATUS_USAGE;
    }
}

/* The default name is the system's name of the user. */
static int default_name(struct options *options)
{
    const char *name = getenv("USER");
    if (options->name)
        return -1;
    if (!name || !*name)
        return complain("--name", NULL, "$USER does not tell who you are; say it with -n");
    return read_name_option("--name", name, &options->name);
}

/* Refuses options that exclude each other. */
static int check_combinations(const struct options *options)
{
    if (options->history && options->mode == MODE_LISTEN)
        return complain("--history", NULL, "it ends by itself: --listen and --once go on");
    if (options->history && options->to)
        return complain("--to", options->to, "--history sends nothing");
    if (options->mode == MODE_TALK && !options->history && !isatty(STDOUT_FILENO))
        return complain("standard output", NULL, "it is no terminal; use --listen");
    if (options->to && options->mode != MODE_SEND)
        return complain("--to", options->to, "it needs lines from a pipe");
    if (options->ca && options->insecure)
        return complain("--ca", options->ca, "with --insecure it would not be looked at");
    return -1;
}

int options_read(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"name", required_argument, NULL, 'n'},
                                          {"to", required_argument, NULL, 't'},
                                          {"listen", no_argument, NULL, 'l'},
                                          {"once", no_argument, NULL, '1'},
                                          {"history", required_argument, NULL, OPT_HISTORY},
                                          {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                          {"password-file", required_argument, NULL, OPT_PASSWORD},
                                          {"ca", required_argument, NULL, OPT_CA},
                                          {"known-as", required_argument, NULL, OPT_KNOWN_AS},
                                          {"insecure", no_argument, NULL, OPT_INSECURE},
                                          {"version", no_argument, NULL, OPT_VERSION},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option, status = read_defaults(options);
    while (status < 0 && (option = getopt_long(argc, argv, "n:t:l1h", known, NULL)) != -1)
        status = read_option(options, option);
    if (status >= 0)
        return status;
    if (optind == argc)
        return complain("the address", NULL, "it is missing, like wss://example.org:12345/");
    if (optind + 1 < argc)
        return complain("unexpected argument", argv[optind + 1], "one address is enough");
    status = read_url(options, argv[optind]);
    if (status < 0)
        status = default_name(options);
    if (status < 0)
        status = check_combinations(options);
    if (options->history)
        options->mode = MODE_HISTORY;
    return status;
}

void options_free(struct options *options)
{
    if (options->password)
        OPENSSL_cleanse(options->password, strlen(options->password));
    free(options->password);
    options->password = NULL;
}
