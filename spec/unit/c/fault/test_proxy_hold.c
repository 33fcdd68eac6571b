/* Held requests whose connection ends on both sides: whatever the order, nothing stays behind. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"
#include "fault/proxy/life.h"

enum { CLIENTS = 40 };

static const char MYSQL[] =
    "\x24\0\0\1\x01\xa2\x08\0\0\0\0\1\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0lab\0\x08\0\0\0\3select1";
static const char REDIS[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
static const char KAFKA[] = "\0\0\0\x0c\0\1\0\4\0\0\0\1\0\2me";

typedef struct storm {
    uv_loop_t loop;
    rl_proxy *proxy;
    int listener, client[CLIENTS], server[CLIENTS];
    size_t heard[CLIENTS]; /* by the servers */
    int files;             /* open before it */
} storm;

typedef bool (*condition)(const storm *s);

/* The loop turns until the condition holds, five seconds at most. */
static void turn_until(storm *s, condition holds)
{
    int64_t until = clock_ns() + INT64_C(5000000000);
    while (!holds(s)) {
        assert_true(clock_ns() < until);
        uv_run(&s->loop, UV_RUN_NOWAIT);
        usleep(500);
    }
}

static int open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int conns(const storm *s)
{
    int n = 0;
    for (const proxy_conn *conn = s->proxy->gates->conns; conn; conn = conn->next)
        n += 1;
    return n;
}

static bool all_connected(const storm *s)
{
    int n = 0;
    for (const proxy_conn *conn = s->proxy->gates->conns; conn; conn = conn->next)
        n += conn->connected;
    return n == CLIENTS;
}

static bool all_saw_the_end(const storm *s)
{
    char byte;
    for (int i = 0; i < CLIENTS; i++)
        if (recv(s->client[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
            return false;
    return true;
}

static bool all_fired(const storm *s)
{
    return s->proxy->rules->fired == CLIENTS;
}

/* The proxy has seen it: as the end of one whose request is held, or, where the delay was over by
 * then, as any other end. */
static bool all_clients_gone(const storm *s)
{
    for (const proxy_conn *conn = s->proxy->gates->conns; conn; conn = conn->next)
        if (!conn->client_gone && !conn->stream[PROTO_UP].eof)
            return false;
    return true;
}

static bool all_held(const storm *s)
{
    int n = 0;
    for (const proxy_held *one = s->proxy->rules->held; one; one = one->next)
        n++;
    return n == CLIENTS;
}

static bool none_left(const storm *s)
{
    return conns(s) == 0;
}

static struct sockaddr_in at_port(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)port)};
}

static int listen_at(int *port)
{
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, CLIENTS), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

