/* SPDX-License-Identifier: MIT
 *
 * mail.c - what is said, and what one person says to us, as mail.h promises it.
 *
 * Three chapters: letters out, private messages in, and the keys between the two. What a key means is
 * talk.c's to say; what a letter's fate is, post.c keeps.
 */
#include "mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

enum { ABOUT_MAX = 256 }; /* bytes of a Ref that a notice repeats; a longer one is left out */

static const char keys_ref[] = "keys"; /* the Ref of every GetKeys */

int mail_init(struct mail *mail, struct dial *dial, struct show *show, struct contacts *contacts,
              char *server)
{
    memset(mail, 0, sizeof(*mail));
    mail->dial = dial;
    mail->show = show;
    mail->max_message = DIAL_MESSAGE_MAX;
    talks_init(&mail->talks, contacts, server);
    return post_init(&mail->post) ? 0 : -1;
}

void mail_fini(struct mail *mail)
{
    post_fini(&mail->post);
    talks_fini(&mail->talks);
}

void mail_send(struct mail *mail, char *json)
{
    if (!json || dial_send(mail->dial, json, strlen(json)) < 0)
        show_note(mail->show, SHOW_WARN, "a message could not be sent: out of memory");
    free(json);
}

/* ---- Letters out ---- */

static void fail_letter(struct mail *mail, struct letter *letter, const char *why)
{
    mail->failed = true;
    show_note(mail->show, SHOW_WARN, "not sent%s%s: \"%.40s\": %s", letter->to ? " to " : "",
              letter->to ? letter->to : "", letter->text, why);
    post_drop(&mail->post, letter);
}

static void ask_keys(struct mail *mail, struct talk *talk)
{
    if (talk->asked)
        return;
    talk->asked = true;
    mail_send(mail, say_get_keys(talk->peer.name, keys_ref));
}

static void show_delivered(struct mail *mail, const struct letter *letter)
{
    struct talk *talk = talk_with(&mail->talks, letter->to);
    bool verified = talk && talk->state == TALK_VERIFIED;
    struct show_message message = {.to = letter->to,
                                   .text = letter->text,
                                   .len = strlen(letter->text),
                                   .mark = !letter->sealed ? "[not encrypted]"
                                           : verified      ? "[verified]"
                                                           : "[encrypted]",
                                   .warn = !letter->sealed};
    show_message(mail->show, &message);
}

/* The message for a private letter, or NULL: it waits, or *why says why it cannot go. */
static char *write_private(struct mail *mail, struct letter *letter, struct talk *talk,
                           const char **why)
{
    size_t len;
    char *json;
    switch (mail->dial->v2 ? talk->state : TALK_NONE) {
    case TALK_ASKING:
        ask_keys(mail, talk);
        return NULL;
    case TALK_NONE:
        letter->sealed = false;
        if (talk->plain)
            return say_private(letter->to, letter->text, letter->ref);
        *why = talk->known == CONTACTS_UNKNOWN
                   ? "there are no keys for this; /plain NAME allows to talk unencrypted"
                   : "the keys that were there before are GONE; /plain NAME allows to talk "
                     "unencrypted";
        return NULL;
    case TALK_CHANGED:
        *why = "the key has changed; /accept NAME accepts the new one";
        return NULL;
    case TALK_FORGED:
        *why = "the keys that the server gave out are not signed right: somebody, perhaps the "
               "server, is cheating";
        return NULL;
    case TALK_ENCRYPTED:
    case TALK_VERIFIED:
        break;
    }
    letter->sealed = true;
    json = talk_seal(&mail->talks, talk, letter->text, letter->ref, &len);
    if (!json)
        *why = "it could not be sealed";
    return json;
}

static char *write_letter(struct mail *mail, struct letter *letter, const char **why)
{
    if (!letter->to)
        return say_broadcast(letter->text, letter->ref);
    struct talk *talk = talk_with(&mail->talks, letter->to);
    if (talk)
        return write_private(mail, letter, talk, why);
    *why = "nobody can have that name";
    return NULL;
}

