/* SPDX-License-Identifier: MIT
 *
 * chat.c - one member of one room. One thread.
 *
 * In the order of a session: joining (both ways of docs/PROTOCOL.md), who is here, broadcasts,
 * refusals, losing the connection. Each type of message has a handler; the table of
 * handlers is at the end.
 */
#include "client/chat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "client/input.h"
#include "lib/origin.h"

int chat_init(struct chat *chat, struct options *options, struct output *output,
              struct keystore *keystore)
{
    memset(chat, 0, sizeof(*chat));
    chat->options = options;
    chat->output = output;
    chat->status = -1;
    chat->deadline = INT64_MAX;
    snprintf(chat->name, sizeof(chat->name), "%s", options->name);
    url_server(&options->url, chat->address);
    keystore_server_name(keystore, chat->address, chat->server);
    ws_client_init(&chat->ws, &options->url, NULL);
    private_init(&chat->private, &chat->ws, output, keystore, chat->server);
    who_init(&chat->who, &chat->ws, output);
    backlog_init(&chat->backlog, &chat->ws, output, options->history);
    return 0;
}

void chat_fini(struct chat *chat)
{
    ws_client_fini(&chat->ws);
    private_fini(&chat->private);
    backlog_fini(&chat->backlog);
    who_fini(&chat->who);
    free(chat->epoch);
}

/* ---- Joining ---- */

static const char *password(const struct chat *chat)
{
    return chat->options->password ? chat->options->password : "";
}

/* Private messages need keys that are new for each connection. Returns the fields of a Join for
 * them, or NULL. */
static char *begin_mail(struct chat *chat, const char *nonce)
{
    char origin[URL_ORIGIN_MAX];
    struct e2e_place place = {
        .origin = origin, .room = chat->options->room, .name = chat->options->name};
    url_origin(&chat->options->url, origin);
    return private_begin(&chat->private, &place, nonce);
}

/* The short way (docs/PROTOCOL.md): password and name, each in its own frame. */
void chat_opened(struct chat *chat)
{
    chat->greeted = false;
    if (chat->ws.v2)
        return;
    free(begin_mail(chat, NULL));
    ws_client_send(&chat->ws, password(chat), strlen(password(chat)));
    ws_client_send(&chat->ws, chat->options->name, strlen(chat->options->name));
}

void chat_end(struct chat *chat, int status)
{
    if (chat->status < 0)
        chat->status = status;
}

/* Drops the connection until a password was typed, because the server does not wait that long. */
static void want_password(struct chat *chat)
{
    if (chat->options->mode != MODE_TALK) {
        output_note(chat->output, OUTPUT_WARN,
                    "the room needs a password: --password-file FILE, or $RAGNAROK_PASSWORD");
        chat_end(chat, STATUS_REFUSED);
        return;
    }
    chat->wants_password = true;
    ws_client_drop(&chat->ws);
}

/* Sends Join, with keys or (NULL) without. */
static void send_join(struct chat *chat, const char *claim)
{
    struct client_json_join join = {.password = password(chat),
                                    .name = chat->options->name,
                                    .claim = claim,
                                    .epoch = chat->epoch,
                                    .after = chat->last_id};
    private_send(&chat->private, client_json_join(&join));
}

/* Only one Hello is answered for each connection. A server that could send more would get a proof
 * for any nonce, and the password again and again. */
static void on_hello(struct chat *chat, const struct json_object *in)
{
    if (chat->greeted || !chat->ws.v2)
        return;
    chat->greeted = true;
    backlog_greeted(&chat->backlog, in);
    char *nonce = json_get_string(in, "Nonce"), *claim = NULL;
    if (json_get_bool(in, "PasswordRequired") && !chat->options->password) {
        free(nonce);
        want_password(chat);
        return;
    }
    claim = begin_mail(chat, nonce ? nonce : "");
    send_join(chat, claim);
    free(claim);
    free(nonce);
}

void chat_prompt(struct chat *chat)
{
    bool offline = chat->place == CHAT_OUTSIDE;
    const char *prompt = offline ? "(offline) > " : "> ";
    screen_prompt(&chat->output->screen, chat->private.comparing ? PRIVATE_COMPARE_PROMPT : prompt);
}