static int dial(int port)
{
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void open_storm(storm *s, proto_kind proto, proxy_action action, double delay)
{
    int port;
    int64_t id;
    char upstream[40];
    s->files = open_files();
    uv_loop_init(&s->loop);
    s->listener = listen_at(&port);
    snprintf(upstream, sizeof upstream, "127.0.0.1:%d", port);
    s->proxy = proxy_new(&s->loop, 7);
    proxy_gate_spec gate = {"g", "127.0.0.1:0", upstream, "", proto, true};
    proxy_rule_spec rule = {.owner = "",
                            .gate = "",
                            .proto = proto,
                            .api = "",
                            .client_id = "",
                            .topic = "",
                            .statement = "",
                            .contains = "",
                            .param = "",
                            .nth = 1,
                            .chance = 1,
                            .action = action,
                            .delay = delay};
    assert_null(proxy_gate_add(s->proxy, &gate));
    assert_null(proxy_rule_add(s->proxy, &rule, &id));
    for (int i = 0; i < CLIENTS; i++)
        s->client[i] = dial(s->proxy->gates->bound);
    turn_until(s, all_connected);
    for (int i = 0; i < CLIENTS; i++)
        s->server[i] = accept(s->listener, NULL, NULL);
}

static void servers_leave(storm *s)
{
    for (int i = 0; i < CLIENTS; i++)
        close(s->server[i]);
}

static void clients_speak(storm *s, const char *text, size_t len)
{
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(write(s->client[i], text, len), (ssize_t)len);
}

static void clients_leave(storm *s)
{
    for (int i = 0; i < CLIENTS; i++)
        close(s->client[i]);
}

static void close_storm(storm *s)
{
    turn_until(s, none_left);
    proxy_free(s->proxy, NULL, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    close(s->listener);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    assert_int_equal(open_files(), s->files);
}

static const struct {
    proto_kind kind;
    const char *text;
    size_t len;
} said[] = {{PROTO_MYSQL, MYSQL, sizeof MYSQL - 1},
            {PROTO_REDIS, REDIS, sizeof REDIS - 1},
            {PROTO_KAFKA, KAFKA, sizeof KAFKA - 1}};

static const struct {
    proxy_action action;
    double delay;
} held[] = {{PROXY_DELAY, 0.02}, {PROXY_HOLD, 0}, {PROXY_LATE, 0.02}, {PROXY_LATE, 0}};

typedef void order(storm *s, const char *text, size_t len);

static void in_order(order *act)
{
    for (size_t p = 0; p < sizeof said / sizeof *said; p++)
        for (size_t a = 0; a < sizeof held / sizeof *held; a++) {
            storm s;
            open_storm(&s, said[p].kind, held[a].action, held[a].delay);
            act(&s, said[p].text, said[p].len);
            close_storm(&s);
        }
}

static void server_first(storm *s, const char *text, size_t len)
{
    servers_leave(s);
    turn_until(s, all_saw_the_end);
    clients_speak(s, text, len);
    clients_leave(s);
}

static void client_first(storm *s, const char *text, size_t len)
{
    clients_speak(s, text, len);
    turn_until(s, all_fired);
    clients_leave(s);
    turn_until(s, all_clients_gone);
    servers_leave(s);
}

static void server_while_held(storm *s, const char *text, size_t len)
{
    clients_speak(s, text, len);
    turn_until(s, all_fired);
    servers_leave(s);
    uv_run(&s->loop, UV_RUN_NOWAIT);
    clients_leave(s);
}

static void test_the_server_left_before(void **state)
{
    (void)state;
    in_order(server_first);
}

static void test_the_server_leaves_while_the_request_is_held(void **state)
{
    (void)state;
    in_order(server_while_held);
}

static void test_the_client_leaves_first(void **state)
{
    (void)state;
    in_order(client_first);
}

/* ---- a client that has said all, and listens ---- */

static void clients_have_said_all(storm *s)
{
    for (int i = 0; i < CLIENTS; i++)
        shutdown(s->client[i], SHUT_WR);
}

static void release(storm *s)
{
    int64_t n;
    assert_null(proxy_rule_release(s->proxy, s->proxy->rules->id, &n));
    assert_int_equal(n, CLIENTS);
}

/* Until each server has heard the client's end. */
static void servers_hear(storm *s)
{
    int64_t until = clock_ns() + INT64_C(5000000000);
    for (int i = 0; i < CLIENTS; i++) {
        char buf[256];
        ssize_t n;
        while ((n = recv(s->server[i], buf, sizeof buf, MSG_DONTWAIT)) != 0) {
            assert_true(clock_ns() < until);
            s->heard[i] += n > 0 ? (size_t)n : 0;
            uv_run(&s->loop, UV_RUN_NOWAIT);
        }
    }
}

static void servers_answer(storm *s, const char *text, size_t len)
{
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(write(s->server[i], text, len), (ssize_t)len);
    servers_leave(s);
}

static void half_closed(proto_kind proto, const char *text, size_t len, const char *answer,
                        size_t answer_len)
{
    char heard[64];
    storm s = {0};
    open_storm(&s, proto, PROXY_HOLD, 0);
    clients_speak(&s, text, len);
    clients_speak(&s, text, len);
    turn_until(&s, all_held);
    clients_have_said_all(&s);
    turn_until(&s, all_clients_gone);
    release(&s);
    release(&s);
    servers_hear(&s);
    servers_answer(&s, answer, answer_len);
    turn_until(&s, none_left);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(s.heard[i], 2 * len);
        assert_int_equal(read(s.client[i], heard, sizeof heard), answer_len);
        assert_memory_equal(heard, answer, answer_len);
    }
    clients_leave(&s);
    close_storm(&s);
}

static void test_a_half_closed_client_loses_nothing(void **state)
{
    static const char KAFKA_ANSWER[] = "\0\0\0\4\0\0\0\1", REDIS_ANSWER[] = "+OK\r\n";
    (void)state;
    half_closed(PROTO_KAFKA, KAFKA, sizeof KAFKA - 1, KAFKA_ANSWER, sizeof KAFKA_ANSWER - 1);
    half_closed(PROTO_REDIS, REDIS, sizeof REDIS - 1, REDIS_ANSWER, sizeof REDIS_ANSWER - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_server_left_before),
        cmocka_unit_test(test_the_server_leaves_while_the_request_is_held),
        cmocka_unit_test(test_the_client_leaves_first),
        cmocka_unit_test(test_a_half_closed_client_loses_nothing),
    };
    uv_loop_t first;
    signal(SIGPIPE, SIG_IGN); /* as the host does */
    uv_loop_init(&first);     /* opens files of the process, once */
    uv_loop_close(&first);
    return cmocka_run_group_tests_name("proxy, held requests", tests, NULL, NULL);
}
