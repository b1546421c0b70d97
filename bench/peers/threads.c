/* SPDX-License-Identifier: MIT
 *
 * threads.c - the floor of a thread for each client: a private message at the cost of two system
 * calls.
 *
 * The server's shape and nothing else. A member's thread blocks in recv(2), and writes the message
 * to its receiver with one blocking call. There is no JSON: the text of a message is between the
 * first `"text":"` and the last `"}`. There are no names: the number in "m00012" is the member's
 * place in a table. And no limits, queues, pings, deadlines or broadcasts: a receiver that reads
 * nothing stops its sender. TLS is OpenSSL with its defaults; bytes are received outside the lock
 * and given to OpenSSL under it. ws.c reads frames and the handshake key (RFC 6455 §4.2.2, §5).
 *
 * Locks, in this order: the table's, then one member's.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer_floor.h"

#define TARGET_KEY "\"TgtUser\":\"m"

enum {
    PLACES = 100000,          /* members; a name has five digits */
    STACK_SIZE = 128 * 1024,  /* of a member's thread; OpenSSL's handshake needs the most */
    RECORD_MAX = 16384 + 512, /* bytes of one TLS record, and so of one recv(2) */
    START_MAX = 128,          /* room for what precedes the text of a message */
    END_MAX = 64,             /* room for what follows it */
};

struct member {
    int fd;
    SSL *ssl;             /* [lock] NULL: plain */
    BIO *received;        /* [lock] received bytes that OpenSSL has not taken */
    pthread_mutex_t lock; /* held by whoever writes */
    struct ws_reader reader;
    char name[PEER_NAME_MAX + 1];
    unsigned char *out; /* a frame that its thread sends to another member */
    size_t out_cap;
};

static struct peer_options options; /* [I] */
static SSL_CTX *tls;                /* [I] */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t table_changed = PTHREAD_COND_INITIALIZER;
static struct member *table[PLACES]; /* [table] by the number of the name */
static size_t places;                /* [table] those behind it are empty */
static bool changed;                 /* [table] the last list is out of date */

/* ---- A member's stream ---- */