/* The common part of both ways to join. */
static void come_in(struct chat *chat, bool all_there)
{
    if (chat->options->mode == MODE_TALK && !chat->output->screen.open &&
        screen_open(&chat->output->screen) < 0)
        chat_end(chat, STATUS_USAGE);
    if (chat->nick_state == CHAT_NICK_COMES)
        output_note(chat->output, OUTPUT_NOTE, "you are %s now",
                    output_quote(chat->options->name).text);
    else if (!chat->joined_once)
        output_note(chat->output, OUTPUT_INFO, "You are in. /help tells what can be done.");
    else
        output_note(chat->output, OUTPUT_NOTE, "connected again%s",
                    all_there ? "" : "; something may be missing, which /history may show");
    chat->joined_once = true;
    chat->nick_state = CHAT_NICK_STAYS;
    chat->place = CHAT_ENTERING;
    chat->came_at = net_now();
    chat->lost_at = 0;
    backlog_joined(&chat->backlog, all_there);
    chat_prompt(chat);
}

static void on_joined(struct chat *chat, const struct json_object *in)
{
    struct client_json_heard plain = {.private = false};
    char *epoch = json_get_string(in, "Epoch");
    if (!epoch || !chat->epoch || strcmp(epoch, chat->epoch) != 0)
        chat->last_id = 0; /* a new room of the same name: its Ids start again */
    free(chat->epoch);
    chat->epoch = epoch;
    chat->joined_id = json_get_uint(in, "LastId");
    conversation_name(in, "Name", chat->name);
    if (json_get_uint(in, "MaxMessageBytes"))
        chat->private.max_message = (size_t)json_get_uint(in, "MaxMessageBytes");
    come_in(chat, json_get_bool(in, "Resumed"));
    output_json(chat->output, in, &plain);
}

/* {"ServerName":...}: the short way was taken. */
static void on_server_name(struct chat *chat, const struct json_object *in)
{
    (void)in;
    if (chat->ws.v2 || chat->place != CHAT_OUTSIDE)
        return;
    snprintf(chat->name, sizeof(chat->name), "%s", chat->options->name);
    come_in(chat, false);
}

/* ---- Who is here ---- */

static void tell_count(struct chat *chat)
{
    output_note(chat->output, OUTPUT_INFO, "%" PRIu64 " here; /w tells who", chat->who.count);
}

/* The first list after Joined: history has ended. A text that has not come back by now had not
 * arrived. */
static void history_ended(struct chat *chat)
{
    chat->place = CHAT_INSIDE;
    if (chat->last_id < chat->joined_id)
        chat->last_id = chat->joined_id;
    private_settle(&chat->private);
    tell_count(chat);
}

/* Tells who came and left, or that this is not told from now on, or is told again. */
static void tell_change(struct chat *chat, const struct who_change *change, bool was_counted)
{
    who_tell_change(&chat->who, change);
    if (chat->who.counted && !was_counted)
        output_note(chat->output, OUTPUT_INFO, "%" PRIu64 " here: too many to tell who came",
                    chat->who.count);
    else if (was_counted && !chat->who.counted)
        tell_count(chat);
}

/* OnlineUsers or Presence. */
static void on_presence(struct chat *chat, const struct json_object *in)
{
    struct client_json_heard plain = {.private = false};
    struct who_change change;
    bool was_counted = chat->who.counted, inside = chat->place == CHAT_INSIDE;
    if (who_heard(&chat->who, in, &change) && (inside || change.all)) {
        if (inside)
            tell_change(chat, &change, was_counted);
        private_users(&chat->private, &chat->who, &change);
        if (!inside)
            history_ended(chat);
        output_json(chat->output, in, &plain);
        private_flush(&chat->private);
    }
    who_change_fini(&change);
}

static void on_users(struct chat *chat, const struct json_object *in)
{
    if (who_answered(&chat->who, in) == WHO_COMPLETE)
        input_offered(chat);
}

/* ---- Broadcasts ---- */

/* Finds the unconfirmed text of a broadcast of ours. A server that returns no Ref returns the text.
 */
