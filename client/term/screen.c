/* SPDX-License-Identifier: MIT
 *
 * screen.c - draws on the terminal. One thread.
 *
 * The typed line has one row; a long one is shown in part (line_edit_look). So one row is erased
 * before output, and drawn after it. The sequences used are those of ECMA-48 that every terminal
 * knows (CUU, CUF, ED, SGR), autowrap on and off, and bracketed paste.
 */
#include "client/term/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/term/unicode.h"

/* Bracketed paste, and no autowrap (DECAWM): if the terminal takes a text for wider than we do, it
 * must not continue at the start of the next row, where it would look like a message. */
#define TERMINAL_OURS  "\x1b[?7l\x1b[?2004h"
#define TERMINAL_GIVEN "\x1b[?7h\x1b[?2004l"

static const char margin[] = "\n      "; /* what a newline in a text becomes */

/* ---- Writing ---- */

/* Queues bytes for the next write. Output for which memory is out is dropped. */
static void add(struct screen *screen, const char *bytes, size_t len)
{
    if (screen->out_cap - screen->out_len < len) {
        size_t cap = 2 * (screen->out_len + len);
        char *out = realloc(screen->out, cap);
        if (!out)
            return;
        screen->out = out;
        screen->out_cap = cap;
    }
    memcpy(screen->out + screen->out_len, bytes, len);
    screen->out_len += len;
}

static void add_text(struct screen *screen, const char *text)
{
    add(screen, text, strlen(text));
}

/* Writes the queued output. If the terminal is gone, the next read reports it. */
static void write_queued(struct screen *screen)
{
    int fd = screen->open ? STDOUT_FILENO : STDERR_FILENO;
    size_t done = 0;
    while (done < screen->out_len) {
        ssize_t n = write(fd, screen->out + done, screen->out_len - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    screen->out_len = 0;
}

/* ---- The row of the line ---- */

/* Erases the row, or rows if the terminal became narrower. */
static void erase_row(struct screen *screen)
{
    char up[32];
    if (!screen->open)
        return;
    size_t above = screen->drawn / screen->columns;
    if (above > 0) {
        snprintf(up, sizeof(up), "\x1b[%zuA", above);
        add_text(screen, up);
    }
    add_text(screen, "\r\x1b[J");
    screen->drawn = 0;
}

/* Adds the typed text, with a sign for each newline. */
static void add_typed(struct screen *screen, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            add_text(screen, "\xE2\x86\xB5"); /* U+21B5 */
        else
            add(screen, text + i, 1);
    }
}

static void draw_typed(struct screen *screen)
{
    char right[32];
    size_t prompt = unicode_columns(screen->prompt, strlen(screen->prompt));
    bool fits = prompt + SCREEN_COLUMNS_MIN <= screen->columns;
    if (!screen->open)
        return;
    prompt = fits ? prompt : 0;
    struct line_edit_view view = line_edit_look(&screen->line, screen->columns - prompt);
    if (fits)
        add_text(screen, screen->prompt);
    add_typed(screen, screen->line.text + view.start, view.end - view.start);
    screen->drawn = prompt + view.cursor;
    add_text(screen, "\r");
    if (screen->drawn > 0) {
        snprintf(right, sizeof(right), "\x1b[%zuC", screen->drawn);
        add_text(screen, right);
    }
}

void screen_draw(struct screen *screen, bool clear)
{
    erase_row(screen);
    if (clear && screen->open)
        add_text(screen, "\x1b[H\x1b[2J");
    draw_typed(screen);
    write_queued(screen);
}

void screen_prompt(struct screen *screen, const char *prompt)
{
    snprintf(screen->prompt, sizeof(screen->prompt), "%s", prompt);
    screen_draw(screen, false);
}

static void measure(struct screen *screen)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    screen->columns = known ? size.ws_col : 80;
    if (screen->columns < SCREEN_COLUMNS_MIN)
        screen->columns = SCREEN_COLUMNS_MIN;
}

void screen_resize(struct screen *screen)
{
    if (!screen->open)
        return;
    measure(screen);
    screen_draw(screen, false);
}

/* ---- Taking over and restoring the terminal ---- */

