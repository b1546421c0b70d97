/* SPDX-License-Identifier: MIT
 *
 * ragchat.c - the terminal client: start, the ppoll(2) loop, piped input, the server's certificate,
 * and the end.
 *
 * One thread. chat.c handles the room, input.c typed lines, ws_client.c the connection, screen.c
 * the terminal.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/chat.h"
#include "client/term/unicode.h"
#include "client/input.h"

enum {
    INPUT_MAX = 1 << 20, /* bytes of a piped line; a longer one is not sent */
    EVENTS_AT_ONCE = 64, /* messages handled before the keyboard is read again */
    ANSWERS_MAX = 3,     /* attempts to type the right password */
    FAREWELL_MS = 3000,  /* how long to wait for the server's Close */
    KEYS_AT_ONCE = 1024, /* bytes of one read from the keyboard */
};

/* Piped input, read by lines. */
struct input {
    char *text; /* INPUT_MAX bytes, allocated when needed */
    size_t len;
    unsigned long number; /* of the current line */
    bool skipping;        /* the current line is too long */
    bool ended;
};

struct client {
    struct options options;
    struct keystore keystore;
    struct output output;
    struct chat chat;
    struct tls_context *tls;
    struct input input;
    int64_t retry_at; /* net_now of the next ws_client_start; 0: none is planned */
    int answers;
};

/* ---- Signals ---- */

static volatile sig_atomic_t asked_to_end, resized;
static sigset_t while_waiting; /* signal mask in ppoll(2): signals are blocked elsewhere */

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        asked_to_end = number;
}

static void take_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL); /* a write then fails with EPIPE */
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
}

/* Asks a question. A signal ends it, except a resize of the window. */
static int ask_person(const char *question, bool echo, char *answer)
{
    sigset_t meanwhile = while_waiting, blocked;
    sigaddset(&meanwhile, SIGWINCH);
    sigprocmask(SIG_SETMASK, &meanwhile, &blocked);
    int result = asked_to_end ? -1 : screen_ask(question, echo, answer);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    return result;
}

/* ---- The certificate ---- */

/* Asks whether a certificate is the right one. The server does not wait for a person, so the
 * connection is dropped; ws_client_start must follow. Scripts are not asked. */
static bool ask_about_certificate(struct client *client, const char *question)
{
    char answer[SCREEN_ANSWER_MAX];
    ws_client_drop(&client->chat.ws);
    if (ask_person(question, true, answer) == 0 && strcmp(answer, "yes") == 0)
        return true;
    output_note(&client->output, OUTPUT_NOTE, "not connected");
    chat_end(&client->chat, STATUS_CERT);
    return false;
}

/* The first certificate of a server that the system does not trust. A person decides; a script
 * trusts it, because it has nothing to compare it with. */
static bool accept_new(struct client *client, const char *print, const char *why)
{
    output_note(&client->output, OUTPUT_WARN,
                "%s shows a certificate for the first time (%s). Its SHA-256 fingerprint:\n%s",
                client->chat.address, why, print);
    if (client->options.mode == MODE_TALK)
        return ask_about_certificate(client,
                                     "Is it the one that the server's owner told you? (yes/no) ");
    output_note(&client->output, OUTPUT_WARN,
                "it is remembered; one with another key will be refused");
    return true;
}

static void refuse_certificate(struct client *client)
{
    ws_client_drop(&client->chat.ws);
    chat_end(&client->chat, STATUS_CERT);
}

/* The key has changed, and no authority vouches for it. */
static void refuse_change(struct client *client, const char *print, const char *before,
                          const char *why)
{
    output_note(
        &client->output, OUTPUT_WARN,
        "the certificate of %s is REFUSED (%s): somebody may be in between.\n"
        "before: %s\nnow:    %s\nIf its owner says that this is right, take its line out of "
        "%s/known_certificates.",
        client->chat.address, why ? why : "its key has changed", before, print,
        client->keystore.folder.path);
    refuse_certificate(client);
}

/* The key differs from the pinned one, but the system trusts it. The server may have got a public
 * certificate, or an authority may impersonate it. */
static bool accept_other(struct client *client, const char *print, const char *before)
{
    bool asks = client->options.mode == MODE_TALK;
    output_note(&client->output, OUTPUT_WARN,
                "%s shows another certificate than the one that is remembered; the system vouches "
                "for it now.\nbefore: %s\nnow:    %s",
                client->chat.address, before, print);
    if (asks)
        return ask_about_certificate(
            client, "Does the server's owner say that this is right: accept? (yes/no) ");
    output_note(&client->output, OUTPUT_WARN,
                "it is REFUSED. If the server's owner says that this is right, accept it by "
                "starting ragchat on a terminal, or take the line of %s out of "
                "%s/known_certificates.",
                client->chat.address, client->keystore.folder.path);
    refuse_certificate(client);
    return false;
}