/* Sends one letter if it can be sent. Returns false when the line takes no more. */
static bool send_letter(struct mail *mail, struct letter *letter)
{
    const char *why = NULL;
    char *json = write_letter(mail, letter, &why);
    bool taken = true;
    if (json && strlen(json) > mail->max_message)
        why = "it is too long for the server";
    if (json && !why)
        taken = dial_send(mail->dial, json, strlen(json)) == 0;
    if (json && !why && taken)
        letter->state = LETTER_SENT;
    free(json);
    if (why)
        fail_letter(mail, letter, why);
    else if (!mail->dial->v2 && letter->to && letter->state == LETTER_SENT) {
        show_delivered(mail, letter); /* the original server does not say so */
        post_delivered(&mail->post, letter);
    }
    return taken;
}

void mail_flush(struct mail *mail)
{
    struct letter *next;
    bool taken = mail->inside && mail->dial->state == DIAL_UP;
    for (struct letter *letter = mail->post.first; letter && taken; letter = next) {
        next = letter->next;
        if (letter->state == LETTER_WAITING)
            taken = send_letter(mail, letter);
    }
}

bool mail_say(struct mail *mail, const char *to, const char *text)
{
    struct letter *letter = post_add(&mail->post, to, text);
    if (!letter) {
        show_note(mail->show, SHOW_WARN,
                  "not sent: %d messages wait to be delivered already, or memory is out", POST_MAX);
        return false;
    }
    mail_flush(mail);
    return true;
}

void mail_settle(struct mail *mail)
{
    struct letter *next;
    for (struct letter *letter = mail->post.first; letter; letter = next) {
        next = letter->next;
        if (letter->state == LETTER_SENT && letter->to && !letter->sealed)
            fail_letter(mail, letter, "the connection was lost before the server said so");
    }
    post_resend(&mail->post);
    mail->inside = true;
}

void mail_too_long(struct mail *mail)
{
    struct letter *letter = mail->post.first;
    while (letter && letter->state != LETTER_SENT)
        letter = letter->next;
    if (letter)
        fail_letter(mail, letter, "it is too long for the server");
}

/* All that waits for somebody's keys. */
static void fail_waiting(struct mail *mail, const char *name, const char *why)
{
    struct letter *next;
    struct talk *talk = talk_with(&mail->talks, name);
    for (struct letter *letter = mail->post.first; letter; letter = next) {
        next = letter->next;
        if (letter->to && letter->state == LETTER_WAITING && talk &&
            talk_with(&mail->talks, letter->to) == talk)
            fail_letter(mail, letter, why);
    }
    if (talk)
        talk->asked = talk->compares = false;
}

void mail_delivered(struct mail *mail, const struct json_object *in)
{
    char *ref = json_text(in, "Ref");
    struct letter *letter = ref ? post_find(&mail->post, ref) : NULL;
    free(ref);
    if (!letter || !letter->to || letter->state != LETTER_SENT)
        return;
    if (!letter->again)
        show_delivered(mail, letter);
    post_delivered(&mail->post, letter);
}

bool mail_error(struct mail *mail, const struct json_object *in, const char *why)
{
    char *ref = json_text(in, "Ref"), *to = json_text(in, "TgtUser");
    struct letter *letter = ref ? post_find(&mail->post, ref) : NULL;
    bool ours = true;
    if (letter && letter->state == LETTER_SENT)
        fail_letter(mail, letter, why);
    else if (ref && to && strcmp(ref, keys_ref) == 0)
        fail_waiting(mail, to, why);
    else
        ours = false;
    free(ref);
    free(to);
    return ours;
}

/* ---- Private messages in ---- */

static void tell_error(struct mail *mail, const char *error)
{
    if (error[0])
        show_note(mail->show, SHOW_WARN, "%s", error);
}

