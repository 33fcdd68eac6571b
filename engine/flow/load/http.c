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

enum { EVENTS = 256, READ_STEP = 16384, READ_MAX = 1 << 20, KEY_WAKE = -1, KEY_TIMER = -2 };

typedef enum conn_state { CLOSED, CONNECTING, IDLE, BUSY } conn_state;

typedef struct http_conn {
    load_request request; /* first */
    int fd;
    conn_state state;
    bool writable;        /* epoll was asked for EPOLLOUT */
    rl_deadline deadline; /* of the request */
    int prev, next;       /* in the list of those with a request, oldest first */
    size_t written;
    rl_buf out, in;
    load_parse parse;
} http_conn;

typedef struct http_state {
    int epoll, timer;
    struct sockaddr_storage to;
    socklen_t to_len;
    http_conn *conns; /* the slots */
    int first, last;  /* with a request; -1: none */
} http_state;

static http_conn *conn_of(load_request *r)
{
    return (http_conn *)r;
}

/* ---- sockets ---- */

static void watch(http_state *h, http_conn *conn, bool writable)
{
    if (conn->writable == writable)
        return;
    conn->writable = writable;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0u),
                                .data.u64 = (uint64_t)conn->request.slot};
    epoll_ctl(h->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

static void hang_up(http_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->state = CLOSED;
}

/* False: refused at once; errno says why. */
static bool dial(http_state *h, http_conn *conn)
{
    static const int one = 1;
    conn->fd = socket(h->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLOUT,
                                .data.u64 = (uint64_t)conn->request.slot};
    conn->writable = true;
    conn->state = CONNECTING;
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, conn->fd, &event) == 0 &&
           (connect(conn->fd, (struct sockaddr *)&h->to, h->to_len) == 0 || errno == EINPROGRESS);
}

static bool resolve(flow_load *load, http_state *h)
{
    const char *host = strcmp(load->host, "localhost") == 0 ? "127.0.0.1" : load->host;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&h->to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&h->to;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)load->port);
        h->to_len = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)load->port);
        h->to_len = sizeof *v6;
    }
    return h->to_len > 0;
}

/* ---- requests ---- */

static void link_last(http_state *h, http_conn *conn)
{
    int i = conn->request.slot;
    conn->prev = h->last;
    conn->next = -1;
    *(h->last >= 0 ? &h->conns[h->last].next : &h->first) = i;
    h->last = i;
}

static void unlink_it(http_state *h, http_conn *conn)
{
    *(conn->prev >= 0 ? &h->conns[conn->prev].next : &h->first) = conn->next;
    *(conn->next >= 0 ? &h->conns[conn->next].prev : &h->last) = conn->prev;
}

/* The request has come to its end; the connection lives on when it may. */
static void http_finish(flow_load *load, http_conn *conn, const load_reply *reply)
{
    http_state *h = load->state;
    bool keep = conn->state == BUSY && reply->status && conn->parse.reusable;
    unlink_it(h, conn);
    if (keep) {
        conn->state = IDLE;
        watch(h, conn, false);
    } else {
        hang_up(conn);
    }
    load_end(load, &conn->request, reply);
}

static void broken(flow_load *load, http_conn *conn, const char *why)
{
    bool sent = conn->written > 0 && conn->request.form->effect;
    http_finish(
        load, conn,
        &(load_reply){.outcome = sent ? LOAD_UNKNOWN : LOAD_FAIL, .partition = -1, .error = why});
}

static void answered(flow_load *load, http_conn *conn)
{
    int class = conn->parse.status / 100;
    flow_load_outcome outcome = class == 2 ? LOAD_OK
                                : class == 5
                                    ? (conn->request.form->effect ? LOAD_UNKNOWN : LOAD_FAIL)
                                    : LOAD_FAIL;
    http_finish(load, conn,
                &(load_reply){.outcome = outcome,
                              .status = conn->parse.status,
                              .partition = -1,
                              .body = conn->parse.body.data ? conn->parse.body.data : "",
                              .body_len = conn->parse.body.len});
}

