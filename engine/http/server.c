#include "http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "http/server_internal.h"

enum {
    MAX_CONNECTIONS = 1000,
    IDLE_SECONDS = 60,
    STEP_US = 2000,
    LAST_SECONDS = 3,
    HEAD_SECONDS = 10,
    BODY_SECONDS = 60,
    DRAINED_BODY_MAX = 64 << 20,
    HEAD_MAX = 16 << 10,
    PORT_MAX = 65535,
};

/* ---- libmicrohttpd's side ---- */

/* In the middle of a body libmicrohttpd takes no answer, and it has nothing else to send. */
static void say_too_large(const http_request *req)
{
    char detail[96];
    snprintf(detail, sizeof detail, "a body has at most %zu bytes here",
             req->server->opts.max_body);
    http_link_tell(req->link, MHD_HTTP_CONTENT_TOO_LARGE, detail);
}

/* Some of what follows is still read: a client that is cut off at once may not see the answer. */
static enum MHD_Result take_body(http_request *req, const char *data, size_t *len)
{
    const http_server_opts *opts = &req->server->opts;
    req->received += *len;
    if (req->received <= opts->max_body)
        buf_add(&req->body, data, *len);
    else if (!req->too_large)
        say_too_large(req);
    req->too_large = req->received > opts->max_body;
    *len = 0;
    return req->received > (size_t)DRAINED_BODY_MAX + opts->max_body ? MHD_NO : MHD_YES;
}

/* ---- the front ---- */

static const http_front *enter_front(http_server *server)
{
    atomic_fetch_add(&server->in_front, 1);
    return atomic_load(&server->front);
}

static void leave_front(http_server *server)
{
    atomic_fetch_sub(&server->in_front, 1);
}

static bool front_takes(http_server *server, http_request *req)
{
    const http_front *front = enter_front(server);
    bool taken = front && !atomic_load(&server->front_ends) &&
                 front->take(req, atomic_load(&server->front_arg));
    leave_front(server);
    return taken;
}

static void front_turn(http_request *req)
{
    const http_front *front = enter_front(req->server);
    if (front && atomic_load(&req->kept))
        front->turn(req, atomic_load(&req->server->front_arg));
    leave_front(req->server);
}

static void rest_while(atomic_int *count)
{
    while (atomic_load(count))
        nanosleep(&(struct timespec){.tv_nsec = STEP_US * 1000}, NULL);
}

void http_set_front(http_server *server, const http_front *front, void *arg)
{
    atomic_store(&server->front_ends, true);
    rest_while(&server->in_front); /* all that it keeps is counted */
    rest_while(&server->kept);
    atomic_store(&server->front, NULL);
    rest_while(&server->in_front);
    atomic_store(&server->front_arg, arg);
    atomic_store(&server->front, front);
    atomic_store(&server->front_ends, false);
}

/* ---- a whole request ---- */

/* From here on libmicrohttpd neither looks at the connection nor calls us for it. */
static void suspend(http_request *req)
{
    http_request_suspend(req);
    MHD_suspend_connection(req->connection);
    int handling = HANDLING;
    if (!atomic_compare_exchange_strong(&req->state, &handling, SUSPENDED))
        MHD_resume_connection(req->connection);
}

/* Sends the answer that is there, or waits for it. A request that is kept is asked for again as soon as its
 * thread has looked at its other connections. */
static enum MHD_Result settle(http_request *req)
{
    bool answered = atomic_load(&req->state) == ANSWERED;
    if (!answered && atomic_load(&req->kept))
        return MHD_YES;
    http_request_count_kept(req, false);
    if (answered)
        return http_send_answer(req);
    suspend(req);
    return MHD_YES;
}

static enum MHD_Result handle_again(http_request *req)
{
    if (atomic_load(&req->state) != ANSWERED)
        front_turn(req);
    return settle(req);
}