/* Blocks until everything is written. The member is locked. */
static bool write_all(struct member *m, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        int most = len < INT32_MAX ? (int)len : INT32_MAX;
        ssize_t n = m->ssl ? SSL_write(m->ssl, at, most) : send(m->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_locked(struct member *m, const void *bytes, size_t len)
{
    pthread_mutex_lock(&m->lock);
    bool written = write_all(m, bytes, len);
    pthread_mutex_unlock(&m->lock);
    return written;
}

/* Receives up to one record's bytes for OpenSSL. */
static bool receive_record(struct member *m)
{
    unsigned char record[RECORD_MAX];
    ssize_t n = recv(m->fd, record, sizeof(record), 0);
    if (n <= 0)
        return false;
    pthread_mutex_lock(&m->lock);
    BIO_write(m->received, record, (int)n);
    pthread_mutex_unlock(&m->lock);
    return true;
}

static int read_record(struct member *m, void *bytes, size_t len)
{
    pthread_mutex_lock(&m->lock);
    int n = SSL_read(m->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
    bool more = n <= 0 && SSL_get_error(m->ssl, n) == SSL_ERROR_WANT_READ;
    pthread_mutex_unlock(&m->lock);
    return more ? 0 : n > 0 ? n : -1;
}

/* Blocks until there is input. Returns its length; 0 or less at the end. */
static ssize_t read_some(struct member *m, void *bytes, size_t len)
{
    if (!m->ssl)
        return recv(m->fd, bytes, len, 0);
    int n = SSL_has_pending(m->ssl) ? read_record(m, bytes, len) : 0;
    while (n == 0)
        n = receive_record(m) ? read_record(m, bytes, len) : -1;
    return n;
}

/* ---- Lists of names ---- */

/* A frame with all names. The table is locked; the caller frees it. */
static unsigned char *list_frame(size_t *len)
{
    static const char start[] = "{\"msgType\":\"OnlineUsers\",\"Users\":[", end[] = "]}";
    size_t cap = sizeof(start) + sizeof(end) + places * (PEER_NAME_MAX + 3), at = 0;
    char *text = malloc(cap);
    unsigned char *frame = malloc(WS_HEAD_MAX + cap);
    if (!text || !frame)
        peer_fail("malloc");
    at += (size_t)snprintf(text, cap, "%s", start);
    const char *comma = "";
    for (size_t i = 0; i < places; i++) {
        if (!table[i])
            continue;
        at += (size_t)snprintf(text + at, cap - at, "%s\"%s\"", comma, table[i]->name);
        comma = ",";
    }
    at += (size_t)snprintf(text + at, cap - at, "%s", end);
    size_t head = ws_write_head(frame, WS_TEXT, at);
    memcpy(frame + head, text, at);
    free(text);
    *len = head + at;
    return frame;
}

/* Sends one list for all joins and leaves of the time of --presence. */
static void *announce(void *argument)
{
    struct timespec pause = {.tv_sec = options.presence_ms / 1000,
                             .tv_nsec = options.presence_ms % 1000 * 1000000};
    size_t len;
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&table_lock);
        while (!changed)
            pthread_cond_wait(&table_changed, &table_lock);
        changed = false;
        unsigned char *frame = list_frame(&len);
        for (size_t i = 0; i < places; i++)
            if (table[i])
                write_locked(table[i], frame, len); /* its own thread notices a failure */
        pthread_mutex_unlock(&table_lock);
        free(frame);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* ---- The table ---- */

/* The number of a name, from the five digits behind its "m"; PLACES if it has none. */
static size_t number_of(const char *digits)
{
    size_t number = 0;
    for (int i = 0; i < 5; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return PLACES;
        number = 10 * number + (size_t)(digits[i] - '0');
    }
    return number;
}

static bool enter(struct member *m, const char *name, size_t len)
{
    static const char welcome[] = "\x81\x18{\"ServerName\":\"threads\"}"; /* a whole frame */
    size_t place = len == 6 && name[0] == 'm' ? number_of(name + 1) : PLACES;
    if (place == PLACES || !write_locked(m, welcome, strlen(welcome)))
        return false;
    memcpy(m->name, name, len);
    pthread_mutex_lock(&table_lock);
    bool entered = !table[place];
    if (entered)
        table[place] = m;
    if (places <= place)
        places = place + 1;
    changed |= entered;
    pthread_cond_signal(&table_changed);
    pthread_mutex_unlock(&table_lock);
    return entered;
}

static void leave(struct member *m)
{
    size_t place = m->name[0] ? number_of(m->name + 1) : PLACES;
    pthread_mutex_lock(&table_lock);
    if (place < PLACES && table[place] == m) {
        table[place] = NULL;
        changed = true;
        pthread_cond_signal(&table_changed);
    }
    pthread_mutex_unlock(&table_lock);
    pthread_mutex_lock(&m->lock); /* waits for a sender that has found it */
    pthread_mutex_unlock(&m->lock);
}

/* ---- Messages ---- */

/* Makes room for a frame of `len` bytes, or ends the program. */
static unsigned char *out_space(struct member *m, size_t len)
{
    if (m->out_cap < len) {
        m->out_cap = 2 * len;
        m->out = realloc(m->out, m->out_cap);
        if (!m->out)
            peer_fail("realloc");
    }
    return m->out;
}

/* Wraps the text of a message into a frame at m->out. Returns its length; 0: there is no text. */
static size_t private_frame(struct member *m, const char *message, size_t len)
{
    char start[START_MAX], end[END_MAX];
    size_t text_len;
    const char *text = peer_text(message, len, &text_len);
    if (!text)
        return 0;
    size_t start_len = (size_t)snprintf(
        start, sizeof(start), "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"%s\"," PEER_TEXT_KEY,
        m->name);
    size_t end_len = (size_t)snprintf(end, sizeof(end), "\",\"Time\":%" PRId64 "}", peer_time_ms());
    unsigned char *out = out_space(m, WS_HEAD_MAX + start_len + text_len + end_len);
    out += ws_write_head(out, WS_TEXT, start_len + text_len + end_len);
    memcpy(out, start, start_len);
    memcpy(out + start_len, text, text_len);
    memcpy(out + start_len + text_len, end, end_len);
    return (size_t)(out - m->out) + start_len + text_len + end_len;
}

/* Sends a message to its receiver. Goes from the table's lock to the receiver's hand over hand, so
 * that the receiver cannot be freed in between. */
static void relay(struct member *m, const char *message, size_t len)
{
    const char *target = memmem(message, len, TARGET_KEY, strlen(TARGET_KEY));
    if (!target || target + strlen(TARGET_KEY) + 5 > message + len)
        return;
    size_t place = number_of(target + strlen(TARGET_KEY)), size = private_frame(m, message, len);
    if (place == PLACES || size == 0)
        return;
    pthread_mutex_lock(&table_lock);
    struct member *to = table[place];
    if (to)
        pthread_mutex_lock(&to->lock);
    pthread_mutex_unlock(&table_lock);
    if (!to)
        return;
    write_all(to, m->out, size); /* its own thread notices a failure */
    pthread_mutex_unlock(&to->lock);
}

/* ---- A member's thread ---- */

static bool handshake(struct member *m)
{
    int result = m->ssl ? 0 : 1;
    while (result != 1) {
        result = SSL_accept(m->ssl);
        bool more = result != 1 && SSL_get_error(m->ssl, result) == SSL_ERROR_WANT_READ;
        if (result != 1 && !(more && receive_record(m)))
            return false;
    }
    return true;
}

static bool read_more(struct member *m)
{
    unsigned char *space;
    size_t room = ws_reserve(&m->reader, &space);
    ssize_t n = room ? read_some(m, space, room) : -1;
    if (n > 0)
        ws_commit(&m->reader, (size_t)n);
    return n > 0;
}

static bool answer_request(struct member *m)
{
    char answer[PEER_ANSWER_MAX];
    int len;
    do
        len = read_more(m) ? peer_upgrade(&m->reader, answer) : -1;
    while (len == 0);
    return len > 0 && write_locked(m, answer, (size_t)len);
}

/* Blocks until the next whole message. Returns false at the end. */
static bool next_text(struct member *m, struct ws_event *event)
{
    for (;;) {
        int result = ws_next(&m->reader, event);
        if (result > 0 && event->opcode == WS_TEXT)
            return true;
        if (result < 0 || (result > 0 && event->opcode == WS_CLOSE))
            return false;
        if (result == 0 && !read_more(m))
            return false;
    }
}

static void *serve(void *argument)
{
    struct member *m = argument;
    struct ws_event event;
    if (handshake(m) && answer_request(m) && next_text(m, &event) /* any password will do */
        && next_text(m, &event) && enter(m, (const char *)event.payload, event.len))
        while (next_text(m, &event))
            relay(m, (const char *)event.payload, event.len);
    leave(m);
    SSL_free(m->ssl); /* and both its BIOs */
    close(m->fd);
    ws_reader_fini(&m->reader);
    pthread_mutex_destroy(&m->lock);
    free(m->out);
    free(m);
    return NULL;
}

/* Takes the socket. Ends the program when memory is out. */
static struct member *member_new(int fd)
{
    struct member *m = calloc(1, sizeof(*m));
    if (!m)
        peer_fail("calloc");
    m->fd = fd;
    pthread_mutex_init(&m->lock, NULL);
    ws_reader_init(&m->reader, PEER_MESSAGE_MAX, true);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!tls)
        return m;
    m->ssl = SSL_new(tls);
    m->received = BIO_new(BIO_s_mem());
    BIO *sent = BIO_new_socket(fd, BIO_NOCLOSE);
    if (!m->ssl || !m->received || !sent)
        peer_fail("SSL_new");
    BIO_set_mem_eof_return(m->received, -1);
    SSL_set_bio(m->ssl, m->received, sent);
    return m;
}

int main(int argc, char **argv)
{
    pthread_attr_t small;
    pthread_t thread;
    int port;
    options = peer_begin(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    tls = peer_tls(&options);
    int listener = peer_listen(&options, 0, &port);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_SIZE);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &small, announce, NULL) != 0)
        peer_fail("pthread_create");
    peer_listening(port);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct member *m = member_new(fd);
        if (pthread_create(&thread, &small, serve, m) != 0)
            peer_fail("pthread_create");
    }
}
