/* SPDX-License-Identifier: MIT
 *
 * chat.c - one member of one room, as chat.h promises it.
 *
 * In the order in which it happens: coming in (both ways of docs/PROTOCOL.md), who is here,
 * broadcasts, being refused, losing the line. Each message that can come has a function, and the
 * table that names them all is at the end.
 */
#include "chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

int chat_init(struct chat *chat, struct options *options, struct show *show,
              struct contacts *contacts)
{
    memset(chat, 0, sizeof(*chat));
    chat->options = options;
    chat->show = show;
    chat->status = -1;
    snprintf(chat->name, sizeof(chat->name), "%s", options->name);
    url_server(&options->url, chat->server);
    dial_init(&chat->dial, &options->url, NULL);
    return mail_init(&chat->mail, &chat->dial, show, contacts, chat->server);
}

static void forget_users(struct chat *chat)
{
    for (size_t i = 0; i < chat->user_count; i++)
        free(chat->users[i]);
    free(chat->users);
    chat->users = NULL;
    chat->user_count = 0;
}

void chat_fini(struct chat *chat)
{
    dial_fini(&chat->dial);
    mail_fini(&chat->mail);
    forget_users(chat);
    free(chat->epoch);
}

/* ---- Coming in ---- */

static const char *password(const struct chat *chat)
{
    return chat->options->password ? chat->options->password : "";
}

/* Private messages take keys that are new for each connection. */
static void begin_talks(struct chat *chat)
{
    if (!talks_begin(&chat->mail.talks, chat->options->room, chat->options->name))
        show_note(chat->show, SHOW_WARN, "no keys could be made: private messages will fail");
}

/* The short way (docs/PROTOCOL.md): password and name in a frame each. */
void chat_opened(struct chat *chat)
{
    if (chat->dial.v2)
        return;
    begin_talks(chat);
    dial_send(&chat->dial, password(chat), strlen(password(chat)));
    dial_send(&chat->dial, chat->options->name, strlen(chat->options->name));
}

void chat_end(struct chat *chat, int status)
{
    if (chat->status < 0)
        chat->status = status;
}

/* Lets the line go until somebody was asked for a password; the server does not wait that long. */
static void want_password(struct chat *chat)
{
    if (chat->options->mode != MODE_TALK) {
        show_note(chat->show, SHOW_WARN,
                  "the room needs a password: --password-file FILE, or $RAGNAROK_PASSWORD");
        chat_end(chat, STATUS_REFUSED);
        return;
    }
    chat->wants_password = true;
    dial_drop(&chat->dial);
}

static void on_hello(struct chat *chat, const struct json_object *in)
{
    char *nonce = json_text(in, "Nonce"), *claim = NULL;
    if (json_true(in, "PasswordRequired") && !chat->options->password) {
        free(nonce);
        want_password(chat);
        return;
    }
    begin_talks(chat);
    if (nonce)
        claim = e2e_write_claim(&chat->mail.talks.session, nonce);
    struct say_join join = {.password = password(chat),
                            .name = chat->options->name,
                            .claim = claim,
                            .epoch = chat->epoch,
                            .after = chat->last_id};
    mail_send(&chat->mail, say_join(&join));
    free(claim);
    free(nonce);
}

void chat_prompt(struct chat *chat)
{
    bool offline = chat->place == CHAT_OUTSIDE;
    screen_prompt(&chat->show->screen, offline ? "(offline) > " : "> ");
}

/* What is the same for both ways. */
static void come_in(struct chat *chat, bool all_there)
{
    if (chat->options->mode == MODE_TALK && !chat->show->screen.open &&
        screen_open(&chat->show->screen) < 0)
        chat_end(chat, STATUS_USAGE);
    if (!chat->joined_once)
        show_note(chat->show, SHOW_INFO, "You are in. /help tells what can be done.");
    else
        show_note(chat->show, SHOW_NOTE, "connected again%s",
                  all_there ? "" : "; something may be missing");
    chat->joined_once = true;
    chat->place = CHAT_ENTERING;
    chat->dial.tries = 0;
    chat->lost_at = 0;
    chat_prompt(chat);
}

static void on_joined(struct chat *chat, const struct json_object *in)
{
    struct say_heard plain = {.private = false};
    char *epoch = json_text(in, "Epoch");
    if (!epoch || !chat->epoch || strcmp(epoch, chat->epoch) != 0)
        chat->last_id = 0; /* another room by the same name: its numbers begin anew */
    free(chat->epoch);
    chat->epoch = epoch;
    chat->joined_id = json_count(in, "LastId");
    talk_name(in, "Name", chat->name);
    if (json_count(in, "MaxMessageBytes"))
        chat->mail.max_message = (size_t)json_count(in, "MaxMessageBytes");
    come_in(chat, json_true(in, "Resumed"));
    show_json(chat->show, in, &plain);
}