static enum MHD_Result handle(http_request *req)
{
    http_server *server = req->server;
    if (!http_link_complete(req->link) || req->too_large)
        return MHD_NO; /* it was told why */
    if (atomic_load(&server->stopped))
        return http_send_problem(req->connection, MHD_HTTP_SERVICE_UNAVAILABLE, false,
                                 "the server is stopping");
    atomic_fetch_add(&req->refs, 1);
    req->handled = true;
    if (!front_takes(server, req))
        server->opts.handler(req, server->opts.arg);
    return settle(req);
}

/* libmicrohttpd would take a record of its pool for each "a=1" of a query, and 0.9.75 goes on as if
 * nothing were where the pool ends with one. It sees no query: we read our copy. */
static void hide_query(char *uri)
{
    char *query = strchr(uri, '?');
    if (query && query[1])
        query[1] = '\0';
}

/* Called with the target as it was sent, in the library's own buffer; the url that follows later is
 * decoded as a whole. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *connection)
{
    http_link *link = http_link_of(connection);
    (void)cls;
    free(link->target);
    link->target = mem_strdup(uri ? uri : "");
    link->sent_target = uri;
    if (uri)
        hide_query((char *)uri);
    return NULL;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    http_server *server = cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_link_close(*context);
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *context = http_link_open(server->slow, info->connect_fd);
}

static enum MHD_Result begin(http_request *req)
{
    enum MHD_Result result = http_admit(req);
    if (!req->refused && req->has_body)
        http_link_await_body(req->link);
    else if (!req->refused)
        http_link_complete(req->link);
    return result;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **state)
{
    (void)url;
    http_request *req = *state;
    if (!req) {
        *state = req = http_request_new(cls, connection, method);
        req->version = version;
        req->sent_method = method;
        req->link = http_link_of(connection);
        return begin(req);
    }
    if (req->refused) {
        *len = 0;
        return MHD_YES;
    }
    if (*len)
        return take_body(req, data, len);
    return req->handled ? handle_again(req) : handle(req);
}

/* The client of a request that was kept may be gone before its answer comes. */
static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    http_server *server = cls;
    http_request *req = *state;
    *state = NULL;
    http_link_await_next(http_link_of(connection));
    if (!req)
        return;
    http_request_forget(req);
    http_request_count_kept(req, false);
    if (atomic_exchange(&req->state, COMPLETED) == ANSWERED && req->after)
        req->after(req->arg, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    http_request_unref(req);
    atomic_fetch_sub(&server->under_way, 1);
}

/* ---- life ---- */

static rl_err *listen_at(const char *host, const struct addrinfo *at, int *fd)
{
    char port[NI_MAXSERV] = "";
    getnameinfo(at->ai_addr, at->ai_addrlen, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    *fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(*fd, at->ai_addr, at->ai_addrlen) == 0 && listen(*fd, SOMAXCONN) == 0)
        return NULL;
    rl_err *err = err_sys(errno, "listening on %s:%s", host, port);
    if (*fd >= 0)
        close(*fd);
    return err;
}

static rl_err *open_socket(const http_server_opts *opts, int *fd)
{
    const char *host = opts->host ? opts->host : "127.0.0.1";
    char port[16];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    snprintf(port, sizeof port, "%d", opts->port);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return err_new(RL_HTTP, rc, "UNKNOWN_HOST", "%s: %s", host, gai_strerror(rc));
    rl_err *err = listen_at(host, found, fd);
    freeaddrinfo(found);
    return err;
}

static int port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

static void no_log(void *arg, const char *fmt, va_list ap)
{
    (void)arg;
    (void)fmt;
    (void)ap;
}

static struct MHD_Daemon *start(http_server *server, int fd)
{
    const http_server_opts *opts = &server->opts;
    unsigned threads = opts->threads > 1 ? (unsigned)opts->threads : 0;
    unsigned idle = (unsigned)(opts->idle_seconds + 0.999);
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_CONNECTION_LIMIT, opts->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_MAX, /* is zeroed for each request */
        MHD_OPTION_CONNECTION_TIMEOUT, idle, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, MHD_OPTION_END);
}

