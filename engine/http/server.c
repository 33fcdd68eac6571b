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
    DRAINED_BODY_MAX = 64 << 20,
    HEAD_MAX = 16 << 10,
    PORT_MAX = 65535,
};

/* ---- answers ---- */

static struct MHD_Response *response_of(const http_reply_opts *reply)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->len, reply->len ? (void *)reply->body : "", MHD_RESPMEM_MUST_COPY);
    for (size_t i = 0; response && i < reply->fields_count; i++)
        MHD_add_response_header(response, reply->fields[i].name, reply->fields[i].value);
    return response;
}

/* Leaves the answer and wakes the connection, unless http_stop was faster: then the server may
 * be gone and is not touched. */
static bool answer(http_request *req, const http_reply_opts *reply, struct MHD_Response *response)
{
    if (atomic_exchange(&req->claimed, true))
        return false;
    rl_assert(!req->response);
    req->response = response;
    req->status = reply->status;
    req->after = reply->after;
    req->arg = reply->arg;
    if (atomic_exchange(&req->state, ANSWERED) == SUSPENDED)
        MHD_resume_connection(req->connection);
    return true;
}

void http_reply(http_request *req, const http_reply_opts *reply)
{
    struct MHD_Response *response = response_of(reply);
    if (!answer(req, reply, response)) { /* the server has stopped and said so */
        MHD_destroy_response(response);
        if (reply->after)
            reply->after(reply->arg, false);
    }
    http_request_unref(req);
}

void http_reply_text(http_request *req, int status, const char *type, const char *text)
{
    http_field field = {MHD_HTTP_HEADER_CONTENT_TYPE, type};
    http_reply(req, &(http_reply_opts){.status = status,
                                       .fields = &field,
                                       .fields_count = 1,
                                       .body = text,
                                       .len = strlen(text)});
}

static enum MHD_Result send_problem(struct MHD_Connection *connection, int status,
                                    const char *detail)
{
    char text[256];
    int len = snprintf(text, sizeof text, "{\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}",
                       http_reason(status), status, detail);
    http_field field = {MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json"};
    struct MHD_Response *response = response_of(
        &(http_reply_opts){.fields = &field, .fields_count = 1, .body = text, .len = (size_t)len});
    enum MHD_Result done = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return done;
}

static enum MHD_Result send_answer(http_request *req)
{
    if (atomic_load(&req->server->draining))
        MHD_add_response_header(req->response, MHD_HTTP_HEADER_CONNECTION, "close");
    return MHD_queue_response(req->connection, (unsigned)req->status, req->response);
}

/* ---- libmicrohttpd's side ---- */

static enum MHD_Result too_large(http_request *req)
{
    char detail[96];
    snprintf(detail, sizeof detail, "a body has at most %zu bytes here",
             req->server->opts.max_body);
    return send_problem(req->connection, MHD_HTTP_CONTENT_TOO_LARGE, detail);
}

/* A length that is announced and too large is refused before the body is sent. */
static enum MHD_Result begin(http_request *req)
{
    const char *length = http_header(req, MHD_HTTP_HEADER_CONTENT_LENGTH);
    req->too_large = length && strtoull(length, NULL, 10) > req->server->opts.max_body;
    return req->too_large ? too_large(req) : MHD_YES;
}

static enum MHD_Result take_body(http_request *req, const char *data, size_t *len)
{
    req->received += *len;
    req->too_large = req->too_large || req->received > req->server->opts.max_body;
    if (!req->too_large)
        buf_add(&req->body, data, *len);
    *len = 0;
    return req->received > (size_t)DRAINED_BODY_MAX + req->server->opts.max_body ? MHD_NO : MHD_YES;
}

static bool front_takes(http_server *server, http_request *req)
{
    atomic_fetch_add(&server->in_front, 1);
    http_front *front = atomic_load(&server->front);
    bool taken = front && front(req, atomic_load(&server->front_arg));
    atomic_fetch_sub(&server->in_front, 1);
    return taken;
}

void http_set_front(http_server *server, http_front *front, void *arg)
{
    atomic_store(&server->front, NULL);
    while (atomic_load(&server->in_front))
        nanosleep(&(struct timespec){.tv_nsec = STEP_US * 1000}, NULL);
    atomic_store(&server->front_arg, arg);
    atomic_store(&server->front, front);
}

static enum MHD_Result handle(http_request *req)
{
    if (req->too_large)
        return too_large(req);
    http_server *server = req->server;
    if (atomic_load(&server->stopped))
        return send_problem(req->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                            "the server is stopping");
    atomic_fetch_add(&req->refs, 1);
    if (!front_takes(server, req))
        server->opts.handler(req, server->opts.arg);
    if (atomic_load(&req->state) == ANSWERED)
        return send_answer(req);
    http_request_suspend(req);
    MHD_suspend_connection(req->connection);
    int handling = HANDLING;
    if (!atomic_compare_exchange_strong(&req->state, &handling, SUSPENDED))
        MHD_resume_connection(req->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **state)
{
    (void)version;
    http_request *req = *state;
    if (!req) {
        *state = req = http_request_new(cls, connection, method, url);
        return begin(req);
    }
    if (*len)
        return take_body(req, data, len);
    if (atomic_load(&req->state) == ANSWERED)
        return send_answer(req);
    return handle(req);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    http_server *server = cls;
    http_request *req = *state;
    *state = NULL;
    if (!req)
        return;
    http_request_forget(req);
    if (req->after)
        req->after(req->arg, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (req->response)
        MHD_destroy_response(req->response);
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
    unsigned idle = opts->idle_seconds > 0 ? (unsigned)(opts->idle_seconds + 0.999) : IDLE_SECONDS;
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_CONNECTION_LIMIT,
        opts->max_connections ? opts->max_connections : (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX, /* is zeroed for each request */
        MHD_OPTION_CONNECTION_TIMEOUT, idle, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, MHD_OPTION_END);
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
    http_server *server = mem_zero(sizeof *server);
    server->opts = *opts;
    server->opts.host = NULL;
    server->port = port_of(fd);
    pthread_mutex_init(&server->lock, NULL);
    server->daemon = start(server, fd);
    if (server->daemon) {
        *out = server;
        return NULL;
    }
    close(fd);
    pthread_mutex_destroy(&server->lock);
    free(server);
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
    pthread_mutex_destroy(&server->lock);
    free(server);
}
