/* engine/redis against a scripted server: replies of every type, cut into pieces, too late, or
 * not at all. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "redis/conn.h"
#include "redis/internal.h"
#include "redis/pipe.h"
#include "redis/script.h"
#include "redis_scripted.h"

#define HELLO_OK                          \
    {                                     \
        "HELLO", "%1\r\n+proto\r\n:3\r\n" \
    }

static redisc_conn *connected(server *s, const step *steps, double timeout)
{
    server_start(s, steps);
    redisc_opts opts = {.port = s->port, .resp = 3, .timeout = timeout, .connect_timeout = 5};
    redisc_conn *conn = redisc_new(&opts);
    assert_null(redisc_connect(conn));
    return conn;
}

static void expect_err(rl_err *err, const char *name)
{
    assert_non_null(err);
    assert_string_equal(err->name, name);
    err_free(err);
}

static redisReply *get(redisc_conn *conn, const char *key)
{
    redisReply *reply;
    const char *argv[] = {"GET", key};
    assert_null(redisc_call(conn, 2, argv, (size_t[]){3, strlen(key)}, &reply));
    return reply;
}

/* hiredis reads attributes from 1.3 on; no server sends them unasked */
#if HIREDIS_MAJOR > 1 || HIREDIS_MINOR >= 3
#define ATTRIBUTE "|1\r\n+ttl\r\n:5\r\n"
#else
#define ATTRIBUTE ""
#endif

static void types_survive_cutting(void **state)
{
    (void)state;
    static const step steps[] = {
        HELLO_OK,
        {"k1", ":-9223372036854775808\r\n"},
        {"k2", "$5\r\na\xff"
               "b\r\n\r\n"},
        {"k3", ATTRIBUTE ">2\r\n+invalidate\r\n*1\r\n+k\r\n,1.5\r\n"},
        {"k4", "#t\r\n"},
        {"k5", "%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n"},
        {"k6", "_\r\n"},
        {NULL, NULL},
    };
    server s = {.pieces = 3};
    redisc_conn *conn = connected(&s, steps, 5);
    assert_int_equal(redisc_resp(conn), 3);
    redisReply *r = get(conn, "k1");
    assert_true(r->integer == INT64_MIN);
    freeReplyObject(r);
    r = get(conn, "k2");
    assert_int_equal(r->len, 5);
    assert_memory_equal(r->str,
                        "a\xff"
                        "b\r\n",
                        5);
    freeReplyObject(r);
    r = get(conn, "k3");
    assert_int_equal(r->type, REDIS_REPLY_DOUBLE);
    assert_true(r->dval > 1.4 && r->dval < 1.6);
    freeReplyObject(r);
    assert_null(redisc_push(conn, 0, &r));
    assert_string_equal(r->element[0]->str, "invalidate");
    freeReplyObject(r);
    r = get(conn, "k4");
    assert_int_equal(r->type, REDIS_REPLY_BOOL);
    freeReplyObject(r);
    r = get(conn, "k5");
    assert_int_equal(r->type, REDIS_REPLY_MAP);
    assert_int_equal(r->element[1]->type, REDIS_REPLY_SET);
    freeReplyObject(r);
    r = get(conn, "k6");
    assert_int_equal(r->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    redisc_free(conn);
    server_stop(&s);
}

static void falls_back_to_resp2_and_says_so(void **state)
{
    (void)state;
    static const step steps[] = {
        {"HELLO", "-ERR unknown command 'HELLO', with args beginning with: '3'\r\n"},
        {"k1", "$-1\r\n"},
        {NULL, NULL},
    };
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 5);
    assert_int_equal(redisc_resp(conn), 2);
    assert_non_null(strstr(redisc_fallback(conn), "unknown command"));
    redisReply *r = get(conn, "k1");
    assert_int_equal(r->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    expect_err(redisc_callf(conn, &r, "PING"), "CONNECTION_LOST");
    redisc_free(conn);
    server_stop(&s);
}

static void a_server_that_hung_up_is_known_before_the_next_call(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 5);
    server_stop(&s);
    assert_string_equal(redisc_broken(conn), "the server has closed it");
    redisReply *r;
    expect_err(redisc_callf(conn, &r, "PING"), "BROKEN");
    redisc_free(conn);
}