static struct unacked_message *own_message(struct chat *chat, const struct json_object *in)
{
    char *ref = json_get_string(in, "Ref"), *text = json_get_string(in, "text");
    struct unacked_message *message = ref ? unacked_find(&chat->private.unacked, ref) : NULL;
    if (!ref && text && !chat->ws.v2) {
        message = chat->private.unacked.first;
        while (message &&
               (message->to || message->state != UNACKED_SENT || strcmp(message->text, text) != 0))
            message = message->next;
    }
    free(ref);
    free(text);
    return message;
}

/* With --once the first message ends the program. */
static void was_heard(struct chat *chat)
{
    if (chat->options->once)
        chat->status = STATUS_OK;
}

static void on_said(struct chat *chat, const struct json_object *in)
{
    char from[NAME_MAX_BYTES + 1];
    uint64_t id = json_get_uint(in, "Id");
    struct client_json_heard plain = {.private = false};
    if (!conversation_name(in, "SrcUser", from) || (chat->ws.v2 && id && id <= chat->last_id))
        return;
    if (id)
        chat->last_id = id;
    backlog_shown(&chat->backlog, id);
    bool own = strcmp(from, chat->name) == 0;
    struct unacked_message *sent = own ? own_message(chat, in) : NULL;
    if (sent && !sent->to)
        private_drop(&chat->private, sent);
    if (unacked_heard(&chat->private.unacked, from, in))
        return;
    struct output_message message = {.from = from};
    output_text(chat->output, in, &message);
    output_json(chat->output, in, &plain);
    if (!own && !json_get_bool(in, "History"))
        was_heard(chat);
}

/* ---- /nick ---- */

void chat_nick(struct chat *chat, const char *name)
{
    const char *why = name_check(name, strlen(name));
    if (!why && (chat->place != CHAT_INSIDE || chat->nick_state != CHAT_NICK_STAYS))
        why = "you are not in at the moment";
    else if (!why && strcmp(name, chat->options->name) == 0)
        why = "that is your name already";
    else if (!why && private_unsent(&chat->private) > 0) /* its echo would go to the old name */
        why = "what you said is still on its way; try again";
    if (why) {
        output_note(chat->output, OUTPUT_NOTE, "your name stays: %s", why);
        return;
    }
    snprintf(chat->former, sizeof(chat->former), "%s", chat->options->name);
    snprintf(chat->nick, sizeof(chat->nick), "%s", name);
    chat->options->name = chat->nick;
    chat->nick_state = CHAT_NICK_LEAVES;
    private_part(&chat->private);
    chat->private.inside = false;
    ws_client_close(&chat->ws);
}

static void give_nick_up(struct chat *chat, const char *why)
{
    output_note(chat->output, OUTPUT_WARN, "you cannot be %s: %s; coming back as %s",
                output_quote(chat->nick).text, why, output_quote(chat->former).text);
    snprintf(chat->nick, sizeof(chat->nick), "%s", chat->former);
    chat->nick_state = CHAT_NICK_STAYS;
}

/* Continues a /nick after the connection was closed for it, or after the new name failed. Returns
 * false if neither is so. */
static bool go_on_renaming(struct chat *chat, const char *why)
{
    if (chat->nick_state == CHAT_NICK_STAYS)
        return false;
    if (chat->nick_state == CHAT_NICK_LEAVES) {
        chat->nick_state = CHAT_NICK_COMES;
        ws_client_start(&chat->ws);
    } else {
        give_nick_up(chat, why);
    }
    return true;
}

/* ---- Refusals ---- */

/* The server refuses all passwords from our address for a while. A person waits; a script does if
 * --timeout leaves it the time, or if it was joined before. Returns false if waiting is useless. */
static bool wait_as_told(struct chat *chat, const struct json_object *in)
{
    uint64_t seconds = json_error_code(in) == ERROR_THROTTLED ? json_get_uint(in, "RetryAfter") : 0;
    if (seconds == 0 || seconds > CHAT_RETRY_AFTER_MAX)
        return false;
    int64_t at = net_now() + (int64_t)seconds * 1000;
    bool in_time = chat->deadline != INT64_MAX && at < chat->deadline;
    if (chat->options->mode != MODE_TALK && !chat->joined_once && !in_time)
        return false;
    output_note(chat->output, OUTPUT_NOTE,
                "too many wrong passwords: the server lets nobody in from here for %d second%s; "
                "trying again then",
                (int)seconds, seconds == 1 ? "" : "s");
    chat->retry_at = at;
    ws_client_drop(&chat->ws);
    return true;
}