static void write_more(flow_load *load, http_conn *conn)
{
    while (conn->written < conn->out.len) {
        ssize_t n = send(conn->fd, conn->out.data + conn->written, conn->out.len - conn->written,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch(load->state, conn, true);
            return;
        }
        if (n < 0) {
            broken(load, conn, "the connection broke while the request was sent");
            return;
        }
        conn->written += (size_t)n;
    }
    watch(load->state, conn, false);
}

static void send_it(flow_load *load, http_conn *conn)
{
    conn->state = BUSY;
    buf_reset(&conn->in);
    load_parse_begin(&conn->parse, strcmp(conn->request.form->method, "HEAD") == 0);
    write_more(load, conn);
}

static void http_render(flow_load *load, http_conn *conn)
{
    const load_request *r = &conn->request;
    const load_form *form = r->form;
    rl_buf body = {0};
    bool typed = false;
    buf_reset(&conn->out);
    buf_printf(&conn->out, "%s ", form->method);
    load_render(load, r, form->path, &conn->out);
    bool six = strchr(load->host, ':') != NULL;
    buf_printf(&conn->out, " HTTP/1.1\r\nHost: %s%s%s:%d\r\n", six ? "[" : "", load->host,
               six ? "]" : "", load->port);
    for (size_t i = 0; i < form->nheaders; i++) {
        typed = typed || strcasecmp(form->names[i], "content-type") == 0;
        buf_printf(&conn->out, "%s: ", form->names[i]);
        load_render(load, r, form->values[i], &conn->out);
        buf_str(&conn->out, "\r\n");
    }
    load_render(load, r, form->body, &body);
    if (form->body && !typed)
        buf_str(&conn->out, "Content-Type: application/json\r\n");
    if (form->body || strcmp(form->method, "POST") == 0 || strcmp(form->method, "PUT") == 0)
        buf_printf(&conn->out, "Content-Length: %zu\r\n", body.len);
    buf_str(&conn->out, "\r\n");
    if (body.len)
        buf_add(&conn->out, body.data, body.len);
    buf_free(&body);
    conn->written = 0;
}

static void http_start(flow_load *load, load_request *r)
{
    http_state *h = load->state;
    http_conn *conn = conn_of(r);
    http_render(load, conn);
    load_begin(load, r);
    conn->deadline = r->started + (int64_t)(load->opts.timeout * 1e9);
    link_last(h, conn);
    if (conn->state == IDLE)
        send_it(load, conn);
    else if (conn->state == CLOSED && !dial(h, conn))
        broken(load, conn, strerror(errno));
}

/* ---- what comes in ---- */

static void connected(flow_load *load, http_conn *conn)
{
    int failed = 0;
    socklen_t len = sizeof failed;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &failed, &len);
    if (failed && conn->request.open) {
        broken(load, conn, strerror(failed));
        return;
    }
    if (failed) {
        hang_up(conn);
        return;
    }
    load_tally_connected(load);
    conn->state = IDLE;
    watch(load->state, conn, false);
    if (conn->request.open)
        send_it(load, conn);
}

/* Reads what is there, READ_MAX at a time, so that a limit of the reply is seen before much more
 * has come and the others get their turn. True: the other side has ended, or the connection is
 * broken. */
