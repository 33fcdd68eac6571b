/* The wire log is bounded, and says what it has no room for to those who have not read it yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fault/proxy/internal.h"
#include "fault/proxy/watch.h"

enum { ROOM = 1 << 17, MORE = 10 };

static uint64_t dropped_since(const rl_proxy *proxy, uint64_t since)
{
    rl_buf out = {0};
    proxy_traffic_json(proxy, since, "", "", &out);
    buf_u8(&out, 0);
    uint64_t next, dropped;
    assert_int_equal(
        sscanf(out.data, "{\"next\":%" SCNu64 ",\"dropped\":%" SCNu64, &next, &dropped), 2);
    assert_int_equal(next, proxy->rows_next - 1);
    buf_free(&out);
    return dropped;
}

static void note(proxy_conn *conn, int times)
{
    for (int i = 0; i < times; i++)
        traffic_event(conn, "something", NULL);
}

static void only_what_came_since_is_lost(void **state)
{
    (void)state;
    rl_proxy proxy = {.rows_next = 1};
    proxy_gate gate = {.proxy = &proxy, .name = "g"};
    proxy_conn conn = {.proxy = &proxy, .gate = &gate};
    assert_int_equal(dropped_since(&proxy, 0), 0);
    note(&conn, ROOM);
    assert_int_equal(dropped_since(&proxy, 0), 0);
    note(&conn, MORE);
    assert_int_equal(dropped_since(&proxy, 0), MORE);
    assert_int_equal(dropped_since(&proxy, 1), MORE - 1);
    assert_int_equal(dropped_since(&proxy, MORE), 0);
    assert_int_equal(dropped_since(&proxy, ROOM + MORE), 0);
    assert_int_equal(dropped_since(&proxy, INT64_MAX), 0);
    traffic_free(&proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_came_since_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
