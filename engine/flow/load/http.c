/* The HTTP driver: one keep-alive connection for each request in flight, plain sockets on one
 * epoll. Nothing is sent twice: a client library's silent second try on a connection that broke
 * would make a duplicate that the history does not know. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "flow/load/internal.h"
#include "flow/load/parse.h"

enum { EVENTS = 256, READ_STEP = 16384, KEY_WAKE = -1, KEY_TIMER = -2 };

typedef enum conn_state { CLOSED, CONNECTING, IDLE, BUSY } conn_state;

typedef struct conn {
    load_request request; /* first */
    int fd, next_free;
    conn_state state;
    bool waiting;         /* a request waits for the connection */
    bool writable;        /* epoll was asked for EPOLLOUT */
    rl_deadline deadline; /* of the request */
    int prev, next;       /* in the list of those with a request, oldest first */
    size_t written;
    rl_buf out, in;
    load_parse parse;
} conn;

typedef struct http_state {
    int epoll, timer;
    struct sockaddr_storage to;
    socklen_t to_len;
    conn *conns;
    int free;        /* the one used last comes first, so that a light load needs few; -1: none */
    int first, last; /* with a request; -1: none */
} http_state;

static conn *conn_of(load_request *r)
{
    return (conn *)r;
}

static int index_of(const http_state *h, const conn *c)
{
    return (int)(c - h->conns);
}

/* ---- sockets ---- */

static void watch(http_state *h, conn *c, bool writable)
{
    if (c->writable == writable)
        return;
    c->writable = writable;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0u),
                                .data.u64 = (uint64_t)(int64_t)index_of(h, c)};
    epoll_ctl(h->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void hang_up(conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
}

/* False: refused at once; errno says why. */
static bool dial(http_state *h, conn *c)
{
    static const int one = 1;
    c->fd = socket(h->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLOUT,
                                .data.u64 = (uint64_t)(int64_t)index_of(h, c)};
    c->writable = true;
    c->state = CONNECTING;
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0 &&
           (connect(c->fd, (struct sockaddr *)&h->to, h->to_len) == 0 || errno == EINPROGRESS);
}

static bool resolve(flow_load *l, http_state *h)
{
    const char *host = strcmp(l->host, "localhost") == 0 ? "127.0.0.1" : l->host;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&h->to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&h->to;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)l->port);
        h->to_len = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)l->port);
        h->to_len = sizeof *v6;
    }
    return h->to_len > 0;
}

/* ---- requests ---- */

static void link_last(http_state *h, conn *c)
{
    int i = index_of(h, c);
    c->prev = h->last;
    c->next = -1;
    *(h->last >= 0 ? &h->conns[h->last].next : &h->first) = i;
    h->last = i;
}

static void unlink_it(http_state *h, conn *c)
{
    *(c->prev >= 0 ? &h->conns[c->prev].next : &h->first) = c->next;
    *(c->next >= 0 ? &h->conns[c->next].prev : &h->last) = c->prev;
}

static void put_free(http_state *h, conn *c)
{
    c->next_free = h->free;
    h->free = index_of(h, c);
}

/* The request has come to its end; the connection lives on when it may. */
static void finish(flow_load *l, conn *c, const load_reply *reply)
{
    http_state *h = l->state;
    bool keep = c->state == BUSY && reply->status && c->parse.reusable;
    c->waiting = false;
    unlink_it(h, c);
    if (keep) {
        c->state = IDLE;
        watch(h, c, false);
    } else {
        hang_up(c);
    }
    load_end(l, &c->request, reply);
    if (!l->o.readers)
        put_free(h, c);
}

static void broken(flow_load *l, conn *c, const char *why)
{
    bool sent = c->written > 0 && c->request.form->effect;
    finish(
        l, c,
        &(load_reply){.outcome = sent ? LOAD_UNKNOWN : LOAD_FAIL, .partition = -1, .error = why});
}

static void answered(flow_load *l, conn *c)
{
    int class = c->parse.status / 100;
    flow_load_outcome outcome = class == 2   ? LOAD_OK
                                : class == 5 ? (c->request.form->effect ? LOAD_UNKNOWN : LOAD_FAIL)
                                             : LOAD_FAIL;
    finish(l, c,
           &(load_reply){.outcome = outcome,
                         .status = c->parse.status,
                         .partition = -1,
                         .body = c->parse.body.data ? c->parse.body.data : "",
                         .body_len = c->parse.body.len});
}