static void show_opened(struct mail *mail, const struct json_object *in, const char *from,
                        const struct talk *talk, const struct e2e_opened *opened)
{
    bool verified = talk->known == CONTACTS_VERIFIED;
    struct show_message message = {.from = from,
                                   .text = opened->text,
                                   .len = opened->len,
                                   .time = json_count(in, "Time"),
                                   .mark = verified ? "[verified]" : "[encrypted]"};
    struct say_heard heard = {
        .private = true, .encrypted = true, .verified = verified, .text = opened->text};
    if (opened->missing)
        show_note(mail->show, SHOW_WARN, "%llu messages of %s did not arrive",
                  (unsigned long long)opened->missing, from);
    show_message(mail->show, &message);
    show_json(mail->show, in, &heard);
    mail->heard = true;
}

static const char *explain(enum e2e_verdict verdict)
{
    switch (verdict) {
    case E2E_BAD_SIGNATURE:
        return "its signature is wrong: somebody, perhaps the server, is cheating";
    case E2E_REPLAYED:
        return "it came a second time";
    case E2E_CANNOT_OPEN:
        return "it does not open";
    case E2E_MALFORMED:
    case E2E_STALE_KEY:   /* its sender sends it again by itself */
    case E2E_KEY_CHANGED: /* tell_changed says so */
    case E2E_OPENED:
        break;
    }
    return "it is malformed";
}

static void tell_changed(struct mail *mail, const struct talk *talk, const char *name)
{
    show_note(mail->show, SHOW_WARN,
              "%s has another key than before%s. It may be a new device, or somebody else. "
              "/verify %s shows the number to compare, /accept %s accepts the key.",
              name, talk->known == CONTACTS_VERIFIED ? ", and you had COMPARED that one" : "", name,
              name);
}

/* The sender hears of it once, never in answer to a notice. */
static void refuse_message(struct mail *mail, const struct json_object *in, const char *from,
                           enum e2e_verdict verdict)
{
    struct say_heard heard = {.private = true, .encrypted = true, .code = e2e_code(verdict)};
    const struct json_field *ref = json_find(in, "Ref");
    if (ref && ref->value_len > ABOUT_MAX)
        ref = NULL;
    if (verdict != E2E_STALE_KEY && verdict != E2E_KEY_CHANGED)
        show_note(mail->show, SHOW_WARN, "a message of %s cannot be read: %s", from,
                  explain(verdict));
    show_json(mail->show, in, &heard);
    mail_send(mail, say_notice(from, e2e_code(verdict), ref));
}

/* A message that waits for its sender's key to be accepted. */
static void set_aside(struct mail *mail, const struct json_object *in, struct talk *talk)
{
    struct say_heard unmarked = {.private = false};
    char *json = say_heard(in, &unmarked);
    if (!talk->waiting)
        tell_changed(mail, talk, talk->peer.name);
    if (json && talk_wait(talk, json, strlen(json)))
        show_note(mail->show, SHOW_INFO, "a message of %s waits for that", talk->peer.name);
    free(json);
}

static void on_sealed(struct mail *mail, const struct json_object *in, const char *from,
                      struct talk *talk)
{
    char error[CONTACTS_ERROR_MAX];
    struct e2e_opened opened = {.text = NULL};
    enum e2e_verdict verdict = talk_open(&mail->talks, talk, in, &opened, error);
    tell_error(mail, error);
    if (verdict == E2E_KEY_CHANGED)
        set_aside(mail, in, talk);
    if (verdict != E2E_OPENED) {
        refuse_message(mail, in, from, verdict);
        return;
    }
    if (!post_heard(&mail->post, from, in))
        show_opened(mail, in, from, talk, &opened);
    OPENSSL_cleanse(opened.text, opened.len);
    free(opened.text);
}