static void wrong_password_is_no_fallback(void **state)
{
    (void)state;
    static const step steps[] = {{"HELLO", "-WRONGPASS invalid username-password pair\r\n"},
                                 {NULL, NULL}};
    server s = {0};
    server_start(&s, steps);
    redisc_opts opts = {
        .port = s.port, .resp = 3, .password = "x", .timeout = 5, .connect_timeout = 5};
    redisc_conn *conn = redisc_new(&opts);
    expect_err(redisc_connect(conn), "WRONGPASS");
    assert_non_null(redisc_broken(conn));
    redisc_free(conn);
    server_stop(&s);
}

static void late_replies_are_never_taken(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK, {"k1", "+late\r\n"}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 0.05);
    redisReply *r;
    pthread_mutex_lock(&s.gate);
    s.gated = true;
    rl_err *err = redisc_callf(conn, &r, "GET k1");
    assert_true(err->retriable && err->fatal);
    expect_err(err, "TIMEOUT");
    pthread_mutex_unlock(&s.gate);
    expect_err(redisc_callf(conn, &r, "GET k2"), "BROKEN");
    redisc_free(conn);
    server_stop(&s);
}

static void strays_break_the_connection(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK, {"k1", "+mine\r\n+stray\r\n"}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 5);
    freeReplyObject(get(conn, "k1"));
    redisReply *r;
    const char *argv[] = {"GET", "k2"};
    expect_err(redisc_call(conn, 2, argv, (size_t[]){3, 2}, &r), "PROTOCOL");
    redisc_free(conn);
    server_stop(&s);
}

static void cancel_ends_a_call(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK, {"k1", ""}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 0);
    redisReply *r;
    s.victim = conn;
    expect_err(redisc_callf(conn, &r, "GET k1"), "CANCELLED");
    expect_err(redisc_callf(conn, &r, "GET k1"), "BROKEN");
    server_stop(&s);
    redisc_free(conn);
}

static void a_cancel_between_calls_breaks_too(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK, {"k1", "+OK\r\n"}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 0);
    freeReplyObject(get(conn, "k1"));
    redisReply *r;
    redisc_cancel(conn);
    assert_non_null(redisc_broken(conn));
    expect_err(redisc_callf(conn, &r, "GET k2"), "BROKEN");
    redisc_free(conn);
    server_stop(&s);
}

#define FOUR "*1\r\n*1\r\n*1\r\n*1\r\n"

/* A reply that says it has two thousand million parts is refused when it says so. */
static void counts_are_bounded(void **state)
{
    (void)state;
    static const char *const replies[] = {"*2147483647\r\n",
                                          "%2147483647\r\n",
                                          "~16777217\r\n",
                                          "*1\r\n*4294967295\r\n",
                                          "*2\r\n*16777216\r\n", /* as a whole */
                                          FOUR FOUR FOUR FOUR FOUR FOUR FOUR FOUR "*1\r\n"};
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        const step steps[] = {HELLO_OK, {"k1", replies[i]}, {"k2", ""}, {NULL, NULL}};
        server s = {0};
        redisc_conn *conn = connected(&s, steps, 2);
        redisReply *r;
        expect_err(redisc_callf(conn, &r, "GET k1"), "PROTOCOL");
        redisc_free(conn);
        server_stop(&s);
    }
}

/* As if almost all that a reply may have had come already. */
static void bytes_are_bounded(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK,
                                 {"k1", "+OK\r\n"},
                                 {"k2", "$1000\r\nof which this comes"},
                                 {"q", ""},
                                 {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 2);
    conn->bytes = REDISC_BYTES_MAX - 10;
    freeReplyObject(get(conn, "k1"));
    assert_int_equal(conn->bytes, 0);
    conn->bytes = REDISC_BYTES_MAX - 10;
    redisReply *r;
    rl_err *err = redisc_callf(conn, &r, "GET k2");
    assert_string_equal(err->msg, "a reply of more than 512 MiB");
    expect_err(err, "PROTOCOL");
    redisc_free(conn);
    server_stop(&s);
}

/* As if what is kept already were almost all that there is room for. */
static void kept_pushes_are_bounded(void **state)
{
    (void)state;
    static const step steps[] = {
        HELLO_OK, {"k1", ">1\r\n+a\r\n>1\r\n+b\r\n>1\r\n+c\r\n+OK\r\n"}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 2);
    conn->push_bytes = REDISC_PUSH_BYTES;
    freeReplyObject(get(conn, "k1"));
    assert_int_equal(redisc_pushes_dropped(conn), 2);
    redisReply *r;
    assert_null(redisc_push(conn, 0, &r));
    assert_string_equal(r->element[0]->str, "c");
    freeReplyObject(r);
    redisc_free(conn);
    server_stop(&s);
}

