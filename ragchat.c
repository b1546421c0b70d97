/* SPDX-License-Identifier: MIT
 *
 * ragchat.c - the terminal client: start, one loop around ppoll(2), what is piped in, the server's
 * certificate, and the end.
 *
 * One thread. What is said and heard in the room is chat.c's, what is typed typed.c's, the line to
 * the server dial.c's, the terminal screen.c's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat.h"
#include "glyph.h"
#include "typed.h"

enum {
    INPUT_MAX = 1 << 20, /* bytes of a line from a pipe; a longer one is not sent */
    INPUT_AHEAD = 128,   /* lines on their way; no more are read until some have arrived */
    EVENTS_AT_ONCE = 64, /* messages before looking at the keyboard again */
    ANSWERS_MAX = 3,     /* tries to give the right password */
    FAREWELL_MS = 3000,  /* for the end of the connection */
    KEYS_AT_ONCE = 1024, /* bytes of one read from the keyboard */
};

/* Lines from a pipe. */
struct input {
    char *text; /* INPUT_MAX bytes, made when they are needed */
    size_t len;
    unsigned long number; /* of the present line */
    bool skipping;        /* the present line is too long */
    bool ended;
};

struct client {
    struct options options;
    struct contacts contacts;
    struct show show;
    struct chat chat;
    struct net_tls *tls;
    struct input input;
    int64_t retry_at; /* net_now of the next dial_start; 0: none is due */
    int64_t deadline; /* of --timeout; INT64_MAX: none */
    int answers;
};

/* ---- Signals ---- */

static volatile sig_atomic_t asked_to_end, resized;
static sigset_t while_waiting; /* what is blocked in ppoll(2): elsewhere signals wait for it */

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

/* Asks a question that a signal can end; but not that of a window which is resized. */
static int ask(const char *question, bool echo, char *answer)
{
    sigset_t meanwhile = while_waiting, blocked;
    sigaddset(&meanwhile, SIGWINCH);
    sigprocmask(SIG_SETMASK, &meanwhile, &blocked);
    int result = asked_to_end ? -1 : screen_ask(question, echo, answer);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    return result;
}

/* ---- The certificate ---- */

/* The first certificate of a server that the system does not trust. A person decides; a script trusts
 * it, as its first use is all there is to go by. The server does not wait for a person, so the line
 * is taken up anew. */
static bool accept_new(struct client *client, const char *print, const char *why)
{
    char answer[SCREEN_ANSWER_MAX];
    show_note(&client->show, SHOW_WARN,
              "%s shows a certificate for the first time (%s). Its SHA-256 fingerprint:\n%s",
              client->chat.server, why, print);
    if (client->options.mode != MODE_TALK) {
        show_note(&client->show, SHOW_WARN,
                  "it is remembered; one with another key will be refused");
        return true;
    }
    dial_drop(&client->chat.dial);
    if (ask("Is it the one that the server's owner told you? (yes/no) ", true, answer) == 0 &&
        strcmp(answer, "yes") == 0)
        return true;
    show_note(&client->show, SHOW_NOTE, "not connected");
    chat_end(&client->chat, STATUS_CERT);
    return false;
}

/* Another key than before. */
static void refuse_change(struct client *client, const char *print, const char *before,
                          const char *why)
{
    show_note(&client->show, SHOW_WARN,
              "the certificate of %s is REFUSED (%s): somebody may be in between.\n"
              "before: %s\nnow:    %s\nIf its owner says that this is right, take its line out of "
              "%s/known_certificates.",
              client->chat.server, why, before, print, client->contacts.folder);
    dial_drop(&client->chat.dial);
    chat_end(&client->chat, STATUS_CERT);
}

/* With --ca nothing is compared with what was before. */
static void refuse_unsigned(struct client *client, const char *print, const char *why)
{
    show_note(
        &client->show, SHOW_WARN,
        "the certificate of %s is REFUSED, for none of those in --ca vouches for it (%s):\n%s",
        client->chat.server, why, print);
    dial_drop(&client->chat.dial);
    chat_end(&client->chat, STATUS_CERT);
}

/* Says with --ca what is wrong with a certificate; otherwise compares it with what is remembered. */
static void judge_certificate(struct client *client)
{
    char before[NET_PRINT_MAX] = "", error[CONTACTS_ERROR_MAX] = "";
    struct dial *dial = &client->chat.dial;
    struct net_prints prints;
    const char *why = net_peer(&dial->stream, &prints);
    if (client->options.insecure) {
        dial_trust(dial);
        return;
    }
    if (why && (client->options.ca || !prints.key[0])) {
        refuse_unsigned(client, prints.certificate, why);
        return;
    }
    enum contacts_verdict verdict =
        contacts_judge(&client->contacts, client->chat.server, &prints, !why, before);
    if (verdict == CONTACTS_BAD) {
        refuse_change(client, prints.certificate, before, why);
        return;
    }
    if (verdict == CONTACTS_NEW && !accept_new(client, prints.certificate, why))
        return;
    if (!client->options.ca &&
        contacts_pin(&client->contacts, client->chat.server, &prints, !why, error) < 0)
        show_note(&client->show, SHOW_WARN, "%s", error);
    if (dial->state == DIAL_DOWN)
        dial_start(dial);
    else
        dial_trust(dial);
}

