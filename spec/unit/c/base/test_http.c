/* engine/http: our server and our client on one another, from several threads. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "http/client.h"
#include "http/server.h"

enum { CLIENTS = 4, CALLS = 200, PARKED_MAX = 64 };

/* Requests that wait for whoever answers them. */
static struct {
    pthread_mutex_t lock;
    http_request *list[PARKED_MAX];
    int count;
    atomic_bool closed;
    atomic_int sent, unsent;
} parked = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void on_sent(void *arg, bool sent)
{
    (void)arg;
    atomic_fetch_add(sent ? &parked.sent : &parked.unsent, 1);
}

static void echo(http_request *req)
{
    size_t len;
    const char *body = http_body(req, &len);
    http_field field = {"X-Path", http_path(req)};
    http_reply(req, &(http_reply_opts){.status = 200,
                                       .fields = &field,
                                       .fields_count = 1,
                                       .body = body,
                                       .len = len,
                                       .after = on_sent});
}

static void park(http_request *req)
{
    pthread_mutex_lock(&parked.lock);
    assert_true(parked.count < PARKED_MAX);
    parked.list[parked.count++] = req;
    pthread_mutex_unlock(&parked.lock);
}

static http_request *unpark(void)
{
    pthread_mutex_lock(&parked.lock);
    http_request *req = parked.count ? parked.list[--parked.count] : NULL;
    pthread_mutex_unlock(&parked.lock);
    return req;
}

/* /now is answered at once, all else is kept. */
static void on_request(http_request *req, void *arg)
{
    (void)arg;
    if (strcmp(http_path(req), "/now") == 0)
        echo(req);
    else
        park(req);
}

static void *answer(void *unused)
{
    (void)unused;
    while (!atomic_load(&parked.closed)) {
        http_request *req = unpark();
        if (req)
            echo(req);
        else
            rest();
    }
    return NULL;
}

static http_server *serve(int threads)
{
    http_server *server = NULL;
    parked.count = 0;
    atomic_store(&parked.closed, false);
    atomic_store(&parked.sent, 0);
    atomic_store(&parked.unsent, 0);
    assert_null(http_serve(
        &(http_server_opts){.threads = threads, .max_body = 1024, .handler = on_request}, &server));
    return server;
}

static rl_err *call(http_client *client, int port, const char *path, const char *body,
                    http_answer *got)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    return http_client_call(client,
                            &(http_call){.method = body ? "POST" : "GET",
                                         .url = url,
                                         .body = body,
                                         .len = body ? strlen(body) : 0,
                                         .timeout = 10,
                                         .max_body = 4096},
                            got);
}

/* ---- many clients, answers at once and from another thread ---- */

static void *many_calls(void *arg)
{
    int port = *(int *)arg;
    http_client *client = http_client_new();
    char body[32];
    for (int i = 0; i < CALLS; i++) {
        http_answer got = {0};
        snprintf(body, sizeof body, "call %d", i);
        assert_null(call(client, port, i % 2 ? "/now" : "/later", body, &got));
        assert_int_equal(got.status, 200);
        assert_string_equal(got.body.data, body);
        http_answer_free(&got);
    }
    http_client_free(client);
    return NULL;
}

static void side_by_side(void **state)
{
    (void)state;
    http_server *server = serve(2);
    int port = http_port(server);
    pthread_t clients[CLIENTS], answerer;
    pthread_create(&answerer, NULL, answer, NULL);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, many_calls, &port);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    atomic_store(&parked.closed, true);
    pthread_join(answerer, NULL);
    http_stop(server, 1);
    assert_int_equal(atomic_load(&parked.sent), CLIENTS * CALLS);
    assert_int_equal(atomic_load(&parked.unsent), 0);
}

/* ---- the end of a server that owes answers ---- */

static void *one_call(void *arg)
{
    http_answer got = {0};
    http_client *client = http_client_new();
    rl_err *err = call(client, *(int *)arg, "/kept", "x", &got);
    int status = err ? -1 : got.status;
    err_free(err);
    http_answer_free(&got);
    http_client_free(client);
    return (void *)(intptr_t)status;
}

static void stop_answers_the_rest(void **state)
{
    (void)state;
    http_server *server = serve(1);
    int port = http_port(server);
    pthread_t clients[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&clients[i], NULL, one_call, &port);
    while (http_under_way(server) < 3)
        rest();
    http_stop(server, 0.05);
    for (int i = 0; i < 3; i++) {
        void *status;
        pthread_join(clients[i], &status);
        assert_int_equal((intptr_t)status, 503);
    }
    for (http_request *req; (req = unpark());)
        echo(req); /* too late, and harmless */
    assert_int_equal(atomic_load(&parked.unsent), 3);
}

static void stop_waits_for_answers(void **state)
{
    (void)state;
    http_server *server = serve(1);
    int port = http_port(server);
    pthread_t client, answerer;
    pthread_create(&client, NULL, one_call, &port);
    while (http_under_way(server) < 1)
        rest();
    pthread_create(&answerer, NULL, answer, NULL);
    http_stop(server, 10);
    void *status;
    pthread_join(client, &status);
    assert_int_equal((intptr_t)status, 200);
    atomic_store(&parked.closed, true);
    pthread_join(answerer, NULL);
}

