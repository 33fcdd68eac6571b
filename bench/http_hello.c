/* Servers to be loaded from outside: `http_hello MODE [THREADS]` prints its port and serves until
 * its input ends. bare   libmicrohttpd alone, the least that answers "hello" and keeps connections
 * ours   engine/http/server, answered by the handler at once
 * later  engine/http/server, each request suspended and answered by another thread */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "http/server.h"

static enum MHD_Result on_bare(void *cls, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *len, void **state)
{
    static int seen;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    *len = 0;
    return MHD_queue_response(connection, 200, cls);
}

static int bare(unsigned threads)
{
    struct MHD_Response *hello =
        MHD_create_response_from_buffer(5, "hello", MHD_RESPMEM_PERSISTENT);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_bare, hello, MHD_OPTION_SOCK_ADDR, &at,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT, 1000U, MHD_OPTION_END);
    if (!daemon)
        return 1;
    printf("%d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    MHD_stop_daemon(daemon);
    MHD_destroy_response(hello);
    return 0;
}

static void say_hello(http_request *req)
{
    http_field field = {"Content-Type", "text/plain"};
    http_reply(req,
               &(http_reply_opts){
                   .status = 200, .fields = &field, .fields_count = 1, .body = "hello", .len = 5});
}

static void at_once(http_request *req, void *arg)
{
    (void)arg;
    say_hello(req);
}

typedef struct waiting {
    http_request *req;
    struct waiting *next;
} waiting;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    waiting *list;
} answerer = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void by_another(http_request *req, void *arg)
{
    (void)arg;
    waiting *w = mem_alloc(sizeof *w);
    pthread_mutex_lock(&answerer.lock);
    *w = (waiting){req, answerer.list};
    answerer.list = w;
    pthread_cond_signal(&answerer.change);
    pthread_mutex_unlock(&answerer.lock);
}

static void *answer(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&answerer.lock);
        while (!answerer.list)
            pthread_cond_wait(&answerer.change, &answerer.lock);
        waiting *w = answerer.list;
        answerer.list = NULL;
        pthread_mutex_unlock(&answerer.lock);
        for (waiting *next; w; w = next) {
            next = w->next;
            say_hello(w->req);
            free(w);
        }
    }
    return NULL;
}

static int ours(int threads, void (*handler)(http_request *, void *))
{
    http_server *server;
    rl_err *err = http_serve(
        &(http_server_opts){.threads = threads, .max_body = 1 << 20, .handler = handler}, &server);
    if (err) {
        fprintf(stderr, "%s\n", err->msg);
        err_free(err);
        return 1;
    }
    printf("%d\n", http_port(server));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    http_stop(server, 1);
    return 0;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 2;
    const char *mode = argc > 1 ? argv[1] : "ours";
    if (strcmp(mode, "bare") == 0)
        return bare((unsigned)threads);
    if (strcmp(mode, "later") != 0)
        return ours(threads, at_once);
    pthread_t thread;
    if (pthread_create(&thread, NULL, answer, NULL) != 0)
        return 1;
    pthread_detach(thread);
    return ours(threads, by_another);
}
