#include "http/slow.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/deadline.h"

enum { LOOK_MS = 250, ROOM = 16, GONE = -1 };

struct http_slow {
    http_slow_opts opts;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool over;
    http_link *first, *last; /* the oldest is the first */
    unsigned count;
};

void http_link_tell(http_link *link, int status, const char *detail)
{
    char text[512];
    const char *title = MHD_get_reason_phrase_for((unsigned)status);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d %s\r\nConnection: close\r\n"
                       "Content-Type: application/problem+json\r\n\r\n"
                       "{\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}",
                       status, title, title, status, detail);
    if (!atomic_exchange(&link->told, true))
        (void)!send(link->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whoever exchanges `due` first decides: the connection's thread, which has the whole request, or
 * this. The connection itself is closed by its thread, which reads the end. */
static void cut(http_link *link, int64_t due)
{
    if (!atomic_compare_exchange_strong(&link->due, &due, GONE))
        return;
    if (atomic_load(&link->body))
        http_link_tell(link, MHD_HTTP_REQUEST_TIMEOUT, "the body of the request took too long");
    shutdown(link->fd, SHUT_RDWR);
}

static void cut_late(http_slow *slow)
{
    int64_t now = clock_ns();
    for (http_link *link = slow->first; link; link = link->next) {
        int64_t due = atomic_load(&link->due);
        if (due > 0 && due <= now)
            cut(link, due);
    }
}

static void *run(void *arg)
{
    http_slow *slow = arg;
    pthread_mutex_lock(&slow->lock);
    while (!slow->over) {
        cut_late(slow);
        cond_wait_until(&slow->wake, &slow->lock, deadline_in_ms(LOOK_MS));
    }
    pthread_mutex_unlock(&slow->lock);
    return NULL;
}

http_slow *http_slow_open(const http_slow_opts *opts)
{
    http_slow *slow = mem_zero(sizeof *slow);
    slow->opts = *opts;
    pthread_mutex_init(&slow->lock, NULL);
    cond_init(&slow->wake);
    if (pthread_create(&slow->thread, NULL, run, slow) == 0)
        return slow;
    pthread_cond_destroy(&slow->wake);
    pthread_mutex_destroy(&slow->lock);
    free(slow);
    return NULL;
}

void http_slow_close(http_slow *slow)
{
    rl_assert(!slow->first);
    pthread_mutex_lock(&slow->lock);
    slow->over = true;
    pthread_cond_signal(&slow->wake);
    pthread_mutex_unlock(&slow->lock);
    pthread_join(slow->thread, NULL);
    pthread_cond_destroy(&slow->wake);
    pthread_mutex_destroy(&slow->lock);
    free(slow);
}

/* The oldest of those that have asked nothing yet goes when nearly all places are taken. */
static void make_room(http_slow *slow)
{
    if (slow->count + 1 + slow->opts.connections / ROOM <= slow->opts.connections)
        return;
    for (http_link *link = slow->first; link; link = link->next) {
        int64_t due = atomic_load(&link->due);
        if (due <= 0 || !atomic_load(&link->fresh))
            continue;
        cut(link, due);
        return;
    }
}

http_link *http_link_open(http_slow *slow, int fd)
{
    http_link *link = mem_zero(sizeof *link);
    link->slow = slow;
    link->fd = fd;
    atomic_init(&link->due, deadline_in(slow->opts.head));
    atomic_init(&link->fresh, true);
    pthread_mutex_lock(&slow->lock);
    make_room(slow);
    link->prev = slow->last;
    *(slow->last ? &slow->last->next : &slow->first) = link;
    slow->last = link;
    slow->count++;
    pthread_mutex_unlock(&slow->lock);
    return link;
}

http_link *http_link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void http_link_close(http_link *link)
{
    http_slow *slow = link->slow;
    pthread_mutex_lock(&slow->lock);
    *(link->prev ? &link->prev->next : &slow->first) = link->next;
    *(link->next ? &link->next->prev : &slow->last) = link->prev;
    slow->count--;
    pthread_mutex_unlock(&slow->lock);
    free(link->target);
    free(link);
}

/* false: it was cut before */
static bool set_due(http_link *link, int64_t due)
{
    int64_t now = atomic_load(&link->due);
    while (now != GONE)
        if (atomic_compare_exchange_weak(&link->due, &now, due))
            return true;
    return false;
}

void http_link_await_body(http_link *link)
{
    atomic_store(&link->fresh, false);
    atomic_store(&link->body, true);
    set_due(link, deadline_in(link->slow->opts.body));
}

bool http_link_complete(http_link *link)
{
    atomic_store(&link->fresh, false);
    return set_due(link, 0);
}

void http_link_await_next(http_link *link)
{
    atomic_store(&link->body, false);
    set_due(link, deadline_in(link->slow->opts.idle + link->slow->opts.head));
}
