/* SPDX-License-Identifier: MIT
 *
 * bridge.c - the start and the end of sharing rooms with other servers, and whether the engine
 * answers.
 *
 * The main thread starts and ends it; any thread asks for its state. Takes the bridge's lock, a
 * leaf; with the list of rooms also locks 1 and 2 of room.h.
 */
#include "room/bridge.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/frame.h"
#include "json_msg.h"
#include "lib/hex.h"
#include "net/socket.h"
#include "room/bridge_parts.h"
#include "ws.h"

enum {
    MESSAGE_GROWS = 1024,     /* bytes that a message may grow by when it is relayed */
    PASSWORD_ROUNDS = 200000, /* of PBKDF2: what is stored in the engine is slow to guess */
    PASSWORD_BYTES = 4,       /* of its hash that are compared */
};

struct bridge bridge = {.lock = PTHREAD_MUTEX_INITIALIZER};

void bridge_lock(void)
{
    pthread_mutex_lock(&bridge.lock);
}

void bridge_unlock(void)
{
    pthread_mutex_unlock(&bridge.lock);
}

bool bridge_is_on(void)
{
    return bridge.on;
}

/* ---- Whether the engine answers ---- */

int64_t bridge_silence_ms(void)
{
    if (!bridge.on)
        return 0;
    bridge_lock();
    int64_t now = net_now(), most = bridge.unanswered ? now - bridge.unanswered : 0;
    for (size_t i = 0; i < bridge.readers_count; i++) {
        int64_t heard = bridge.readers[i]->heard_at;
        if (heard && now - heard > most)
            most = now - heard;
    }
    bridge_unlock();
    return most;
}

struct frame *bridge_state_frame(bool away)
{
    return room_state_frame("Delivery", away ? "waiting" : "ok");
}

static void tell_room(struct room *room)
{
    room_tell_members(room, bridge_state_frame(bridge.told_away));
    room_fan_out_until_idle(room);
}

static void set_gauges(int64_t silence)
{
    bridge_lock();
    int64_t bytes = (int64_t)bridge.queue.bytes;
    bridge_unlock();
    metrics_set(METRIC_ENGINE_UP, silence < BRIDGE_AWAY_MS);
    metrics_set(METRIC_ENGINE_QUEUE, bytes);
    metrics_set(METRIC_ENGINE_SILENCE, silence / 1000);
}

static void log_away(void)
{
    char why[REDIS_WHY_MAX];
    bridge_lock();
    memcpy(why, bridge.why, sizeof(why));
    bridge_unlock();
    log_event(LOG_LEVEL_ERROR, "engine", "state=away why=\"it does not answer\" line=\"%s\"", why);
}

void bridge_tell_state(void)
{
    int64_t silence = bridge_silence_ms();
    bool away = silence >= BRIDGE_AWAY_MS;
    set_gauges(silence);
    if (away == bridge.told_away)
        return;
    bridge.told_away = away;
    if (away)
        log_away();
    else
        log_notice("engine", "state=back");
    rooms_each(tell_room);
}

void bridge_note_line(const struct redis_line *line)
{
    static atomic_int_fast64_t next;
    if (redis_line_is_up(line)) {
        metrics_add(METRIC_ENGINE_CONNECTS, 1);
        return;
    }
    bridge_lock();
    memcpy(bridge.why, line->why, sizeof(bridge.why));
    bridge_unlock();
    if (log_is_due(&next))
        log_event(LOG_LEVEL_WARN, "engine", "line=down why=\"%s\"", line->why);
}

/* ---- Backpressure ---- */

bool bridge_must_wait(struct member *member)
{
    struct room_link *link = member->room->link;
    if (!link)
        return false;
    bridge_lock();
    bool waits = bridge.queue.bytes >= bridge.queue_max && link->state == LINK_OPEN;
    if (waits) {
        atomic_store(&member->waits, true);
        atomic_store(&link->has_waiting, true);
        bridge.has_waiting = true;
    }
    bridge_unlock();
    return waits;
}

static void wake_room(struct room *room)
{
    if (room->link && atomic_exchange(&room->link->has_waiting, false))
        room_wake_waiting(room);
}

void bridge_wake_waiting(void)
{
    bridge_lock();
    bool wakes = bridge.has_waiting && bridge.queue.bytes <= bridge.queue_max / 2;
    if (wakes)
        bridge.has_waiting = false;
    bridge_unlock();
    if (wakes)
        rooms_each(wake_room);
}

/* ---- The start ---- */