/* Its own copy of the options, with what was left out. */
static http_server *server_new(const http_server_opts *opts)
{
    http_server *server = mem_zero(sizeof *server);
    http_server_opts *own = &server->opts;
    *own = *opts;
    own->host = mem_strdup(opts->host ? opts->host : "127.0.0.1");
    own->hosts = opts->hosts ? mem_strdup(opts->hosts) : NULL;
    own->max_connections = opts->max_connections ? opts->max_connections : MAX_CONNECTIONS;
    own->idle_seconds = opts->idle_seconds > 0 ? opts->idle_seconds : IDLE_SECONDS;
    own->head_seconds = opts->head_seconds > 0 ? opts->head_seconds : HEAD_SECONDS;
    own->body_seconds = opts->body_seconds > 0 ? opts->body_seconds : BODY_SECONDS;
    pthread_mutex_init(&server->lock, NULL);
    server->slow = http_slow_open(&(http_slow_opts){.head = own->head_seconds,
                                                    .body = own->body_seconds,
                                                    .idle = own->idle_seconds,
                                                    .connections = own->max_connections});
    return server;
}

static void server_free(http_server *server)
{
    if (server->slow)
        http_slow_close(server->slow);
    pthread_mutex_destroy(&server->lock);
    free((char *)server->opts.host);
    free((char *)server->opts.hosts);
    free(server);
}

rl_err *http_serve(const http_server_opts *opts, http_server **out)
{
    rl_assert(opts->handler);
    if (opts->port < 0 || opts->port > PORT_MAX)
        return err_new(RL_HTTP, 0, "PORT", "%d is no port: 0 to %d", opts->port, PORT_MAX);
    int fd = -1;
    rl_err *err = open_socket(opts, &fd);
    if (err)
        return err;
    http_server *server = server_new(opts);
    server->port = port_of(fd);
    server->daemon = server->slow ? start(server, fd) : NULL;
    if (server->daemon) {
        *out = server;
        return NULL;
    }
    close(fd);
    server_free(server);
    return err_new(RL_HTTP, 0, "SERVER", "the HTTP server did not start");
}

int http_port(const http_server *server)
{
    return server->port;
}

int http_under_way(const http_server *server)
{
    return atomic_load(&server->under_way);
}

static http_request *first_unanswered(http_server *server)
{
    pthread_mutex_lock(&server->lock);
    http_request *req = server->suspended;
    while (req && atomic_load(&req->claimed))
        req = req->next;
    if (req)
        atomic_fetch_add(&req->refs, 1);
    pthread_mutex_unlock(&server->lock);
    return req;
}

/* The requests that nobody answered, also those that come to be suspended while this runs. */
static void answer_the_rest(http_server *server)
{
    for (http_request *req; (req = first_unanswered(server));)
        http_reply_text(req, MHD_HTTP_SERVICE_UNAVAILABLE, "application/problem+json",
                        "{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"the "
                        "server is stopping\"}");
}

static void wait_for_answers(http_server *server, double at_most)
{
    rl_deadline until = deadline_in(at_most);
    while (http_under_way(server) && !deadline_passed(until)) {
        if (atomic_load(&server->stopped))
            answer_the_rest(server);
        nanosleep(&(struct timespec){.tv_nsec = STEP_US * 1000}, NULL);
    }
}

void http_stop(http_server *server, double at_most)
{
    int fd = MHD_quiesce_daemon(server->daemon);
    if (fd >= 0)
        close(fd);
    atomic_store(&server->draining, true);
    wait_for_answers(server, at_most);
    atomic_store(&server->stopped, true);
    wait_for_answers(server, LAST_SECONDS);
    MHD_stop_daemon(server->daemon);
    server_free(server);
}