/* ---- The password ---- */

/* Asked for only when the server needs one. */
static void ask_password(struct client *client)
{
    char answer[SCREEN_ANSWER_MAX];
    struct chat *chat = &client->chat;
    chat->wants_password = false;
    if (chat->wrong_password)
        show_note(&client->show, SHOW_WARN, "that is not the password");
    if (client->answers++ == ANSWERS_MAX || ask("Password: ", false, answer) < 0) {
        chat_end(&client->chat, STATUS_REFUSED);
        return;
    }
    options_free(&client->options);
    client->options.password = strdup(answer);
    explicit_bzero(answer, sizeof(answer));
    chat->asked_password = true;
    dial_start(&chat->dial);
}

/* ---- What is typed ---- */

static void read_keys(struct client *client)
{
    unsigned char keys[KEYS_AT_ONCE];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        chat_end(&client->chat, STATUS_OK); /* the terminal is gone */
    for (ssize_t i = 0; i < n && client->chat.status < 0; i++)
        typed_key(&client->chat, keys[i]);
    screen_draw(&client->show.screen, false);
}

/* ---- What is piped in ---- */

static void refuse_line(struct client *client, const char *why)
{
    show_note(&client->show, SHOW_WARN, "line %lu is not sent: %s", client->input.number, why);
    client->chat.mail.failed = true;
}

static void send_line(struct client *client, const char *line, size_t len)
{
    if (client->input.skipping)
        refuse_line(client, "it is longer than 1 MiB");
    else if (!glyph_is_text(line, len))
        refuse_line(client, "it is not UTF-8");
    else if (!mail_say(&client->chat.mail, client->options.to, line))
        client->chat.mail.failed = true;
    client->input.skipping = false;
}

/* Sends the whole lines that are there, as many as may be on their way, and at the end the last one,
 * which need not end in a newline. */