static int take_terminal(struct screen *screen)
{
    struct termios raw = screen->before;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= (tcflag_t) ~(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static bool colours_wanted(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

int screen_open(struct screen *screen)
{
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &screen->before) != 0 ||
        take_terminal(screen) != 0)
        return -1;
    screen->open = true;
    screen->colour = colours_wanted();
    measure(screen);
    add_text(screen, TERMINAL_OURS);
    screen_draw(screen, false);
    return 0;
}

static void give_back(struct screen *screen)
{
    erase_row(screen);
    add_text(screen, TERMINAL_GIVEN);
    write_queued(screen);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

void screen_close(struct screen *screen)
{
    if (screen->open)
        give_back(screen);
    screen->open = false;
    line_edit_fini(&screen->line);
    free(screen->out);
    screen->out = NULL;
    screen->out_len = screen->out_cap = 0;
}

void screen_suspend(struct screen *screen)
{
    give_back(screen);
    raise(SIGTSTP);
    take_terminal(screen);
    add_text(screen, TERMINAL_OURS);
    screen_resize(screen);
}

/* ---- Output ---- */

/* The colour of a name: bold, one of six that are readable on light and dark; always the same. */
static void name_colour(const char *name, size_t len, char *out, size_t cap)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + (unsigned char)name[i];
    snprintf(out, cap, "\x1b[1;3%um", 1 + sum % 6);
}

static void add_style(struct screen *screen, enum screen_style style, const char *text, size_t len)
{
    static const char *const styles[] = {"", "\x1b[2m", "\x1b[32m", "\x1b[1;31m", ""};
    char colour[16];
    if (style == SCREEN_NAME) {
        name_colour(text, len, colour, sizeof(colour));
        add_text(screen, colour);
    } else {
        add_text(screen, styles[style]);
    }
}

void screen_begin(struct screen *screen)
{
    erase_row(screen);
    screen->column = 0;
}

/* Columns up to the next possible break after `at`: a whole word, if it fits into a row. */
static size_t width_from(const struct screen *screen, const char *text, size_t at, size_t next)
{
    size_t width = unicode_columns_most(text + at, next - at), word = strcspn(text + at, " \n");
    if (word == 0 || (at > 0 && text[at - 1] != ' '))
        return width;
    size_t whole = unicode_columns_most(text + at, word);
    return whole + sizeof(margin) - 2 <= screen->columns ? whole : width;
}

/* Queues harmless text and breaks it at the end of the row, with a margin: the next row must not
 * begin like a message. If the terminal draws it wider, it is cut off there. */
static void add_broken(struct screen *screen, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0, next; at < len; at = next) {
        next = unicode_next(text, len, at);
        size_t width = unicode_columns_most(text + at, next - at);
        size_t needed = width_from(screen, text, at, next);
        if (text[at] != '\n' && screen->column + needed > screen->columns) {
            add_text(screen, margin);
            screen->column = sizeof(margin) - 2;
        }
        add(screen, text + at, next - at);
        screen->column = text[at] == '\n' ? 0 : screen->column + width;
    }
}

void screen_put(struct screen *screen, enum screen_style style, const char *text, size_t len)
{
    bool coloured = screen->open && screen->colour && style != SCREEN_PLAIN;
    char *harmless = unicode_clean(text, len, margin);
    if (!harmless)
        return;
    if (coloured)
        add_style(screen, style, text, len);
    if (screen->open)
        add_broken(screen, harmless);
    else
        add_text(screen, harmless);
    if (coloured)
        add_text(screen, "\x1b[0m");
    free(harmless);
}

void screen_end(struct screen *screen)
{
    add_text(screen, "\n");
    draw_typed(screen);
    write_queued(screen);
}

/* ---- Asking ---- */

/* Reads up to a newline. Returns 0, or -1 at the end or after a signal. */
static int read_answer_line(int fd, char *answer)
{
    size_t len = 0;
    char c;
    while (read(fd, &c, 1) == 1) {
        if (c == '\n' || c == '\r') {
            answer[len] = '\0';
            return 0;
        }
        if (len < SCREEN_ANSWER_MAX - 1)
            answer[len++] = c;
    }
    return -1;
}

int screen_ask(const char *question, bool echo, char *answer)
{
    struct termios before, hidden;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    hidden = before;
    hidden.c_iflag |= ICRNL;
    hidden.c_lflag |= ICANON | ISIG | ECHO;
    if (!echo)
        hidden.c_lflag &= (tcflag_t)~ECHO;
    tcsetattr(fd, TCSAFLUSH, &hidden);
    dprintf(fd, "%s", question);
    int result = read_answer_line(fd, answer);
    tcsetattr(fd, TCSADRAIN, &before);
    if (!echo || result < 0)
        dprintf(fd, "\n");
    close(fd);
    return result;
}