/* A hash by which servers find out whether their passwords are the same. */
static bool hash_password(const char *password, char hex[2 * PASSWORD_BYTES + 1])
{
    static const unsigned char salt[] = "ragnarok cluster";
    unsigned char hash[PASSWORD_BYTES];
    if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, sizeof(salt) - 1, PASSWORD_ROUNDS,
                          EVP_sha256(), sizeof(hash), hash) != 1)
        return false;
    hex_write(hex, hash, sizeof(hash));
    return true;
}

/* What must be the same on all servers. */
static bool write_common_rules(const struct config *config)
{
    char hash[2 * PASSWORD_BYTES + 1];
    if (!hash_password(config->server_password, hash))
        return false;
    snprintf(bridge.rules, sizeof(bridge.rules),
             "server_password=%s max_message_bytes=%d room_buffer_bytes=%d", hash,
             config->max_message_bytes, config->room_buffer_bytes);
    return true;
}

static int refuse_memory(char *error)
{
    snprintf(error, CONFIG_ERROR_MAX, "ragnarok: out of memory");
    return -1;
}

static void warn_of_plain_line(void)
{
    struct sockaddr_storage address;
    if (bridge.target.transport != REDIS_TCP)
        return;
    for (size_t i = 0; i < bridge.target.count; i++) {
        const struct addrinfo *at = bridge.target.places[i].addresses;
        memset(&address, 0, sizeof(address));
        if (at->ai_addrlen > sizeof(address))
            continue;
        memcpy(&address, at->ai_addr, at->ai_addrlen);
        if (net_reach(&address) == NET_REACH_EVERYONE) {
            log_event(LOG_LEVEL_WARN, "engine",
                      "why=\"what is said goes unencrypted over the internet\" advice=\"use tls: "
                      "or sentinel-tls:, or a private network\"");
            return;
        }
    }
}

static int read_engine_target(const struct config *config, char *error)
{
    char why[NET_ERROR_MAX];
    const char *ca = config->cluster_ca[0] ? config->cluster_ca : NULL;
    if (redis_target_parse(&bridge.target, config->cluster_engine, why) < 0)
        return config_complain(config, "cluster_engine", error, "%s", why);
    bridge.user = strdup(config->cluster_user);
    bridge.password = strdup(config->cluster_password);
    if (!bridge.user || !bridge.password)
        return refuse_memory(error);
    bridge.target.user = bridge.user;
    bridge.target.password = bridge.password;
    bridge.target.message_max = (size_t)config->max_message_bytes + MESSAGE_GROWS;
    if (redis_target_prepare(&bridge.target, ca, why) < 0)
        return config_complain(config, "cluster_engine", error, "%s", why);
    return 0;
}

static int read_terms(const struct config *config, char *error)
{
    const char *why;
    int log_bytes =
        config->cluster_log_bytes ? config->cluster_log_bytes : config->room_buffer_bytes;
    struct sealing *sealing = NULL;
    if (!write_common_rules(config))
        return refuse_memory(error);
    if (config->cluster_secret[0] && !(sealing = sealing_new(config->cluster_secret, &why)))
        return config_complain(config, "cluster_secret", error, "%s", why);
    snprintf(bridge.prefix, sizeof(bridge.prefix), "%s", config->cluster_prefix);
    bridge.terms = (struct engine_terms){
        .prefix = bridge.prefix,
        .lease_ms = (int64_t)config->cluster_lease_seconds * 1000,
        .keep_ms = (int64_t)config->cluster_room_seconds * 1000,
        .log_bytes = (size_t)log_bytes,
        .body_max = (size_t)config->max_message_bytes + MESSAGE_GROWS,
        .rules = bridge.rules,
        .sealing = sealing,
    };
    bridge.queue_max = (size_t)config->cluster_queue_bytes;
    return 0;
}

/* Whether a line is down because we may not log in, which does not pass. */
static bool login_is_refused(const struct redis_line *line)
{
    static const char *const words[] = {"NOAUTH", "WRONGPASS", "NOPERM", "AUTH"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(line->why, words[i]))
            return true;
    return false;
}

/* Opens the main room for a moment, which shows whether the settings fit those of the others. */
static int try_rules(struct redis_line *line, const struct config *config, char *error)
{
    struct engine_seat seat;
    struct engine_answer answer = {.result = ENGINE_AWAY};
    if (engine_seat_init(&seat, &bridge.terms, "") < 0)
        return refuse_memory(error);
    struct engine_call *open = engine_open(&seat, false, NULL), *close = engine_close(&seat);
    if (open && close && engine_send(line, open) == 0)
        engine_receive(line, open, &answer);
    int result = answer.result == ENGINE_RULES
                     ? config_complain(config, "cluster_engine", error,
                                       "settings must be the same on all servers: %s", answer.why)
                     : 0;
    bool opened = answer.result == ENGINE_OK;
    engine_answer_fini(&answer);
    if (opened && engine_send(line, close) == 0) {
        engine_receive(line, close, &answer);
        engine_answer_fini(&answer);
    }
    engine_call_free(open);
    engine_call_free(close);
    engine_seat_fini(&seat);
    return result;
}

