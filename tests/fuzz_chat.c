/* SPDX-License-Identifier: MIT
 *
 * fuzz_chat.c - a hostile server, and a person at the keyboard, for libFuzzer (`make fuzz`).
 *
 * An input is lines. The first byte chooses how the terminal client came in and whom it serves; each
 * line is a message that comes, or, behind a '>', what is typed. What must hold are the sanitizers'
 * rules, and that each message is dealt with in time.
 */
#include "chat.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "typed.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { V2 = 1, INSIDE = 2, LISTENS = 4, SUSPEND = 'Z' & 0x1F, COLUMNS = 20 };

static char folder[] = "/tmp/fuzz_chat.XXXXXX";
static struct contacts contacts;

static void hear(struct chat *chat, const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    chat_heard(chat, exact, len);
    free(exact);
}

static void hear_text(struct chat *chat, const char *text)
{
    hear(chat, text, strlen(text));
}

static void come_in(struct chat *chat)
{
    static const char nonce[] =
        "{\"msgType\":\"Hello\",\"PasswordRequired\":false,\"Nonce\":"
        "\"00000000000000000000000000000000000000000000000000000000000000ff\"}";
    hear_text(chat, nonce);
    hear_text(chat, "{\"msgType\":\"Joined\",\"Name\":\"ana\",\"Epoch\":\"e\",\"LastId\":1}");
    hear_text(chat, "{\"msgType\":\"OnlineUsers\",\"Users\":[\"ana\",\"bob\"]}");
    mail_say(&chat->mail, "bob", "to be sealed");
    mail_say(&chat->mail, NULL, "to all");
}

static void type(struct chat *chat, const char *keys, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (keys[i] != SUSPEND)
            typed_key(chat, (unsigned char)keys[i]);
    typed_key(chat, '\r');
}

static void play(struct chat *chat, const char *at, const char *end)
{
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        if (*at == '>' && chat->show->mode == MODE_TALK)
            type(chat, at + 1, (size_t)(stop - at - 1));
        else
            hear(chat, at, (size_t)(stop - at));
        at = stop + 1;
    }
}

/* Each input begins without anybody known. */
static void forget_everybody(void)
{
    char path[sizeof(folder) + 32];
    snprintf(path, sizeof(path), "%s/ragnarok/known_keys", folder);
    unlink(path);
    free(contacts.keys.text);
    contacts.keys.text = strdup("");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chat chat;
    static struct show show;
    struct options options = {.name = "ana"};
    uint8_t how = size ? data[0] : 0;
    if (url_parse(&options.url, "wss://h:1/"))
        abort();
    options.mode = how & LISTENS ? MODE_LISTEN : MODE_TALK;
    memset(&show, 0, sizeof(show));
    show.mode = options.mode;
    show.screen.open = true;
    show.screen.columns = COLUMNS;
    forget_everybody();
    if (chat_init(&chat, &options, &show, &contacts) < 0)
        abort();
    chat.dial.state = DIAL_UP;
    chat.dial.v2 = how & V2;
    chat_opened(&chat);
    if (how & INSIDE)
        come_in(&chat);
    if (size)
        play(&chat, (const char *)data + 1, (const char *)data + size);
    chat_lost(&chat);
    chat_fini(&chat);
    show.screen.open = false; /* nothing was taken that could be given back */
    screen_close(&show.screen);
    free(options.password);
    return 0;
}

/* What is shown goes nowhere: it is the way there that is tested. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char error[CONTACTS_ERROR_MAX];
    (void)argc, (void)argv;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || !mkdtemp(folder) ||
        setenv("XDG_DATA_HOME", folder, 1) != 0 || contacts_open(&contacts, error) < 0)
        abort();
    return 0;
}