static void write_more(flow_load *l, conn *c)
{
    while (c->written < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->written, c->out.len - c->written, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch(l->state, c, true);
            return;
        }
        if (n < 0) {
            broken(l, c, "the connection broke while the request was sent");
            return;
        }
        c->written += (size_t)n;
    }
    watch(l->state, c, false);
}

static void send_it(flow_load *l, conn *c)
{
    c->state = BUSY;
    buf_reset(&c->in);
    load_parse_begin(&c->parse, strcmp(c->request.form->method, "HEAD") == 0);
    write_more(l, c);
}

static void render(flow_load *l, conn *c)
{
    const load_request *r = &c->request;
    const load_form *f = r->form;
    rl_buf body = {0};
    bool typed = false;
    buf_reset(&c->out);
    buf_printf(&c->out, "%s ", f->method);
    load_render(l, r, f->path, &c->out);
    buf_printf(&c->out, " HTTP/1.1\r\nHost: %s:%d\r\n", l->host, l->port);
    for (size_t i = 0; i < f->nheaders; i++) {
        typed = typed || strcasecmp(f->names[i], "content-type") == 0;
        buf_printf(&c->out, "%s: ", f->names[i]);
        load_render(l, r, f->values[i], &c->out);
        buf_str(&c->out, "\r\n");
    }
    load_render(l, r, f->body, &body);
    if (f->body && !typed)
        buf_str(&c->out, "Content-Type: application/json\r\n");
    if (f->body || strcmp(f->method, "POST") == 0 || strcmp(f->method, "PUT") == 0)
        buf_printf(&c->out, "Content-Length: %zu\r\n", body.len);
    buf_str(&c->out, "\r\n");
    if (body.len)
        buf_add(&c->out, body.data, body.len);
    buf_free(&body);
    c->written = 0;
}

static void start(flow_load *l, load_request *r)
{
    http_state *h = l->state;
    conn *c = conn_of(r);
    render(l, c);
    load_begin(l, r);
    c->deadline = r->started + (int64_t)(l->o.timeout * 1e9);
    c->waiting = true;
    link_last(h, c);
    if (c->state == IDLE)
        send_it(l, c);
    else if (c->state == CLOSED && !dial(h, c))
        broken(l, c, strerror(errno));
}

static load_request *free_slot(flow_load *l, int reader)
{
    http_state *h = l->state;
    if (reader >= 0)
        return h->conns[reader].waiting ? NULL : &h->conns[reader].request;
    if (h->free < 0)
        return NULL;
    conn *c = &h->conns[h->free];
    h->free = c->next_free;
    return &c->request;
}

/* ---- what comes in ---- */

static void connected(flow_load *l, conn *c)
{
    int failed = 0;
    socklen_t len = sizeof failed;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &len);
    if (failed && c->waiting) {
        broken(l, c, strerror(failed));
        return;
    }
    if (failed) {
        hang_up(c);
        return;
    }
    load_tally_connected(l);
    c->state = IDLE;
    watch(l->state, c, false);
    if (c->waiting)
        send_it(l, c);
}