static bool read_some(http_conn *conn)
{
    size_t limit = conn->in.len + READ_MAX;
    while (conn->in.len < limit) {
        buf_reserve(&conn->in, READ_STEP);
        ssize_t n = recv(conn->fd, conn->in.data + conn->in.len, READ_STEP - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno != EAGAIN;
        if (n == 0)
            return true;
        conn->in.len += (size_t)n;
        conn->in.data[conn->in.len] = 0;
        if (n < READ_STEP - 1)
            return false;
    }
    return false;
}

static void readable(flow_load *load, http_conn *conn)
{
    bool ended = read_some(conn);
    /* closed by the server between two requests, or it talks out of turn */
    if (conn->state == IDLE) {
        hang_up(conn);
        return;
    }
    switch (load_parse_feed(&conn->parse, &conn->in, ended)) {
    case PARSE_DONE:
        answered(load, conn);
        break;
    case PARSE_BROKEN:
        broken(load, conn,
               ended ? "the connection was closed before the reply was complete"
                     : "the reply is no HTTP/1.1");
        break;
    case PARSE_MORE:
        break;
    }
}

static void handle(flow_load *load, http_conn *conn, uint32_t events)
{
    if (conn->state == CONNECTING) {
        connected(load, conn);
        return;
    }
    if (conn->state == BUSY && events & EPOLLOUT)
        write_more(load, conn);
    if (conn->fd >= 0 && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        readable(load, conn);
}

static void time_out(flow_load *load)
{
    http_state *h = load->state;
    int64_t now = clock_ns();
    while (h->first >= 0 && h->conns[h->first].deadline <= now) {
        http_conn *conn = &h->conns[h->first];
        broken(load, conn,
               conn->state == CONNECTING ? "not connected in time" : "no reply in time");
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

static void wait_events(flow_load *load, rl_deadline until)
{
    http_state *h = load->state;
    struct epoll_event events[EVENTS];
    set_timer(h, until);
    int n = epoll_wait(h->epoll, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        int64_t key = (int64_t)events[i].data.u64;
        uint64_t count;
        if (key >= 0)
            handle(load, &h->conns[key], events[i].events);
        else if (read(key == KEY_WAKE ? load->wake : h->timer, &count, sizeof count) < 0)
            continue;
    }
    time_out(load);
}

/* ---- life ---- */

static rl_err *watch_own(const http_state *h, int fd, int64_t key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)key};
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? NULL : err_sys(errno, "epoll");
}

static rl_err *http_open(flow_load *load)
{
    http_state *h = mem_zero(sizeof *h);
    load->state = h;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    h->first = h->last = -1;
    h->conns = conn_of(load_slot(load, 0));
    for (int i = 0; i < load->opts.in_flight; i++)
        h->conns[i].fd = -1;
    if (h->epoll < 0 || h->timer < 0)
        return err_sys(errno, "epoll");
    if (!resolve(load, h))
        return err_lab("USAGE", "'%s' is no address", load->host);
    rl_err *err = watch_own(h, load->wake, KEY_WAKE);
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
static rl_err *http_ready(flow_load *load)
{
    http_state *h = load->state;
    rl_deadline until = deadline_in(load->opts.timeout);
    int n = load->opts.in_flight;
    for (int i = 0; i < n; i++)
        if (!dial(h, &h->conns[i]))
            return err_sys(errno, "cannot connect reader %d", i + 1);
    while (count_idle(h, n) < n && !flow_aborted(&load->flow) && !deadline_passed(until))
        wait_events(load, until);
    int idle = count_idle(h, n);
    return idle == n ? NULL
                     : err_lab("CONNECT", "%d of %d readers could connect to %s:%d", idle, n,
                               load->host, load->port);
}

static void http_abandon(flow_load *load)
{
    http_state *h = load->state;
    while (h->first >= 0)
        broken(load, &h->conns[h->first], "stopped before the reply");
}

static void http_close(flow_load *load)
{
    http_state *h = load->state;
    for (int i = 0; i < load->opts.in_flight; i++) {
        http_conn *conn = &h->conns[i];
        hang_up(conn);
        buf_free(&conn->out);
        buf_free(&conn->in);
        buf_free(&conn->parse.body);
    }
    if (h->epoll >= 0)
        close(h->epoll);
    if (h->timer >= 0)
        close(h->timer);
    free(h);
    load->state = NULL;
}

const load_driver load_http = {.slot_size = sizeof(http_conn),
                               .open = http_open,
                               .ready = http_ready,
                               .start = http_start,
                               .wait = wait_events,
                               .abandon = http_abandon,
                               .close = http_close};