/* With --ca nothing is compared with earlier certificates. */
static void refuse_unsigned(struct client *client, const char *print, const char *why)
{
    output_note(
        &client->output, OUTPUT_WARN,
        "the certificate of %s is REFUSED, for none of those in --ca vouches for it (%s):\n%s",
        client->chat.address, why, print);
    refuse_certificate(client);
}

static struct keystore_shown what_is_shown(const struct client *client)
{
    const char *known_as = client->options.known_as;
    return (struct keystore_shown){.address = client->chat.address,
                                   .known_as = known_as[0] ? known_as : NULL};
}

/* Stores an accepted server, and the name under which its keys are kept. Returns false, after
 * refusing it, if another process has stored another key since it was judged. */
static bool remember_server(struct client *client, const struct keystore_shown *shown,
                            struct keystore_judged *judged)
{
    char error[KEYSTORE_ERROR_MAX];
    if (keystore_pin(&client->keystore, shown, judged, error) < 0) {
        output_note(&client->output, OUTPUT_WARN, "%s", error);
        if (judged->verdict == KEYSTORE_BAD || judged->verdict == KEYSTORE_OTHER) {
            refuse_certificate(client);
            return false;
        }
    }
    snprintf(client->chat.server, sizeof(client->chat.server), "%s", judged->known_as);
    return true;
}

/* Whether a certificate may be used; reports the reasons. */
static bool accept_certificate(struct client *client, const struct keystore_shown *shown,
                               const struct keystore_judged *judged, const char *why)
{
    switch (judged->verdict) {
    case KEYSTORE_BAD:
        refuse_change(client, shown->prints.certificate, judged->before, why);
        return false;
    case KEYSTORE_OTHER:
        return accept_other(client, shown->prints.certificate, judged->before);
    case KEYSTORE_NEW:
        return accept_new(client, shown->prints.certificate, why);
    case KEYSTORE_MOVED:
        output_note(&client->output, OUTPUT_NOTE,
                    "%s is the server that you know from %s: same key", shown->address,
                    judged->moved_from);
        break;
    case KEYSTORE_GOOD:
        break;
    }
    return true;
}

/* Checks the server's certificate: with --ca, against FILE; otherwise also against the stored one.
 */
static void judge_certificate(struct client *client)
{
    char error[KEYSTORE_ERROR_MAX] = "";
    struct ws_client *ws = &client->chat.ws;
    struct keystore_shown shown = what_is_shown(client);
    struct keystore_judged judged;
    const char *why = stream_verify_peer(&ws->stream, &shown.prints);
    if (client->options.insecure) {
        ws_client_trust(ws);
        return;
    }
    if (why && (client->options.ca || !shown.prints.key[0])) {
        refuse_unsigned(client, shown.prints.certificate, why);
        return;
    }
    shown.voucher = why                  ? KEYSTORE_VOUCHED_NOT
                    : client->options.ca ? KEYSTORE_VOUCHED_FILE
                                         : KEYSTORE_VOUCHED_SYSTEM;
    keystore_judge(&client->keystore, &shown, &judged, error);
    if (error[0])
        output_note(&client->output, OUTPUT_WARN, "%s", error);
    if (!accept_certificate(client, &shown, &judged, why) ||
        !remember_server(client, &shown, &judged))
        return;
    if (ws->state == WS_CLIENT_DOWN)
        ws_client_start(ws);
    else
        ws_client_trust(ws);
}

/* ---- The password ---- */

/* Asks for the password if the server needs one. */
static void ask_password(struct client *client)
{
    char answer[SCREEN_ANSWER_MAX];
    struct chat *chat = &client->chat;
    chat->wants_password = false;
    if (chat->wrong_password)
        output_note(&client->output, OUTPUT_WARN, "that is not the password");
    if (client->answers++ == ANSWERS_MAX || ask_person("Password: ", false, answer) < 0) {
        chat_end(&client->chat, STATUS_REFUSED);
        return;
    }
    options_free(&client->options);
    client->options.password = strdup(answer);
    explicit_bzero(answer, sizeof(answer));
    chat->asked_password = true;
    ws_client_start(&chat->ws);
}

/* ---- Keyboard ---- */

static void read_keys(struct client *client)
{
    unsigned char keys[KEYS_AT_ONCE];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        chat_end(&client->chat, STATUS_OK); /* the terminal is gone */
    for (ssize_t i = 0; i < n && client->chat.status < 0; i++)
        input_key(&client->chat, keys[i]);
    screen_draw(&client->output.screen, false);
}

/* ---- Piped input ---- */

static void refuse_line(struct client *client, const char *why)
{
    output_note(&client->output, OUTPUT_WARN, "line %lu is not sent: %s", client->input.number,
                why);
    client->chat.private.failed = true;
}