/* Tries once whether the engine is there and takes us. */
static int try_engine(const struct config *config, char *error)
{
    struct redis_line line;
    int result = 0;
    redis_line_init(&line, &bridge.target);
    if (engine_reach(&line) == 0)
        result = try_rules(&line, config, error);
    if (result == 0 && !redis_line_is_up(&line)) {
        if (login_is_refused(&line))
            result = config_complain(config, "cluster_engine", error, "%s", line.why);
        else
            log_event(LOG_LEVEL_WARN, "engine", "line=down why=\"%s\"", line.why);
    }
    redis_line_fini(&line);
    return result;
}

int bridge_open(const struct config *config, char *error)
{
    if (!config->cluster_engine || !config->cluster_engine[0])
        return 0;
    if (read_engine_target(config, error) < 0 || read_terms(config, error) < 0 ||
        try_engine(config, error) < 0)
        return -1;
    warn_of_plain_line();
    net_cond_init(&bridge.wanted);
    net_cond_init(&bridge.changed);
    redis_line_init(&bridge.line, &bridge.target);
    metrics_show_engine();
    bridge.on = true;
    return 0;
}

int bridge_start(void)
{
    if (!bridge.on)
        return 0;
    bridge_lock();
    bool started = pthread_create(&bridge.writer, NULL, bridge_writer_main, NULL) == 0;
    bridge.running = started;
    for (size_t i = 0; i < bridge.readers_count && started; i++)
        started = bridge_reader_start(bridge.readers[i]);
    bridge_unlock();
    return started ? 0 : -1;
}

/* ---- The end ---- */

/* Waits until the engine has everything. Returns the calls that it did not take. [b] is held. */
static size_t await_empty_queue(int64_t until)
{
    const struct timespec end = net_timespec(until);
    int error = 0;
    while (bridge.queue.first && error == 0)
        error = pthread_cond_timedwait(&bridge.changed, &bridge.lock, &end);
    return bridge.queue.count;
}

static void log_left_calls(size_t count)
{
    if (count > 0)
        log_event(LOG_LEVEL_ERROR, "engine",
                  "why=\"it did not take the last %zu calls, so what they say is lost\"", count);
}

void bridge_finish(int64_t until)
{
    if (!bridge.on)
        return;
    bridge_lock();
    bridge.stopping = true;
    pthread_cond_broadcast(&bridge.changed);
    for (struct room_link *link = bridge.links; link; link = link->next)
        bridge_pending_wake(link);
    size_t left = await_empty_queue(until);
    bridge_unlock();
    log_left_calls(left);
}

static void close_seats(void)
{
    bridge_lock();
    for (struct room_link *link = bridge.links; link; link = link->next)
        if (link->state == LINK_OPEN && bridge_push_locked(link, engine_close(&link->seat)))
            link->state = LINK_ENDING;
    size_t left = await_empty_queue(net_now() + BRIDGE_CLOSE_MS);
    bridge.ending = true;
    redis_line_stop(&bridge.line);
    pthread_cond_broadcast(&bridge.wanted);
    for (size_t i = 0; i < bridge.readers_count; i++) {
        redis_line_stop(&bridge.readers[i]->line);
        pthread_cond_broadcast(&bridge.readers[i]->wanted);
    }
    bridge_unlock();
    log_left_calls(left);
}

/* The threads wait for the engine, or for the bridge's conditions, and for nothing else. */
static void join_threads(void)
{
    net_wake(bridge.writer);
    pthread_join(bridge.writer, NULL);
    for (size_t i = 0; i < bridge.readers_count; i++) {
        net_wake(bridge.readers[i]->thread);
        pthread_join(bridge.readers[i]->thread, NULL);
        bridge_reader_free(bridge.readers[i]);
    }
}

void bridge_close(bool all_left)
{
    if (!bridge.on)
        return;
    close_seats();
    if (!all_left)
        return;
    join_threads();
    while (bridge.links) {
        struct room_link *link = bridge.links;
        bridge.links = link->next;
        room_unref(link->room);
    }
    while (bridge.queue.first)
        call_queue_pop(&bridge.queue);
    redis_line_fini(&bridge.line);
    redis_target_fini(&bridge.target);
    sealing_free((struct sealing *)(uintptr_t)bridge.terms.sealing);
    pthread_cond_destroy(&bridge.wanted);
    pthread_cond_destroy(&bridge.changed);
    OPENSSL_cleanse(bridge.password, strlen(bridge.password));
    free(bridge.user);
    free(bridge.password);
}