static void flooded(const char *text, bool by_pipe)
{
    static const step steps[] = {HELLO_OK, {"k1", ""}, {NULL, NULL}};
    server s = {.flood = text};
    redisc_conn *conn = connected(&s, steps, 0.2);
    redisReply *r;
    const char *argv[] = {"GET", "k1"};
    int64_t began = clock_ms();
    expect_err(by_pipe ? redisc_call(conn, 2, argv, (size_t[]){3, 2}, &r)
                       : redisc_callf(conn, &r, "GET k1"),
               "TIMEOUT");
    assert_true(clock_ms() - began < FLOOD_MS / 2);
    redisc_free(conn);
    server_stop(&s);
}

/* Bytes that never stop coming are no answer. */
static void a_flood_does_not_defeat_the_timeout(void **state)
{
    (void)state;
    static const char push[] = ">2\r\n+invalidate\r\n*1\r\n+k\r\n";
    flooded(push, true);
    flooded(push, false);
    if (*ATTRIBUTE)
        flooded(ATTRIBUTE, true);
}

static void pipelines_keep_errors_in_place(void **state)
{
    (void)state;
    static const step steps[] = {
        HELLO_OK, {"k3", "+a\r\n-MOVED 3999 127.0.0.1:6381\r\n"}, {"q", ""}, {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 0.1);
    redisc_pipe pipe = {0};
    redisReply *replies[3] = {0};
    size_t got;
    for (int i = 1; i <= 3; i++) {
        char key[] = {'k', (char)('0' + i), 0};
        redisc_pipe_add(&pipe, 2, (const char *[]){"GET", key}, (size_t[]){3, 2});
    }
    expect_err(redisc_pipe_run(conn, &pipe, replies, &got), "TIMEOUT");
    assert_int_equal(got, 2);
    rl_err *err = redisc_reply_err(replies[1]);
    assert_string_equal(err->msg, "3999 127.0.0.1:6381");
    expect_err(err, "MOVED");
    freeReplyObject(replies[0]);
    freeReplyObject(replies[1]);
    redisc_pipe_free(&pipe);
    redisc_free(conn);
    server_stop(&s);
}

static void scripts_fall_back_to_eval(void **state)
{
    (void)state;
    static const step steps[] = {HELLO_OK,
                                 {"EVALSHA\r\n$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db",
                                  "-NOSCRIPT No matching script.\r\n"},
                                 {"EVAL\r\n$8\r\nreturn 1", ":1\r\n"},
                                 {NULL, NULL}};
    server s = {0};
    redisc_conn *conn = connected(&s, steps, 5);
    redisc_script script;
    redisReply *r;
    redisc_script_init(&script, "return 1", 8);
    assert_null(redisc_script_call(conn, &script, 0, 0, NULL, NULL, &r));
    assert_int_equal(r->integer, 1);
    freeReplyObject(r);
    redisc_script_free(&script);
    redisc_free(conn);
    server_stop(&s);
}

static void error_names_are_the_servers_words(void **state)
{
    (void)state;
    static const struct {
        char *text;
        const char *name;
        bool retriable;
    } cases[] = {
        {"WRONGTYPE Operation against a key", "WRONGTYPE", false},
        {"BUSY Redis is busy", "BUSY", true},
        {"no word first", "ERR", false},
        {"LOADING", "LOADING", true},
        {"Err mixed case", "ERR", false},
        {"", "ERR", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        redisReply reply = {
            .type = REDIS_REPLY_ERROR, .str = cases[i].text, .len = strlen(cases[i].text)};
        rl_err *err = redisc_reply_err(&reply);
        assert_int_equal(err->retriable, cases[i].retriable);
        expect_err(err, cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_survive_cutting),
        cmocka_unit_test(falls_back_to_resp2_and_says_so),
        cmocka_unit_test(a_server_that_hung_up_is_known_before_the_next_call),
        cmocka_unit_test(wrong_password_is_no_fallback),
        cmocka_unit_test(late_replies_are_never_taken),
        cmocka_unit_test(strays_break_the_connection),
        cmocka_unit_test(cancel_ends_a_call),
        cmocka_unit_test(a_cancel_between_calls_breaks_too),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(kept_pushes_are_bounded),
        cmocka_unit_test(a_flood_does_not_defeat_the_timeout),
        cmocka_unit_test(pipelines_keep_errors_in_place),
        cmocka_unit_test(scripts_fall_back_to_eval),
        cmocka_unit_test(error_names_are_the_servers_words),
    };
    signal(SIGPIPE, SIG_IGN); /* as the host does */
    return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
