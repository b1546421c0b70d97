/* SPDX-License-Identifier: MIT
 *
 * fuzz_chat.c - a hostile server, and a person at the keyboard, for libFuzzer (`make fuzz`).
 *
 * An input is lines. The first byte chooses how the terminal client came in and whom it serves;
 * each line is a message that comes, or, behind a '>', what is typed. What must hold are the
 * sanitizers' rules, and that each message is dealt with in time.
 */
#include "client/chat.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/input.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { V2 = 1, INSIDE = 2, LISTENS = 4, ASKS = 8, SUSPEND = 'Z' & 0x1F, COLUMNS = 20 };

static char folder[] = "/tmp/fuzz_chat.XXXXXX";
static struct keystore keystore;

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
    private_say(&chat->private, "bob", "to be sealed");
    private_say(&chat->private, NULL, "to all");
}

static void type(struct chat *chat, const char *keys, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (keys[i] != SUSPEND)
            input_key(chat, (unsigned char)keys[i]);
    input_key(chat, '\r');
}

static void play(struct chat *chat, const char *at, const char *end)
{
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        if (*at == '>' && chat->output->mode == MODE_TALK)
            type(chat, at + 1, (size_t)(stop - at - 1));
        else
            hear(chat, at, (size_t)(stop - at));
        private_tick(&chat->private);
        at = stop + 1;
    }
}

/* Each input begins without anybody known. */
static void forget_everybody(void)
{
    char path[sizeof(folder) + 32];
    snprintf(path, sizeof(path), "%s/ragnarok/known_keys", folder);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chat chat;
    static struct output output;
    struct options options = {.name = "ana"};
    uint8_t how = size ? data[0] : 0;
    if (url_parse(&options.url, "wss://h:1/"))
        abort();
    options.mode = how & ASKS ? MODE_HISTORY : how & LISTENS ? MODE_LISTEN : MODE_TALK;
    options.history = how & ASKS ? 3 : 0;
    memset(&output, 0, sizeof(output));
    output.mode = options.mode;
    output.screen.open = true;
    output.screen.columns = COLUMNS;
    forget_everybody();
    if (chat_init(&chat, &options, &output, &keystore) < 0)
        abort();
    chat.ws.state = WS_CLIENT_UP;
    chat.ws.v2 = how & V2;
    chat_opened(&chat);
    if (how & INSIDE)
        come_in(&chat);
    if (size)
        play(&chat, (const char *)data + 1, (const char *)data + size);
    chat_lost(&chat);
    chat_fini(&chat);
    output.screen.open = false; /* nothing was taken that could be given back */
    screen_close(&output.screen);
    free(options.password);
    return 0;
}

/* What is shown goes nowhere: it is the way there that is tested. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char error[KEYSTORE_ERROR_MAX];
    (void)argc, (void)argv;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || !mkdtemp(folder) ||
        setenv("XDG_DATA_HOME", folder, 1) != 0 || keystore_open(&keystore, error) < 0)
        abort();
    return 0;
}