static void send_line(struct client *client, const char *line, size_t len)
{
    if (client->input.skipping)
        refuse_line(client, "it is longer than 1 MiB");
    else if (!unicode_is_text(line, len))
        refuse_line(client, "it is not UTF-8");
    else if (!private_say(&client->chat.private, client->options.to, line))
        client->chat.private.failed = true;
    client->input.skipping = false;
}

/* Sends the complete lines, as many as may be in flight, and at the end the last one, which need
 * not end in a newline. */
static void send_lines(struct client *client)
{
    struct input *input = &client->input;
    size_t from = 0;
    if (input->len == 0)
        return;
    while (private_has_room(&client->chat.private) && from < input->len) {
        char *newline = memchr(input->text + from, '\n', input->len - from);
        if (!newline && !input->ended)
            break;
        size_t len = newline ? (size_t)(newline - input->text) - from : input->len - from;
        input->text[from + len] = '\0';
        input->number++;
        send_line(client, input->text + from, len);
        from += newline ? len + 1 : len;
    }
    memmove(input->text, input->text + from, input->len - from);
    input->len -= from;
    if (input->len == INPUT_MAX && !memchr(input->text, '\n', input->len)) {
        input->skipping = true;
        input->len = 0;
    }
}

static void read_input(struct client *client)
{
    struct input *input = &client->input;
    if (!input->text)
        input->text = malloc(INPUT_MAX + 1);
    if (!input->text) {
        output_note(&client->output, OUTPUT_WARN, "out of memory");
        chat_end(&client->chat, STATUS_PARTLY);
        return;
    }
    ssize_t n = read(STDIN_FILENO, input->text + input->len, INPUT_MAX - input->len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0)
        input->len += (size_t)n;
    else
        input->ended = true;
}

/* Whether there is room for more input, so that no reader is outrun. */
static bool takes_input(const struct client *client)
{
    const struct chat *chat = &client->chat;
    if (client->options.mode == MODE_TALK)
        return client->output.screen.open;
    return client->options.mode == MODE_SEND && chat->place == CHAT_INSIDE &&
           !client->input.ended && client->input.len < INPUT_MAX &&
           private_has_room(&chat->private);
}

static void go_on_sending(struct client *client)
{
    struct chat *chat = &client->chat;
    if (client->options.mode != MODE_SEND || chat->place != CHAT_INSIDE)
        return;
    send_lines(client);
    if (client->input.ended && client->input.len == 0 && private_pending(&chat->private) == 0)
        chat_end(&client->chat,
                 chat->private.failed || chat->private.unacked.first ? STATUS_PARTLY : STATUS_OK);
}

/* ---- The loop ---- */

static void on_dial_event(struct client *client, enum ws_client_event event)
{
    struct chat *chat = &client->chat;
    switch (event) {
    case WS_CLIENT_CERTIFICATE:
        judge_certificate(client);
        break;
    case WS_CLIENT_OPENED:
        chat_opened(chat);
        break;
    case WS_CLIENT_TEXT:
        chat_heard(chat, chat->ws.text, chat->ws.text_len);
        break;
    case WS_CLIENT_LOST:
        chat_lost(chat);
        break;
    case WS_CLIENT_NOTHING:
        break;
    }
}