/* True: the other side has ended, or the connection is broken. */
static bool read_all(conn *c)
{
    for (;;) {
        buf_reserve(&c->in, READ_STEP);
        ssize_t n = recv(c->fd, c->in.data + c->in.len, READ_STEP - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno != EAGAIN;
        if (n == 0)
            return true;
        c->in.len += (size_t)n;
        c->in.data[c->in.len] = 0;
        if (n < READ_STEP - 1)
            return false;
    }
}

static void readable(flow_load *l, conn *c)
{
    bool ended = read_all(c);
    if (c->state == IDLE) { /* closed by the server between two requests, or it talks out of turn */
        hang_up(c);
        return;
    }
    switch (load_parse_feed(&c->parse, &c->in, ended)) {
    case PARSE_DONE:
        answered(l, c);
        break;
    case PARSE_BROKEN:
        broken(l, c,
               ended ? "the connection was closed before the reply was complete"
                     : "the reply is no HTTP/1.1");
        break;
    case PARSE_MORE:
        break;
    }
}

static void handle(flow_load *l, conn *c, uint32_t events)
{
    if (c->state == CONNECTING) {
        connected(l, c);
        return;
    }
    if (c->state == BUSY && events & EPOLLOUT)
        write_more(l, c);
    if (c->fd >= 0 && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        readable(l, c);
}

static void time_out(flow_load *l)
{
    http_state *h = l->state;
    int64_t now = clock_ns();
    while (h->first >= 0 && h->conns[h->first].deadline <= now) {
        conn *c = &h->conns[h->first];
        broken(l, c, c->state == CONNECTING ? "not connected in time" : "no reply in time");
    }
}

static void set_timer(const http_state *h, int64_t at)
{
    int64_t due =
        h->first >= 0 && h->conns[h->first].deadline < at ? h->conns[h->first].deadline : at;
    if (due < 1)
        due = 1; /* 0 would disarm it */
    struct itimerspec when = {
        .it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void wait_events(flow_load *l, rl_deadline until)
{
    http_state *h = l->state;
    struct epoll_event events[EVENTS];
    set_timer(h, until);
    int n = epoll_wait(h->epoll, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        int64_t key = (int64_t)events[i].data.u64;
        uint64_t count;
        if (key >= 0)
            handle(l, &h->conns[key], events[i].events);
        else if (read(key == KEY_WAKE ? l->wake : h->timer, &count, sizeof count) < 0)
            continue;
    }
    time_out(l);
}

/* ---- life ---- */

static rl_err *watch_own(const http_state *h, int fd, int64_t key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)key};
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? NULL : err_sys(errno, "epoll");
}

static rl_err *http_open(flow_load *l)
{
    http_state *h = mem_zero(sizeof *h);
    l->state = h;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    h->free = h->first = h->last = -1;
    h->conns = mem_zero((size_t)l->o.in_flight * sizeof *h->conns);
    for (int i = l->o.in_flight - 1; i >= 0; i--) {
        h->conns[i].fd = -1;
        h->conns[i].request.slot = i;
        put_free(h, &h->conns[i]);
    }
    if (h->epoll < 0 || h->timer < 0)
        return err_sys(errno, "epoll");
    if (!resolve(l, h))
        return err_lab("USAGE", "'%s' is no address", l->host);
    rl_err *err = watch_own(h, l->wake, KEY_WAKE);
    return err ? err : watch_own(h, h->timer, KEY_TIMER);
}

static int count_idle(const http_state *h, int n)
{
    int idle = 0;
    for (int i = 0; i < n; i++)
        idle += h->conns[i].state == IDLE;
    return idle;
}

/* Connects every reader before the first of them asks. */
static rl_err *http_ready(flow_load *l)
{
    http_state *h = l->state;
    rl_deadline until = deadline_in(l->o.timeout);
    int n = l->o.in_flight;
    for (int i = 0; i < n; i++)
        if (!dial(h, &h->conns[i]))
            return err_sys(errno, "cannot connect reader %d", i + 1);
    while (count_idle(h, n) < n && !flow_aborted(&l->flow) && !deadline_passed(until))
        wait_events(l, until);
    int idle = count_idle(h, n);
    return idle == n ? NULL
                     : err_lab("CONNECT", "%d of %d readers could connect to %s:%d", idle, n,
                               l->host, l->port);
}

static void abandon(flow_load *l)
{
    http_state *h = l->state;
    while (h->first >= 0)
        broken(l, &h->conns[h->first], "stopped before the reply");
}

static void http_close(flow_load *l)
{
    http_state *h = l->state;
    for (int i = 0; i < l->o.in_flight; i++) {
        conn *c = &h->conns[i];
        hang_up(c);
        buf_free(&c->out);
        buf_free(&c->in);
        buf_free(&c->parse.body);
        buf_free(&c->request.id);
    }
    free(h->conns);
    if (h->epoll >= 0)
        close(h->epoll);
    if (h->timer >= 0)
        close(h->timer);
    free(h);
    l->state = NULL;
}

const load_driver load_http = {.open = http_open,
                               .ready = http_ready,
                               .free_slot = free_slot,
                               .start = start,
                               .wait = wait_events,
                               .abandon = abandon,
                               .close = http_close};