/* {"ServerName":...}: the short way was taken. */
static void on_server_name(struct chat *chat, const struct json_object *in)
{
    (void)in;
    if (!chat->dial.v2 && chat->place == CHAT_OUTSIDE)
        come_in(chat, false);
}

/* ---- Who is here ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The list is sorted: one of a million names, from a server that wants us busy, takes no time. */
static bool among(char *const *users, size_t count, const char *name)
{
    return count > 0 && bsearch(&name, users, count, sizeof(*users), by_name);
}

/* Reads the list; what finds no memory is left out. */
static void read_users(struct chat *chat, const struct json_object *in)
{
    const struct json_field *list = json_find(in, "Users");
    struct json_field element;
    size_t at = 0, cap = 0;
    while (list && json_element(list, &at, &element)) {
        if (chat->user_count == cap) {
            cap = cap ? 2 * cap : 16;
            char **users = realloc(chat->users, cap * sizeof(*users));
            if (!users)
                return;
            chat->users = users;
        }
        char name[NAME_MAX_BYTES + 1];
        char *copy = json_string(&element, name, sizeof(name)) > 0 ? strdup(name) : NULL;
        if (copy)
            chat->users[chat->user_count++] = copy;
    }
}

/* Says who of `ours` is not among `theirs`: by name if it is one. */
static void tell_difference(struct chat *chat, char *const *ours, size_t count, char *const *theirs,
                            size_t their_count, const char *what)
{
    const char *one = NULL;
    size_t others = 0;
    for (size_t i = 0; i < count; i++) {
        if (among(theirs, their_count, ours[i]))
            continue;
        one = ours[i];
        others++;
    }
    if (others == 1)
        show_note(chat->show, SHOW_INFO, "%s %s", one, what);
    else if (others > 1)
        show_note(chat->show, SHOW_INFO, "%zu people %s", others, what);
}

/* The first list after Joined: history has ended. What did not come back by now had not arrived. */
static void settle(struct chat *chat)
{
    chat->place = CHAT_INSIDE;
    if (chat->last_id < chat->joined_id)
        chat->last_id = chat->joined_id;
    mail_settle(&chat->mail);
    show_note(chat->show, SHOW_INFO, "%zu here; /w tells who", chat->user_count);
}

static void on_online_users(struct chat *chat, const struct json_object *in)
{
    struct say_heard plain = {.private = false};
    char **before = chat->users;
    size_t count = chat->user_count;
    chat->users = NULL;
    chat->user_count = 0;
    read_users(chat, in);
    if (chat->user_count > 0)
        qsort(chat->users, chat->user_count, sizeof(*chat->users), by_name);
    if (chat->place == CHAT_INSIDE) {
        tell_difference(chat, chat->users, chat->user_count, before, count, "came");
        tell_difference(chat, before, count, chat->users, chat->user_count, "left");
    }
    for (size_t i = 0; i < count; i++)
        free(before[i]);
    free(before);
    talks_expire(&chat->mail.talks);
    for (struct talk *talk = chat->mail.talks.first; talk; talk = talk->next)
        if (talk->plain && !among(chat->users, chat->user_count, talk->peer.name))
            talk_left(talk);
    if (chat->place == CHAT_ENTERING)
        settle(chat);
    show_json(chat->show, in, &plain);
    mail_flush(&chat->mail);
}

/* ---- Broadcasts ---- */

/* The letter that a broadcast of ours is. A server that returns no Ref returns the text. */
static struct letter *own_letter(struct chat *chat, const struct json_object *in)
{
    char *ref = json_text(in, "Ref"), *text = json_text(in, "text");
    struct letter *letter = ref ? post_find(&chat->mail.post, ref) : NULL;
    if (!ref && text && !chat->dial.v2) {
        letter = chat->mail.post.first;
        while (letter &&
               (letter->to || letter->state != LETTER_SENT || strcmp(letter->text, text) != 0))
            letter = letter->next;
    }
    free(ref);
    free(text);
    return letter;
}

/* With --once the first message is the last. */
static void was_heard(struct chat *chat)
{
    if (chat->options->once)
        chat->status = STATUS_OK;
}

static void on_broadcast(struct chat *chat, const struct json_object *in)
{
    char from[NAME_MAX_BYTES + 1];
    uint64_t id = json_count(in, "Id");
    struct say_heard plain = {.private = false};
    if (!talk_name(in, "SrcUser", from) || (chat->dial.v2 && id && id <= chat->last_id))
        return;
    if (id)
        chat->last_id = id;
    bool own = strcmp(from, chat->name) == 0;
    struct letter *letter = own ? own_letter(chat, in) : NULL;
    if (letter && !letter->to)
        post_delivered(&chat->mail.post, letter);
    if (post_heard(&chat->mail.post, from, in))
        return;
    struct show_message message = {.from = from};
    show_text(chat->show, in, &message);
    show_json(chat->show, in, &plain);
    if (!own && !json_true(in, "History"))
        was_heard(chat);
}