static void go_on_hearing(struct client *client)
{
    for (int i = 0; i < EVENTS_AT_ONCE && client->chat.status < 0; i++) {
        enum ws_client_event event = ws_client_next(&client->chat.ws);
        if (event == WS_CLIENT_NOTHING)
            return;
        on_dial_event(client, event);
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waits for the server, for input, for the reader of the output to close, or for a timeout. */
static void wait_for_something(struct client *client, bool *readable)
{
    struct timespec left;
    struct pollfd all[3];
    int64_t until = sooner(ws_client_wants(&client->chat.ws, &all[0]), client->chat.deadline);
    until = sooner(until, private_until(&client->chat.private));
    if (client->retry_at)
        until = sooner(until, client->retry_at);
    int64_t ms = until - net_now();
    left.tv_sec = ms > 0 ? ms / 1000 : 0;
    left.tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 0;
    all[1] = (struct pollfd){takes_input(client) ? STDIN_FILENO : -1, POLLIN, 0};
    all[2] = (struct pollfd){client->options.mode >= MODE_LISTEN ? STDOUT_FILENO : -1, 0, 0};
    int ready = ppoll(all, 3, until == INT64_MAX ? NULL : &left, &while_waiting);
    *readable = ready > 0 && all[1].revents;
    if (ready > 0 && all[2].revents & (POLLERR | POLLHUP | POLLNVAL))
        client->output.broken = true;
}

/* Reconnects, later each time. */
static void retry(struct client *client)
{
    struct chat *chat = &client->chat;
    int64_t now = net_now();
    bool ends = client->options.mode == MODE_SEND || client->options.mode == MODE_HISTORY;
    bool gives_up = ends && chat->lost_at && now - chat->lost_at > CHAT_GIVE_UP_MS;
    if (chat->ws.state != WS_CLIENT_DOWN || chat->status >= 0)
        return;
    if (gives_up) {
        output_note(&client->output, OUTPUT_WARN, "the connection did not come back");
        chat_end(&client->chat, STATUS_PARTLY);
    } else if (!client->retry_at) {
        client->retry_at = now + ws_client_patience(&chat->ws);
        if (chat->retry_at)
            client->retry_at = chat->retry_at;
        chat->retry_at = 0;
    } else if (now >= client->retry_at) {
        client->retry_at = 0;
        ws_client_start(&chat->ws);
    }
}

/* Handles signals, timeouts, and a closed pipe. */
static void look_around(struct client *client)
{
    bool sending = client->options.mode == MODE_SEND || client->options.mode == MODE_HISTORY;
    if (asked_to_end || client->output.broken)
        chat_end(&client->chat,
                 sending || (client->options.once && asked_to_end) ? STATUS_PARTLY : STATUS_OK);
    if (net_now() >= client->chat.deadline) {
        bool proper = client->options.mode == MODE_LISTEN && !client->options.once;
        if (!proper)
            output_note(&client->output, OUTPUT_WARN, "the time is up");
        chat_end(&client->chat, proper ? STATUS_OK : STATUS_PARTLY);
    }
    if (resized) {
        resized = 0;
        screen_resize(&client->output.screen);
    }
}

static void loop(struct client *client)
{
    bool readable = false;
    ws_client_start(&client->chat.ws);
    while (client->chat.status < 0) {
        wait_for_something(client, &readable);
        look_around(client);
        if (readable && client->options.mode == MODE_TALK)
            read_keys(client);
        else if (readable)
            read_input(client);
        go_on_hearing(client);
        private_tick(&client->chat.private);
        go_on_sending(client);
        if (client->chat.wants_password)
            ask_password(client);
        retry(client);
    }
}

/* Closes, and waits a little for the answer, so that earlier messages arrive, too. */
static void say_goodbye(struct client *client)
{
    struct pollfd wants;
    struct ws_client *ws = &client->chat.ws;
    int64_t until = net_now() + FAREWELL_MS;
    private_part(&client->chat.private);
    ws_client_close(ws);
    while (ws->state == WS_CLIENT_CLOSING && ws_client_next(ws) != WS_CLIENT_LOST &&
           net_now() < until) {
        ws_client_wants(ws, &wants);
        poll(&wants, 1, ws->busy ? 0 : 100);
    }
}

/* ---- Start and end ---- */

static int set_up(struct client *client)
{
    char error[KEYSTORE_ERROR_MAX];
    const struct options *options = &client->options;
    client->output.mode = options->mode;
    int64_t deadline = options->timeout_ms ? net_now() + options->timeout_ms : INT64_MAX;
    if (keystore_open(&client->keystore, error) < 0) {
        output_note(&client->output, OUTPUT_WARN, "%s", error);
        return STATUS_FILES;
    }
    if (chat_init(&client->chat, &client->options, &client->output, &client->keystore) < 0) {
        output_note(&client->output, OUTPUT_WARN, "the system gives no random numbers");
        return STATUS_CONNECT;
    }
    client->chat.deadline = deadline;
    if (!options->url.tls || options->insecure) {
        struct keystore_judged judged;
        struct keystore_shown shown = what_is_shown(client);
        keystore_judge(&client->keystore, &shown, &judged, error);
        remember_server(client, &shown, &judged);
    }
    if (!options->url.tls)
        return -1;
    client->tls = tls_context_trusting(options->ca, error);
    if (!client->tls) {
        output_note(&client->output, OUTPUT_WARN, "--ca %s: %s", options->ca ? options->ca : "",
                    error);
        return STATUS_CERT;
    }
    client->chat.ws.tls = client->tls;
    if (options->insecure)
        output_note(&client->output, OUTPUT_WARN,
                    "--insecure: the certificate is NOT CHECKED; anyone on the way can read and "
                    "change everything, and learn the password");
    return -1;
}

int main(int argc, char **argv)
{
    static struct client client;
    prctl(PR_SET_DUMPABLE, 0); /* no core files, no debuggers of other processes: they would get
                                * the keys */
    int status = options_read(argc, argv, &client.options);
    if (status < 0) {
        take_signals();
        status = set_up(&client);
    }
    if (status < 0) {
        loop(&client);
        say_goodbye(&client);
        status = client.chat.status;
    }
    screen_close(&client.output.screen);
    chat_fini(&client.chat);
    keystore_close(&client.keystore);
    tls_context_free(client.tls);
    options_free(&client.options);
    free(client.input.text);
    return status;
}
