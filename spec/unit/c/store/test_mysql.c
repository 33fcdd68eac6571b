/* The parts of engine/mysql that need no server: error names, values, deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "mysql/errors.h"
#include "mysql/internal.h"

static void errors_have_names_and_kinds(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *name;
        bool retriable, abortable, fatal;
    } cases[] = {
        {1213, "ER_LOCK_DEADLOCK", true, true, false},
        {1205, "ER_LOCK_WAIT_TIMEOUT", true, false, false},
        {1062, "ER_DUP_ENTRY", false, false, false},
        {2006, "CR_SERVER_GONE_ERROR", true, false, true},
        {2013, "CR_SERVER_LOST", true, false, true},
        {2005, "CR_UNKNOWN_HOST", true, false, false},
        {2012, "CR_SERVER_HANDSHAKE_ERR", true, false, false},
        {2026, "CR_SSL_CONNECTION_ERROR", false, false, false},
        {1317, "ER_QUERY_INTERRUPTED", false, false, false},
        {1040, "ER_CON_COUNT_ERROR", true, false, false},
        {5432, "ER_5432", false, false, false},
        {2048, "CR_2048", false, false, false},
        {1005, "ER_CANT_CREATE_TABLE", false, false, false},
        {4031, "ER_CLIENT_INTERACTION_TIMEOUT", true, false, true},
        {1153, "ER_NET_PACKET_TOO_LARGE", false, false, true}, /* the server hangs up */
        {2020, "CR_NET_PACKET_TOO_LARGE", false, false, true},
        {1184, "ER_NEW_ABORTING_CONNECTION", true, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_err *err = my_code_err(cases[i].code, "text");
        assert_string_equal(err->name, cases[i].name);
        assert_int_equal(err->retriable, cases[i].retriable);
        assert_int_equal(err->abortable, cases[i].abortable);
        assert_int_equal(err->fatal, cases[i].fatal);
        err_free(err);
    }
}

/* What fails before there is a connection has done nothing, and is nobody's fault who asks. */
static void no_connection_is_the_servers(void **state)
{
    (void)state;
    static const int codes[] = {1040, 1042, 1043, 2001, 2002, 2003,
                                2005, 2007, 2012, 2026, 2059, 2061};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        rl_err *err = my_code_err(codes[i], "text");
        assert_int_equal(err->happened, ERR_NOT_DONE);
        assert_int_equal(err->blame, ERR_OF_SERVER);
        err_free(err);
    }
}

static void every_name_can_be_found(void **state)
{
    (void)state;
    int found = 0;
    for (int code = 1000; code < 6000; code++)
        found += my_code_name(code) != NULL;
    assert_true(found > 90); /* a table out of order would lose some */
    assert_null(my_code_name(0));
    assert_null(my_code_name(-1));
}