/* Handles a refused Join. A retry helps when the server ends, when it cannot reach the others of
 * its cluster, when somebody else at our address guessed passwords, and when a name is taken after
 * we were joined before: our own old connection may hold it. */
static void on_refusal(struct chat *chat, const struct json_object *in, const char *why)
{
    enum protocol_error code = json_error_code(in);
    bool later = code == ERROR_SHUTTING_DOWN || code == ERROR_NAME_TAKEN ||
                 code == ERROR_THROTTLED || code == ERROR_UNAVAILABLE;
    bool asked = chat->asked_password || !chat->options->password;
    if (chat->nick_state == CHAT_NICK_COMES) {
        give_nick_up(chat, why);
        ws_client_drop(&chat->ws);
        return;
    }
    if (wait_as_told(chat, in))
        return;
    if (later && chat->joined_once) {
        ws_client_drop(&chat->ws);
        return;
    }
    if (code == ERROR_WRONG_PASSWORD && chat->options->mode == MODE_TALK && asked) {
        chat->wrong_password = chat->asked_password;
        want_password(chat);
        return;
    }
    output_note(chat->output, OUTPUT_WARN, "the server does not let you in: %s", why);
    chat_end(chat, STATUS_REFUSED);
}

/* The server does not know the name that was dialled as its own. Nothing else is wrong, so the same
 * connection can join without keys. */
static void join_without_keys(struct chat *chat)
{
    char origin[URL_ORIGIN_MAX];
    url_origin(&chat->options->url, origin);
    private_wrong_origin(&chat->private, origin);
    send_join(chat, NULL);
}

/* Ends a script that has printed older messages, or cannot. Returns whether the result is ours. */
static bool end_backlog(struct chat *chat, enum backlog_result result)
{
    if (result == BACKLOG_DONE)
        chat_end(chat, STATUS_OK);
    else if (result == BACKLOG_FAILED)
        chat_end(chat, STATUS_PARTLY);
    return result != BACKLOG_NOT_OURS;
}

static void on_history(struct chat *chat, const struct json_object *in)
{
    end_backlog(chat, backlog_heard(&chat->backlog, in));
}

static void on_error(struct chat *chat, const struct json_object *in)
{
    char *text = json_get_string(in, "text");
    const char *why = text ? text : "it gives no reason";
    if (chat->place == CHAT_OUTSIDE && json_error_code(in) == ERROR_WRONG_ORIGIN &&
        !chat->private.off)
        join_without_keys(chat);
    else if (chat->place == CHAT_OUTSIDE)
        on_refusal(chat, in, why);
    else if (!end_backlog(chat, backlog_error(&chat->backlog, in, why)) &&
             who_refused(&chat->who, in, why) == WHO_NO_QUESTION &&
             !private_error(&chat->private, in, why))
        output_note(chat->output, OUTPUT_WARN, "the server says: %s", why);
    free(text);
}

/* ---- Messages for private_messages.c ---- */

static void on_private_message(struct chat *chat, const struct json_object *in)
{
    private_received(&chat->private, in);
    if (chat->private.heard)
        was_heard(chat);
}

static void on_user_keys(struct chat *chat, const struct json_object *in)
{
    private_keys(&chat->private, in);
}

static void on_delivered(struct chat *chat, const struct json_object *in)
{
    private_delivered(&chat->private, in);
}

/* ---- Losing the connection ---- */

/* Start of the reason of a Close with 1008 that is temporary (docs/PROTOCOL.md). */
static const char too_fast[] = "too fast";

/* Waits after the server found us too fast. Others can cause a client to send, so this is no
 * refusal. Returns false if the connection ended for another reason. `stayed` is how many
 * milliseconds we were joined. */
static bool pause_line(struct chat *chat, int64_t stayed)
{
    const struct ws_client *ws = &chat->ws;
    if (!chat->joined_once || ws->code != WS_CODE_POLICY ||
        strncmp(ws->why, too_fast, sizeof(too_fast) - 1) != 0)
        return false;
    int64_t pause = ws_client_pause(&chat->ws, stayed);
    chat->retry_at = net_now() + pause;
    chat->lost_at = chat->retry_at; /* CHAT_GIVE_UP_MS begins after the pause */
    output_note(
        chat->output, OUTPUT_NOTE,
        "the server ended the connection because this client sent too fast; trying again in "
        "%d seconds; what did not arrive is kept",
        (int)(pause / 1000));
    chat_prompt(chat);
    return true;
}

