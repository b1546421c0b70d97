/* SPDX-License-Identifier: MIT
 *
 * server_options.c - the command line of the server. Main thread only.
 */
#include "server/server_options.h"

#include <getopt.h>
#include <stdio.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include "base/config.h"
#include "lib/version.h"
#include "server/http/static_files.h"
#include "store/store.h"

static const char usage[] =
    "Usage: ragnarok [[-c] FILE] [--init] [--lan] [--web-root DIR] [--allow-root] [--allow-core] "
    "[--no-sandbox]\n"
    "                [--allow-sample-password] [--check-config] [--export FILE] [--version] "
    "[--help]\n"
    "\n"
    "A chatroom server over WebSocket.\n"
    "\n"
    "  -c, --config FILE   read the settings from FILE (default: config.json); -c may be left out\n"
    "      --init          write settings to FILE unless there are some, and FILE.txt, which\n"
    "                      explains every key, and end\n"
    "      --lan           open the room to the LAN: change server_ip in FILE if only this "
    "machine\n"
    "                      can reach it, and the password of the sample to one that is made\n"
    "      --check-config  name all that is wrong with the settings, and end\n"
    "      --export FILE   write the history file that the settings name to FILE (-: standard "
    "output),\n"
    "                      as lines of JSON, and end; a server may be running\n"
    "      --web-root DIR  serve the files of the page from DIR, read at each request, instead of\n"
    "                      those built in: for working on the page\n"
    "      --allow-root    run as root, also where sudo was used and the port needs no root\n"
    "      --allow-sample-password  let the internet in with the password of the sample, too\n"
    "      --allow-core    allow core dumps and debuggers, which see keys and passwords\n"
    "      --no-sandbox    do without seccomp and Landlock: for valgrind and the like\n"
    "      --version       print the version and the SHA-256 of each file of the page, and end\n"
    "  -h, --help          print this, and end\n"
    "\n"
    "SIGTERM or SIGINT ends it: everybody is told, and gets what was said before.\n"
    "SIGHUP reads FILE and the certificate again; who is connected stays so.\n"
    "Exit status: 0 a proper end, 1 wrong settings, 2 wrong options.\n";

static void print_version(void)
{
    printf("ragnarok " RAGNAROK_VERSION "\n%s, cJSON %s\n", OpenSSL_version(OPENSSL_VERSION),
           cJSON_Version());
    static_files_print(stdout);
}

/* Takes the path of the settings: of -c, or without an option. Returns -1 to continue, or 2 after
 * an error. */
static int set_config_path(struct server_options *options, const char **taken, const char *path)
{
    if (*taken) {
        fprintf(stderr, "ragnarok: expected one file of settings, got %s and %s\n", *taken, path);
        fputs("Try ragnarok --help\n", stderr);
        return 2;
    }
    options->path = *taken = path;
    return -1;
}

/* Takes one option of getopt_long. Returns -1 to continue, or the exit status. */
static int take_option(struct server_options *options, const char **taken, int option)
{
    switch (option) {
    case 'c':
        return set_config_path(options, taken, optarg);
    case 'k':
        options->check = true;
        break;
    case 'i':
        options->init = true;
        break;
    case 'l':
        options->lan = true;
        break;
    case 'd':
        options->allow_core = true;
        break;
    case 'n':
        options->no_sandbox = true;
        break;
    case 'e':
        options->export_to = optarg;
        break;
    case 'r':
        options->allow_root = true;
        break;
    case 's':
        options->allow_sample = true;
        break;
    case 'w':
        options->web_root = optarg;
        break;
    case 'v':
        print_version();
        return 0;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        fputs("Try ragnarok --help\n", stderr);
        return 2;
    }
    return -1;
}

/* Does what --init asks for. Returns the exit status. */
static int write_settings(const char *path)
{
    char error[CONFIG_ERROR_MAX], notes[CONFIG_PATH_MAX];
    bool made;
    if (config_init(path, &made, notes, error) < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    printf("%s %s\nWrote %s, which explains every key\n", made ? "Wrote" : "Kept", path, notes);
    return 0;
}

int server_options_read(int argc, char **argv, struct server_options *options)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"export", required_argument, NULL, 'e'},
                                          {"init", no_argument, NULL, 'i'},
                                          {"lan", no_argument, NULL, 'l'},
                                          {"web-root", required_argument, NULL, 'w'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"allow-root", no_argument, NULL, 'r'},
                                          {"allow-core", no_argument, NULL, 'd'},
                                          {"allow-sample-password", no_argument, NULL, 's'},
                                          {"no-sandbox", no_argument, NULL, 'n'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option, status = -1;
    const char *taken = NULL;
    *options = (struct server_options){.path = "config.json"};
    while (status < 0 && (option = getopt_long(argc, argv, "c:h", known, NULL)) != -1)
        status = take_option(options, &taken, option);
    for (; status < 0 && optind < argc; optind++)
        status = set_config_path(options, &taken, argv[optind]);
    if (status < 0 && options->init)
        status = write_settings(options->path);
    return status;
}

int server_options_export(const struct server_options *options)
{
    struct config config;
    char error[CONFIG_ERROR_MAX], why[STORE_WHY_MAX];
    uint64_t left_out = 0;
    if (config_load(&config, options->path, error) < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    bool has_file = config.history_file[0] != '\0';
    int rc = has_file ? store_export(config.history_file, options->export_to, &left_out, why) : -1;
    config_free(&config);
    if (rc < 0)
        fprintf(stderr, "%s\n", has_file ? why : "history_file: the settings name none");
    if (left_out > 0)
        fprintf(stderr, "%llu rows were left out: they are no messages\n",
                (unsigned long long)left_out);
    return rc < 0 || left_out > 0 ? 1 : 0;
}