/* What the server sends of the same column in text. */
static void floats_are_those_of_the_text_protocol(void **state)
{
    (void)state;
    static const struct {
        float f;
        unsigned decimals;
        const char *text;
    } cases[] = {
        {0.1f, 31, "0.1"},
        {16777216.0f, 31, "16777200"},
        {3.4028235e38f, 31, "3.40282e38"},
        {1234567.0f, 31, "1234570"},
        {-0.00123456f, 31, "-0.00123456"},
        {2.5f, 0, "2"},
        {1234567.5f, 2, "1234567.50"},
        {0.1f, 3, "0.100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_memory_equal(&(double){my_float_value(cases[i].f, cases[i].decimals)},
                            &(double){strtod(cases[i].text, NULL)}, sizeof(double));
}

static void columns_of_one_name_are_noticed(void **state)
{
    (void)state;
    MYSQL_FIELD apart[] = {{.name = "id"}, {.name = "ID"}, {.name = "i"}, {.name = ""}};
    MYSQL_FIELD twins[] = {{.name = "id"}, {.name = "v"}, {.name = "id"}};
    my_result *one = my_result_new(apart, 4), *other = my_result_new(twins, 3);
    my_result *none = my_result_new(apart, 0);
    assert_false(one->twins || none->twins);
    assert_true(other->twins);
    my_result_free(one);
    my_result_free(other);
    my_result_free(none);
}

static my_result *one_cell(my_value **cell)
{
    MYSQL_FIELD field = {.name = "v"};
    my_result *r = my_result_new(&field, 1);
    *cell = my_result_row(r);
    return r;
}

static void expect_text(const char *want, const my_result *r)
{
    my_value v = my_cell(r, 0, 0);
    assert_int_equal(v.kind, MY_BYTES);
    assert_int_equal(v.len, strlen(want));
    assert_memory_equal(v.s, want, v.len);
}

static void integers_beyond_63_bits_are_digits(void **state)
{
    (void)state;
    my_value *cell;
    my_result *r = one_cell(&cell);
    my_put_text(r, cell, MY_FORM_UINT, "9223372036854775807", 19);
    assert_true(my_cell(r, 0, 0).i == INT64_MAX);
    my_put_text(r, cell, MY_FORM_UINT, "9223372036854775808", 19);
    expect_text("9223372036854775808", r);
    my_put_text(r, cell, MY_FORM_INT, "-9223372036854775808", 20);
    assert_true(my_cell(r, 0, 0).i == INT64_MIN);
    my_put_bits(r, cell, "\x02\xa5", 2);
    assert_true(my_cell(r, 0, 0).i == 0x2a5);
    my_put_bits(r, cell, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_text("18446744073709551615", r);
    my_put_bytes(r, cell, "", 0);
    expect_text("", r);
    my_result_free(r);
}

static void times_are_written_like_the_server(void **state)
{
    (void)state;
    static const struct {
        enum enum_field_types type;
        unsigned decimals;
        MYSQL_TIME time;
        const char *want;
    } cases[] = {
        {MYSQL_TYPE_DATE, 0, {.year = 2024, .month = 2, .day = 29}, "2024-02-29"},
        {MYSQL_TYPE_DATE, 0, {0}, "0000-00-00"},
        {MYSQL_TYPE_DATETIME, 0, {.year = 1, .month = 1, .day = 1}, "0001-01-01 00:00:00"},
        {MYSQL_TYPE_DATETIME,
         3,
         {.year = 2026, .month = 1, .day = 2, .hour = 3, .second_part = 4000},
         "2026-01-02 03:00:00.004"},
        {MYSQL_TYPE_TIMESTAMP,
         31,
         {.year = 2026, .month = 1, .day = 2, .second_part = 1},
         "2026-01-02 00:00:00.000001"},
        {MYSQL_TYPE_TIME, 0, {.hour = 838, .minute = 59, .second = 59, .neg = 1}, "-838:59:59"},
        {MYSQL_TYPE_TIME, 1, {.day = 2, .hour = 1, .second_part = 500000}, "49:00:00.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        my_value *cell;
        my_result *r = one_cell(&cell);
        MYSQL_FIELD field = {.type = cases[i].type, .decimals = cases[i].decimals};
        my_put_time(r, cell, &field, &cases[i].time);
        expect_text(cases[i].want, r);
        my_result_free(r);
    }
}

typedef struct pair {
    my_watch watch;
    int ours, theirs;
} pair;

static void pair_open(pair *p)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    p->ours = fds[0];
    p->theirs = fds[1];
    my_watch_init(&p->watch);
    my_watch_fd(&p->watch, p->ours);
}

static void pair_close(pair *p)
{
    my_watch_disarm(&p->watch);
    my_watch_fd(&p->watch, -1);
    close(p->ours);
    close(p->theirs);
}

static void a_deadline_ends_a_blocked_read(void **state)
{
    (void)state;
    pair late, early, none;
    char byte;
    pair_open(&late);
    pair_open(&early);
    pair_open(&none);
    int64_t from = clock_ns();
    my_watch_arm(&none.watch, 0);
    my_watch_arm(&late.watch, 3600);
    my_watch_arm(&early.watch, 0.05);
    assert_int_equal(recv(early.ours, &byte, 1, 0), 0);
    assert_true(clock_ns() - from >= 49000000);
    assert_true(my_watch_expired(&early.watch));
    assert_false(my_watch_expired(&late.watch) || my_watch_expired(&none.watch));
    my_watch_arm(&late.watch, 0.01);
    assert_int_equal(recv(late.ours, &byte, 1, 0), 0);
    assert_int_equal(send(none.theirs, "x", 1, 0), 1);
    assert_int_equal(recv(none.ours, &byte, 1, 0), 1);
    pair_close(&late);
    pair_close(&early);
    pair_close(&none);
}

static void a_disarmed_deadline_does_nothing(void **state)
{
    (void)state;
    pair first, second;
    char byte;
    pair_open(&first);
    pair_open(&second);
    my_watch_arm(&first.watch, 0.02);
    my_watch_disarm(&first.watch);
    my_watch_arm(&second.watch, 0.04);
    assert_int_equal(recv(second.ours, &byte, 1, 0), 0);
    assert_false(my_watch_expired(&first.watch));
    assert_int_equal(recv(first.ours, &byte, 1, MSG_DONTWAIT), -1);
    pair_close(&first);
    pair_close(&second);
}

static void a_cancel_holds_for_a_socket_that_comes_later(void **state)
{
    (void)state;
    pair p;
    char byte;
    pair_open(&p);
    my_watch_fd(&p.watch, -1);
    my_watch_cancel(&p.watch);
    assert_true(my_watch_cancelled(&p.watch));
    my_watch_fd(&p.watch, p.ours);
    assert_int_equal(recv(p.ours, &byte, 1, 0), 0);
    my_watch_forget(&p.watch);
    assert_false(my_watch_cancelled(&p.watch));
    pair_close(&p);
}

/* A connection that stands, as far as anybody can see. */
static my_conn *conn_on(const pair *p, my_tls tls)
{
    my_conn *conn = my_conn_new(&(my_opts){.tls = tls});
    free(conn->broken);
    conn->broken = NULL;
    conn->fd = p->ours;
    assert_null(my_conn_broken(conn));
    return conn;
}

static void conn_off(my_conn *conn)
{
    conn->fd = -1;
    my_conn_free(conn);
}

static void a_server_that_hung_up_is_known_before_the_next_call(void **state)
{
    (void)state;
    pair p;
    pair_open(&p);
    my_conn *conn = conn_on(&p, MY_TLS_OFF);
    shutdown(p.theirs, SHUT_RDWR);
    assert_string_equal(my_conn_broken(conn), "the server has closed it");
    rl_err *err = my_conn_ping(conn);
    assert_true(err_is(err, RL_MYSQL, "BROKEN") && err->fatal && err->retriable);
    assert_string_equal(
        err->msg, "the connection is broken (the server has closed it); reconnect() mends it");
    err_free(err);
    conn_off(conn);
    pair_close(&p);
}

static void a_server_that_speaks_unasked_is_going(void **state)
{
    (void)state;
    pair p;
    pair_open(&p);
    my_conn *plain = conn_on(&p, MY_TLS_OFF), *safe = conn_on(&p, MY_TLS_ON);
    assert_int_equal(send(p.theirs, "x", 1, 0), 1);
    assert_null(my_conn_broken(safe)); /* a session ticket */
    my_cursor cursor = {.conn = plain};
    plain->cursor = &cursor; /* rows that nobody has read yet */
    assert_null(my_conn_broken(plain));
    plain->cursor = NULL;
    assert_non_null(my_conn_broken(plain));
    conn_off(plain);
    conn_off(safe);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_names_and_kinds),
        cmocka_unit_test(no_connection_is_the_servers),
        cmocka_unit_test(every_name_can_be_found),
        cmocka_unit_test(floats_are_those_of_the_text_protocol),
        cmocka_unit_test(columns_of_one_name_are_noticed),
        cmocka_unit_test(integers_beyond_63_bits_are_digits),
        cmocka_unit_test(times_are_written_like_the_server),
        cmocka_unit_test(a_deadline_ends_a_blocked_read),
        cmocka_unit_test(a_disarmed_deadline_does_nothing),
        cmocka_unit_test(a_cancel_holds_for_a_socket_that_comes_later),
        cmocka_unit_test(a_server_that_hung_up_is_known_before_the_next_call),
        cmocka_unit_test(a_server_that_speaks_unasked_is_going),
    };
    return cmocka_run_group_tests_name("mysql", tests, NULL, NULL);
}