/* ---- a front that keeps requests ---- */

/* /turn is answered in a turn, /later let go and parked, /hold neither. */
static bool keep(http_request *req, void *arg)
{
    (void)arg;
    http_keep(req);
    if (strcmp(http_path(req), "/hold") == 0)
        park(req);
    return true;
}

static void turn(http_request *req, void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    if (strcmp(http_path(req), "/turn") == 0) {
        echo(req);
    } else if (strcmp(http_path(req), "/later") == 0) {
        http_let_go(req);
        park(req);
    } else {
        rest();
    }
}

static const http_front keeper = {.take = keep, .turn = turn};

static void kept_are_answered_or_let_go(void **state)
{
    (void)state;
    static const char *const paths[] = {"/turn", "/later", "/turn"};
    atomic_int turns = 0;
    http_server *server = serve(2);
    http_client *client = http_client_new();
    pthread_t answerer;
    http_set_front(server, &keeper, &turns);
    pthread_create(&answerer, NULL, answer, NULL);
    for (int i = 0; i < 3; i++) {
        http_answer got = {0};
        assert_null(call(client, http_port(server), paths[i], "x", &got));
        assert_int_equal(got.status, 200);
        assert_string_equal(got.body.data, "x");
        http_answer_free(&got);
    }
    assert_int_equal(atomic_load(&turns), 3);
    http_set_front(server, NULL, NULL);
    atomic_store(&parked.closed, true);
    pthread_join(answerer, NULL);
    http_client_free(client);
    http_stop(server, 1);
    assert_int_equal(atomic_load(&parked.sent), 3);
}

static int ask_by_hand(int port, const char *path)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return fd;
}

/* Its connection is watched meanwhile: the answer comes too late, and the front may go. */
static void a_kept_client_may_go_away(void **state)
{
    (void)state;
    atomic_int turns = 0;
    http_server *server = serve(1);
    http_set_front(server, &keeper, &turns);
    int fd = ask_by_hand(http_port(server), "/hold");
    while (!atomic_load(&turns))
        rest();
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    while (http_under_way(server))
        rest();
    http_set_front(server, NULL, NULL);
    for (http_request *req; (req = unpark());)
        echo(req);
    assert_int_equal(atomic_load(&parked.unsent), 1);
    http_stop(server, 1);
}

/* ---- the client ---- */

static void *cancel_soon(void *client)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    http_client_cancel(client);
    return NULL;
}

static void a_cancel_ends_a_call(void **state)
{
    (void)state;
    http_server *server = serve(1);
    http_client *client = http_client_new();
    http_answer got = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, client);
    int64_t began = clock_ns();
    rl_err *err = call(client, http_port(server), "/kept", "x", &got);
    assert_true(err_is(err, RL_LAB, "CANCELLED"));
    assert_true(clock_ns() - began < 5000000000);
    err_free(err);
    http_answer_free(&got);
    pthread_join(thread, NULL);
    got = (http_answer){0};
    assert_null(call(client, http_port(server), "/now", "again", &got));
    assert_string_equal(got.body.data, "again");
    http_answer_free(&got);
    http_client_free(client);
    http_stop(server, 0);
    for (http_request *req; (req = unpark());)
        echo(req);
}

static void answers_are_bounded(void **state)
{
    (void)state;
    http_server *server = serve(1);
    http_client *client = http_client_new();
    char url[64], body[1025];
    memset(body, 'x', sizeof body);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/now", http_port(server));
    http_call big = {
        .method = "POST", .url = url, .body = body, .len = 100, .timeout = 5, .max_body = 99};
    http_answer got = {0};
    rl_err *err = http_client_call(client, &big, &got);
    assert_true(err_is(err, RL_HTTP, "TOO_LARGE"));
    err_free(err);
    http_answer_free(&got);
    got = (http_answer){0};
    big.len = sizeof body;
    big.max_body = 4096;
    assert_null(http_client_call(client, &big, &got));
    assert_int_equal(got.status, 413);
    http_answer_free(&got);
    http_client_free(client);
    http_stop(server, 1);
}

static void a_taken_port_is_named(void **state)
{
    (void)state;
    http_server *server = serve(1), *second = NULL;
    rl_err *err =
        http_serve(&(http_server_opts){.port = http_port(server), .handler = on_request}, &second);
    assert_true(err_is(err, RL_SYS, "EADDRINUSE"));
    assert_null(second);
    err_free(err);
    http_stop(server, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(side_by_side),
        cmocka_unit_test(stop_answers_the_rest),
        cmocka_unit_test(stop_waits_for_answers),
        cmocka_unit_test(a_cancel_ends_a_call),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(a_taken_port_is_named),
        cmocka_unit_test(kept_are_answered_or_let_go),
        cmocka_unit_test(a_kept_client_may_go_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