static void send_lines(struct client *client)
{
    struct input *input = &client->input;
    size_t from = 0;
    if (input->len == 0)
        return;
    while (client->chat.mail.post.open < INPUT_AHEAD && from < input->len) {
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
        show_note(&client->show, SHOW_WARN, "out of memory");
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

/* Whether there is room for more input: nobody is outrun. */
static bool takes_input(const struct client *client)
{
    const struct chat *chat = &client->chat;
    if (client->options.mode == MODE_TALK)
        return client->show.screen.open;
    return client->options.mode == MODE_SEND && chat->place == CHAT_INSIDE &&
           !client->input.ended && client->input.len < INPUT_MAX &&
           chat->mail.post.open < INPUT_AHEAD;
}

static void go_on_sending(struct client *client)
{
    struct chat *chat = &client->chat;
    if (client->options.mode != MODE_SEND || chat->place != CHAT_INSIDE)
        return;
    send_lines(client);
    if (client->input.ended && client->input.len == 0 && chat->mail.post.open == 0)
        chat_end(&client->chat, chat->mail.failed ? STATUS_PARTLY : STATUS_OK);
}

/* ---- The loop ---- */

static void on_event(struct client *client, enum dial_event event)
{
    struct chat *chat = &client->chat;
    switch (event) {
    case DIAL_CERTIFICATE:
        judge_certificate(client);
        break;
    case DIAL_OPENED:
        chat_opened(chat);
        break;
    case DIAL_TEXT:
        chat_heard(chat, chat->dial.text, chat->dial.text_len);
        break;
    case DIAL_LOST:
        chat_lost(chat);
        break;
    case DIAL_NOTHING:
        break;
    }
}

static void go_on_hearing(struct client *client)
{
    for (int i = 0; i < EVENTS_AT_ONCE && client->chat.status < 0; i++) {
        enum dial_event event = dial_next(&client->chat.dial);
        if (event == DIAL_NOTHING)
            return;
        on_event(client, event);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waits for the server, for input, for the reader of the output to go away, or for time to pass. */
static void wait_for_something(struct client *client, bool *readable)
{
    struct timespec left;
    struct pollfd all[3];
    int64_t until = earlier(dial_wants(&client->chat.dial, &all[0]), client->deadline);
    if (client->retry_at)
        until = earlier(until, client->retry_at);
    int64_t ms = until - net_now();
    left.tv_sec = ms > 0 ? ms / 1000 : 0;
    left.tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 0;
    all[1] = (struct pollfd){takes_input(client) ? STDIN_FILENO : -1, POLLIN, 0};
    all[2] = (struct pollfd){client->options.mode == MODE_LISTEN ? STDOUT_FILENO : -1, 0, 0};
    int ready = ppoll(all, 3, until == INT64_MAX ? NULL : &left, &while_waiting);
    *readable = ready > 0 && all[1].revents;
    if (ready > 0 && all[2].revents & (POLLERR | POLLHUP | POLLNVAL))
        client->show.broken = true;
}

/* A line that is down is taken up again, later each time. */
static void retry(struct client *client)
{
    struct chat *chat = &client->chat;
    int64_t now = net_now();
    bool gives_up =
        client->options.mode == MODE_SEND && chat->lost_at && now - chat->lost_at > CHAT_GIVE_UP_MS;
    if (chat->dial.state != DIAL_DOWN || chat->status >= 0)
        return;
    if (gives_up) {
        show_note(&client->show, SHOW_WARN, "the connection did not come back");
        chat_end(&client->chat, STATUS_PARTLY);
    } else if (!client->retry_at) {
        client->retry_at = now + dial_patience(&chat->dial);
    } else if (now >= client->retry_at) {
        client->retry_at = 0;
        dial_start(&chat->dial);
    }
}

/* What came from outside: signals, time, a closed pipe. */
static void look_around(struct client *client)
{
    bool sending = client->options.mode == MODE_SEND;
    if (asked_to_end || client->show.broken)
        chat_end(&client->chat,
                 sending || (client->options.once && asked_to_end) ? STATUS_PARTLY : STATUS_OK);
    if (net_now() >= client->deadline) {
        bool proper = client->options.mode == MODE_LISTEN && !client->options.once;
        if (!proper)
            show_note(&client->show, SHOW_WARN, "the time is up");
        chat_end(&client->chat, proper ? STATUS_OK : STATUS_PARTLY);
    }
    if (resized) {
        resized = 0;
        screen_resize(&client->show.screen);
    }
}

static void loop(struct client *client)
{
    bool readable = false;
    dial_start(&client->chat.dial);
    while (client->chat.status < 0) {
        wait_for_something(client, &readable);
        look_around(client);
        if (readable && client->options.mode == MODE_TALK)
            read_keys(client);
        else if (readable)
            read_input(client);
        go_on_hearing(client);
        go_on_sending(client);
        if (client->chat.wants_password)
            ask_password(client);
        retry(client);
    }
}

/* Says goodbye, and waits a little for the answer: what was sent before arrives, too. */
static void part(struct client *client)
{
    struct pollfd wants;
    struct dial *dial = &client->chat.dial;
    int64_t until = net_now() + FAREWELL_MS;
    dial_close(dial);
    while (dial->state == DIAL_CLOSING && dial_next(dial) != DIAL_LOST && net_now() < until) {
        dial_wants(dial, &wants);
        poll(&wants, 1, dial->busy ? 0 : 100);
    }
}

/* ---- Start and end ---- */

static int start(struct client *client)
{
    char error[CONTACTS_ERROR_MAX];
    const struct options *options = &client->options;
    client->show.mode = options->mode;
    client->deadline = options->timeout_ms ? net_now() + options->timeout_ms : INT64_MAX;
    if (contacts_open(&client->contacts, error) < 0) {
        show_note(&client->show, SHOW_WARN, "%s", error);
        return STATUS_FILES;
    }
    if (chat_init(&client->chat, &client->options, &client->show, &client->contacts) < 0) {
        show_note(&client->show, SHOW_WARN, "the system gives no random numbers");
        return STATUS_CONNECT;
    }
    if (!options->url.tls)
        return -1;
    client->tls = net_tls_trusting(options->ca, error);
    if (!client->tls) {
        show_note(&client->show, SHOW_WARN, "--ca %s: %s", options->ca ? options->ca : "", error);
        return STATUS_CERT;
    }
    client->chat.dial.tls = client->tls;
    if (options->insecure)
        show_note(&client->show, SHOW_WARN,
                  "--insecure: the certificate is NOT CHECKED; anyone on the way can read and "
                  "change everything, and learn the password");
    return -1;
}

int main(int argc, char **argv)
{
    static struct client client;
    int status = options_read(argc, argv, &client.options);
    if (status < 0) {
        take_signals();
        status = start(&client);
    }
    if (status < 0) {
        loop(&client);
        part(&client);
        status = client.chat.status;
    }
    screen_close(&client.show.screen);
    chat_fini(&client.chat);
    contacts_close(&client.contacts);
    net_tls_free(client.tls);
    options_free(&client.options);
    free(client.input.text);
    return status;
}