/* ---- Being refused ---- */

/* The server does not let us in. A name that is taken may be our own ghost's, if we were in before;
 * then, as when the server ends or somebody else at our address guessed passwords, trying again later
 * helps. */
static void on_refusal(struct chat *chat, const struct json_object *in, const char *why)
{
    bool later = json_is(in, "Code", "shutting_down") || json_is(in, "Code", "name_taken") ||
                 json_is(in, "Code", "throttled");
    bool asked = chat->asked_password || !chat->options->password;
    if (later && chat->joined_once) {
        dial_drop(&chat->dial);
        return;
    }
    if (json_is(in, "Code", "wrong_password") && chat->options->mode == MODE_TALK && asked) {
        chat->wrong_password = chat->asked_password;
        want_password(chat);
        return;
    }
    show_note(chat->show, SHOW_WARN, "the server does not let you in: %s", why);
    chat_end(chat, STATUS_REFUSED);
}

static void on_error(struct chat *chat, const struct json_object *in)
{
    char *text = json_text(in, "text");
    const char *why = text ? text : "it gives no reason";
    if (chat->place == CHAT_OUTSIDE)
        on_refusal(chat, in, why);
    else if (!mail_error(&chat->mail, in, why))
        show_note(chat->show, SHOW_WARN, "the server says: %s", why);
    free(text);
}

/* ---- Letters: mail.c knows them ---- */

static void on_private_message(struct chat *chat, const struct json_object *in)
{
    mail_private(&chat->mail, in);
    if (chat->mail.heard)
        was_heard(chat);
}

static void on_user_keys(struct chat *chat, const struct json_object *in)
{
    mail_keys(&chat->mail, in);
}

static void on_delivered(struct chat *chat, const struct json_object *in)
{
    mail_delivered(&chat->mail, in);
}

/* ---- Losing the line ---- */

/* How it ends when there is no use in trying again; -1 when there is. */
static int verdict(struct chat *chat)
{
    if (chat->dial.code == WS_CODE_TAKEN_OVER || chat->dial.code == WS_CODE_POLICY)
        return STATUS_REFUSED;
    if (chat->joined_once)
        return -1;
    return chat->dial.answered ? STATUS_REFUSED : STATUS_CONNECT;
}

/* The short way knows no Hello that would ask for a password; a server that needs one hangs up. */
static bool needs_password(const struct chat *chat)
{
    return !chat->joined_once && chat->dial.answered && !chat->dial.v2 &&
           !chat->options->password && chat->options->mode == MODE_TALK;
}

bool chat_lost(struct chat *chat)
{
    const char *why = chat->dial.why[0] ? chat->dial.why : "no reason was given";
    chat->place = CHAT_OUTSIDE;
    chat->mail.inside = false;
    chat->mail.comparing = NULL;
    if (chat->status >= 0)
        return false;
    if (chat->dial.code == WS_CODE_TOO_BIG)
        mail_too_long(&chat->mail);
    if (needs_password(chat)) {
        want_password(chat);
        return false;
    }
    chat->status = verdict(chat);
    if (chat->status >= 0) {
        show_note(chat->show, SHOW_WARN, "%s %s: %s",
                  chat->dial.answered ? "the connection was ended by" : "no connection to",
                  chat->server, why);
        return false;
    }
    if (!chat->lost_at) {
        show_note(chat->show, SHOW_NOTE, "the connection is lost (%s); trying again", why);
        chat_prompt(chat);
        chat->lost_at = net_now();
    }
    return true;
}

/* ---- What can come ---- */

static const struct {
    const char *type;
    void (*handle)(struct chat *chat, const struct json_object *in);
    bool inside; /* means something only once we are in */
} handlers[] = {
    {"Hello", on_hello, false},
    {"Joined", on_joined, false},
    {"OnlineUsers", on_online_users, true},
    {"Broadcast", on_broadcast, true},
    {"PrivateMessage", on_private_message, true},
    {"UserKeys", on_user_keys, true},
    {"Delivered", on_delivered, true},
    {"Error", on_error, false},
};

/* Types and fields that are not known here are passed over, as the protocol asks. */
void chat_heard(struct chat *chat, const char *text, size_t len)
{
    struct json_object in;
    struct json_error error;
    if (json_parse(&in, text, len, &error) < 0) {
        show_note(chat->show, SHOW_WARN, "the server sent no JSON: %s", error.why);
        return;
    }
    if (json_find(&in, "ServerName") && !json_find(&in, "msgType"))
        on_server_name(chat, &in);
    for (size_t i = 0; i < sizeof(handlers) / sizeof(*handlers); i++) {
        bool fits = chat->place != CHAT_OUTSIDE || !handlers[i].inside;
        if (fits && json_is(&in, "msgType", handlers[i].type)) {
            handlers[i].handle(chat, &in);
            return; /* the line may be down by now, and what `in` borrows from gone */
        }
    }
}
