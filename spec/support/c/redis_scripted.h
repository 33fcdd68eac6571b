/* A Redis that says what a script has it say.
 *
 * Offers: server_start, a server on a port of its own that waits for words and answers each with bytes, whole
 * or in pieces, held back by a gate, as a flood, or by hanging up; server_stop waits for its end.
 * Uses: base, engine/redis to cancel a call, cmocka. Thread: one of its own serves one connection. */
#ifndef RL_SPEC_REDIS_SCRIPTED_H
#define RL_SPEC_REDIS_SCRIPTED_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "redis/conn.h"

/* One step of the script: wait until `expect` was read, then answer; a NULL answer hangs up. */
typedef struct step {
    const char *expect, *answer;
} step;

typedef struct server {
    int listener, port;
    const step *steps;
    int pieces; /* bytes at a time; 0: all at once */
    pthread_t thread;
    pthread_mutex_t gate; /* taken by the test while the server shall not answer */
    atomic_bool gated;
    redisc_conn *_Atomic victim; /* cancelled in place of an empty answer */
    const char *flood;           /* sent again and again in place of an empty answer */
} server;

enum { FLOOD_MS = 3000 };

static inline void send_in_pieces(int fd, const char *text, size_t piece)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = piece < len - at ? piece : len - at;
        if (send(fd, text + at, n, MSG_NOSIGNAL) < 0)
            return;
    }
}

static inline bool read_until(int fd, const char *expect)
{
    rl_buf seen = {0};
    char chunk[4096];
    bool found = false;
    while (!found) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n <= 0)
            break;
        buf_add(&seen, chunk, (size_t)n);
        found = strstr(seen.data, expect) != NULL;
    }
    buf_free(&seen);
    return found;
}

static inline void send_flood(int fd, const char *text)
{
    int64_t until = clock_ms() + FLOOD_MS;
    rl_buf many = {0};
    while (many.len < 16384)
        buf_str(&many, text);
    while (clock_ms() < until && send(fd, many.data, many.len, MSG_NOSIGNAL) > 0)
        ;
    buf_free(&many);
}

static inline void *serve(void *arg)
{
    server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    for (const step *st = s->steps; st->expect; st++) {
        if (!read_until(fd, st->expect))
            break;
        if (!st->answer)
            break;
        bool gated = s->gated;
        if (gated)
            pthread_mutex_lock(&s->gate);
        if (!*st->answer && s->victim)
            redisc_cancel(s->victim);
        if (!*st->answer && s->flood)
            send_flood(fd, s->flood);
        send_in_pieces(fd, st->answer, s->pieces ? (size_t)s->pieces : strlen(st->answer));
        if (gated)
            pthread_mutex_unlock(&s->gate);
    }
    close(fd);
    return NULL;
}

static inline void server_start(server *s, const step *steps)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    s->steps = steps;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_mutex_init(&s->gate, NULL);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(s->listener, 4), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static inline void server_stop(server *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

#endif