/* Plaintext of somebody whose key is known is marked: he, or the server, took the lock off. */
static void on_plain(struct mail *mail, const struct json_object *in, const char *from,
                     const struct talk *talk)
{
    bool known = talk && talk->known != CONTACTS_UNKNOWN;
    struct show_message message = {.from = from,
                                   .mark = known ? "[NOT ENCRYPTED, although you know a key]"
                                                 : "[not encrypted]",
                                   .warn = true};
    struct say_heard heard = {.private = true};
    if (post_heard(&mail->post, from, in))
        return;
    show_text(mail->show, in, &message);
    show_json(mail->show, in, &heard);
    mail->heard = true;
}

/* The other side says that it could not read a message of ours. That is not proven: it is told, and
 * only a stale key, which may be an accident, has a consequence. */
static void on_notice(struct mail *mail, const struct json_object *in, const char *from)
{
    char *about = json_text(in, "About"), *code = json_text(in, "Code");
    struct letter *letter = about ? post_find(&mail->post, about) : NULL;
    struct talk *talk = letter && letter->to ? talk_with(&mail->talks, letter->to) : NULL;
    if (talk && talk == talk_with(&mail->talks, from)) {
        if (code && strcmp(code, "stale_key") == 0 && letter->sealed && !letter->again) {
            post_once_more(&mail->post, letter);
            talk->state = TALK_ASKING;
            talk->asked = false;
            mail_flush(mail);
        } else {
            show_note(mail->show, SHOW_WARN, "%s could not read \"%.40s\" (%s)", from, letter->text,
                      code ? code : "no reason");
        }
    }
    free(about);
    free(code);
}

void mail_private(struct mail *mail, const struct json_object *in)
{
    char from[NAME_MAX_BYTES + 1];
    if (!talk_name(in, "SrcUser", from))
        return;
    struct talk *talk = talk_with(&mail->talks, from);
    if (json_find(in, "Notice"))
        on_notice(mail, in, from);
    else if (!e2e_is_sealed(in))
        on_plain(mail, in, from, talk);
    else if (talk && mail->talks.open)
        on_sealed(mail, in, from, talk);
}

/* ---- Keys ---- */

static void show_number(struct mail *mail, struct talk *talk)
{
    char number[E2E_SAFETY_MAX];
    const char *name = talk->peer.name;
    if (!talk_safety(&mail->talks, talk, mail->compared, number)) {
        show_note(mail->show, SHOW_NOTE, "%s has no key that could be compared", name);
        return;
    }
    show_note(mail->show, SHOW_NOTE, "Your safety number with %s:\n%.35s\n%s", name, number,
              number + 36);
    show_note(mail->show, SHOW_NOTE,
              "Compare it where you know that it is %s: on the phone, or face to face. Type yes if "
              "it is the same; anything else changes nothing.",
              name);
    mail->comparing = talk;
    screen_prompt(&mail->show->screen, "the same? (yes/no) > ");
}

void mail_keys(struct mail *mail, const struct json_object *in)
{
    char error[CONTACTS_ERROR_MAX];
    struct talk *talk = mail->talks.open ? talk_keys(&mail->talks, in, error) : NULL;
    if (!talk)
        return;
    tell_error(mail, error);
    if (talk->state == TALK_CHANGED && !talk->compares)
        tell_changed(mail, talk, talk->peer.name);
    if (talk->compares)
        show_number(mail, talk);
    talk->compares = false;
    mail_flush(mail);
}

void mail_compare(struct mail *mail, struct talk *talk)
{
    if (talk->state == TALK_ASKING && mail->inside && mail->dial->v2) {
        talk->compares = true;
        ask_keys(mail, talk);
    } else {
        show_number(mail, talk);
    }
}

void mail_accepted(struct mail *mail, struct talk *talk)
{
    struct json_object in;
    struct json_error ignored;
    struct talk_waiting *waiting;
    size_t count = talk->waiting_count; /* one that still cannot be read joins them again */
    while (count-- > 0 && (waiting = talk_take(talk)) != NULL) {
        if (json_parse(&in, waiting->json, waiting->len, &ignored) == 0)
            mail_private(mail, &in);
        free(waiting);
    }
}