/* The exit status if a retry is useless, or -1. */
static int verdict(struct chat *chat)
{
    if (chat->ws.code == WS_CODE_TAKEN_OVER || chat->ws.code == WS_CODE_POLICY)
        return STATUS_REFUSED;
    if (chat->joined_once)
        return -1;
    return chat->ws.answered ? STATUS_REFUSED : STATUS_CONNECT;
}

/* The short way has no Hello to ask for a password; a server that needs one hangs up. */
static bool needs_password(const struct chat *chat)
{
    return !chat->joined_once && chat->ws.answered && !chat->ws.v2 && !chat->options->password &&
           chat->options->mode == MODE_TALK;
}

bool chat_lost(struct chat *chat)
{
    const char *why = chat->ws.why[0] ? chat->ws.why : "no reason was given";
    int64_t stayed = chat->place == CHAT_OUTSIDE ? 0 : net_now() - chat->came_at;
    ws_client_served(&chat->ws, stayed);
    chat->place = CHAT_OUTSIDE;
    private_lost(&chat->private);
    backlog_lost(&chat->backlog);
    who_lost(&chat->who);
    if (chat->status >= 0)
        return false;
    if (go_on_renaming(chat, why) || pause_line(chat, stayed))
        return true;
    if (chat->ws.code == WS_CODE_TOO_BIG)
        private_too_long(&chat->private);
    if (needs_password(chat)) {
        want_password(chat);
        return false;
    }
    chat->status = verdict(chat);
    if (chat->status >= 0) {
        output_note(chat->output, OUTPUT_WARN, "%s %s: %s",
                    chat->ws.answered ? "the connection was ended by" : "no connection to",
                    chat->address, why);
        return false;
    }
    if (!chat->lost_at) {
        output_note(chat->output, OUTPUT_NOTE, "the connection is lost (%s); trying again", why);
        chat_prompt(chat);
        chat->lost_at = net_now();
    }
    return true;
}

/* ---- The messages ---- */

/* Where a message is valid. */
enum where { OUTSIDE_ONLY, INSIDE_ONLY, ANYWHERE };

static const struct {
    const char *type;
    void (*handle)(struct chat *chat, const struct json_object *in);
    enum where where;
} handlers[] = {
    {"Hello", on_hello, OUTSIDE_ONLY},
    {"Joined", on_joined, OUTSIDE_ONLY},
    {"OnlineUsers", on_presence, INSIDE_ONLY},
    {"Presence", on_presence, INSIDE_ONLY},
    {"Users", on_users, INSIDE_ONLY},
    {"Broadcast", on_said, INSIDE_ONLY},
    {"PrivateMessage", on_private_message, INSIDE_ONLY},
    {"UserKeys", on_user_keys, INSIDE_ONLY},
    {"Delivered", on_delivered, INSIDE_ONLY},
    {"History", on_history, INSIDE_ONLY},
    {"State", on_history, INSIDE_ONLY},
    {"Error", on_error, ANYWHERE},
};

/* Unknown types and fields are ignored, as the protocol requires. */
void chat_heard(struct chat *chat, const char *text, size_t len)
{
    struct json_object in;
    struct json_error error;
    if (json_parse_answer(&in, text, len, &error) < 0) {
        output_note(chat->output, OUTPUT_WARN, "the server sent no JSON: %s", error.why);
        return;
    }
    if (json_find(&in, "ServerName") && !json_find(&in, "msgType"))
        on_server_name(chat, &in);
    for (size_t i = 0; i < sizeof(handlers) / sizeof(*handlers); i++) {
        enum where here = chat->place == CHAT_OUTSIDE ? OUTSIDE_ONLY : INSIDE_ONLY;
        bool fits = handlers[i].where == ANYWHERE || handlers[i].where == here;
        if (fits && json_equals(&in, "msgType", handlers[i].type)) {
            handlers[i].handle(chat, &in);
            return; /* the connection may be down, and the memory of `in` freed */
        }
    }
}
