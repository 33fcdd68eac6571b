/* The load generator against a server that stalls, vanishes or keeps silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "evidence/history.h"
#include "flow/load/flow.h"

typedef struct server {
    struct MHD_Daemon *daemon;
    char url[64];
    atomic_int requests;
    atomic_int stall_at, stall_ms; /* the n-th request takes that long, and holds up all others */
} server;

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *size, void **seen)
{
    server *s = arg;
    (void)version;
    (void)body;
    if (!*seen) {
        *seen = s;
        return MHD_YES;
    }
    if (*size) {
        *size = 0;
        return MHD_YES;
    }
    int n = atomic_fetch_add(&s->requests, 1) + 1;
    if (n == atomic_load(&s->stall_at))
        usleep((useconds_t)atomic_load(&s->stall_ms) * 1000);
    int status = strcmp(url, "/missing") == 0 ? 404 : strcmp(method, "PUT") == 0 ? 500 : 200;
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(url), (void *)url, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

static int setup(void **state)
{
    server *s = calloc(1, sizeof *s);
    s->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, s, MHD_OPTION_END);
    if (!s->daemon)
        return -1;
    unsigned port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", port);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    server *s = *state;
    MHD_stop_daemon(s->daemon);
    free(s);
    return 0;
}

static flow_load_opts opts_of(const server *s, const flow_load_shape *shape)
{
    return (flow_load_opts){.url = s->url,
                            .shapes = shape,
                            .nshapes = 1,
                            .rate = 1000,
                            .count = 200,
                            .timeout = 15, /* who means a short one says so */
                            .late = 0.001,
                            .rows = 1000,
                            .body = 100,
                            .seed = 1};
}

static flow_load *run_to_end(const flow_load_opts *o)
{
    flow_load *l;
    rl_err *err = flow_load_open(o, &l);
    assert_null(err);
    assert_true(flow_join(flow_load_flow(l), 20));
    assert_null(flow_load_failure(l));
    return l;
}

static int64_t percentile(flow_load *l, flow_load_hdr which, double p)
{
    struct hdr_histogram *h;
    hdr_init(1, 3600000000000, 3, &h);
    flow_hdr_add_to(flow_load_hdr_of(l, which), h);
    int64_t v = hdr_value_at_percentile(h, p);
    hdr_close(h);
    return v;
}

static int64_t recorded(flow_load *l, flow_load_hdr which)
{
    struct hdr_histogram *h;
    hdr_init(1, 3600000000000, 3, &h);
    flow_hdr_add_to(flow_load_hdr_of(l, which), h);
    int64_t n = h->total_count;
    hdr_close(h);
    return n;
}

static void every_request_is_answered_once(void **state)
{
    server *s = *state;
    flow_load_shape shape = {.path = "/${n}", .id = "r-${n:3}"};
    flow_load_opts o = opts_of(s, &shape);
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_int_equal(st.planned, 200);
    assert_int_equal(st.ok, 200);
    assert_int_equal(st.status[2], 200);
    assert_int_equal(st.in_flight, 0);
    assert_int_equal(atomic_load(&s->requests), 200);
    flow_load_row row;
    int seen[201] = {0};
    while (flow_load_take(l, &row, 1) == 1) {
        seen[row.n]++;
        assert_int_equal(row.outcome, LOAD_OK);
        assert_int_equal(atoi(row.body + 1), row.n);
        assert_int_equal(atoi(row.id + 2), row.n);
        assert_true(row.intended <= row.started && row.started <= row.ended);
        flow_load_row_free(&row);
    }
    for (int i = 1; i <= 200; i++)
        assert_int_equal(seen[i], 1);
    flow_load_close(l);
}

/* A stall of 300 ms at 1000/s holds up some 300 requests; measured from their starts alone, one
 * of them would be slow on one connection. */
static void a_stall_shows_in_all_that_it_held_up(void **state)
{
    server *s = *state;
    atomic_store(&s->stall_at, 100);
    atomic_store(&s->stall_ms, 300);
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.count = 1000;
    o.in_flight = 1;
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_int_equal(st.ok, 1000);
    assert_true(st.late >= 200);
    assert_true(percentile(l, LOAD_LATENCY, 90) > 100000000);
    assert_true(percentile(l, LOAD_SERVICE, 90) < 100000000);
    flow_load_close(l);
}

static void what_has_no_room_is_counted(void **state)
{
    server *s = *state;
    atomic_store(&s->stall_at, 1);
    atomic_store(&s->stall_ms, 100);
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.rows = 50;
    o.in_flight = 1;
    o.late = 60; /* late by 100 ms is not late */
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_int_equal(st.rows, 50);
    assert_int_equal(st.rows_lost, 150);
    assert_int_equal(st.most_in_flight, 1);
    assert_int_equal(st.late, 0);
    flow_load_close(l);
}

/* All others are due while the first is being answered. */
static void a_slow_server_does_not_slow_the_schedule(void **state)
{
    server *s = *state;
    atomic_store(&s->stall_at, 1);
    atomic_store(&s->stall_ms, 300);
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.in_flight = 200;
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_int_equal(st.ok, 200);
    assert_true(st.most_in_flight >= 100);
    flow_load_close(l);
}

static void what_waits_too_long_is_dropped(void **state)
{
    server *s = *state;
    atomic_store(&s->stall_at, 1);
    atomic_store(&s->stall_ms, 400);
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.in_flight = 1;
    o.timeout = 0.1;
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_true(st.dropped > 0);
    assert_true(st.failed > 0); /* a GET that timed out did nothing */
    assert_int_equal(st.unknown, 0);
    assert_int_equal(st.ok + st.failed + st.dropped, 200);
    assert_int_equal(recorded(l, LOAD_LATENCY), 200);
    assert_int_equal(recorded(l, LOAD_SERVICE), 200 - st.dropped);
    flow_load_close(l);
}

static void a_silent_server_leaves_the_outcome_of_a_post_unknown(void **state)
{
    server *s = *state;
    atomic_store(&s->stall_at, 1);
    atomic_store(&s->stall_ms, 300);
    flow_load_shape shape = {.path = "/", .body = "{}"};
    flow_load_opts o = opts_of(s, &shape);
    o.count = 1;
    o.timeout = 0.1;
    flow_load *l = run_to_end(&o);
    assert_int_equal(flow_load_stats_of(l).unknown, 1);
    flow_load_row row;
    assert_int_equal(flow_load_take(l, &row, 1), 1);
    assert_string_equal(row.error, "no reply in time");
    flow_load_row_free(&row);
    flow_load_close(l);
}

static int lines_with(const char *path, const char *text)
{
    char line[512];
    int n = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        n += strstr(line, text) != NULL;
    fclose(file);
    return n;
}

static void a_history_knows_what_is_unknown(void **state)
{
    server *s = *state;
    char path[] = "/tmp/rlab-load-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    flow_load_shape shapes[] = {{.path = "/missing", .body = "{}"},
                                {.path = "/", .method = "PUT", .body = ""},
                                {.path = "/"}};
    flow_load_opts o = opts_of(s, shapes);
    o.nshapes = 3;
    o.count = 30;
    assert_null(history_open(path, 0, &o.history));
    flow_load_close(run_to_end(&o));
    assert_null(history_close(o.history));
    assert_int_equal(lines_with(path, "\"type\":\"invoke\""), 30);
    assert_int_equal(lines_with(path, "\"type\":\"fail\""), 10);
    assert_int_equal(lines_with(path, "\"type\":\"info\""), 10);
    assert_int_equal(lines_with(path, "\"type\":\"ok\""), 10);
    unlink(path);
}

static void statuses_decide(void **state)
{
    server *s = *state;
    flow_load_shape shapes[] = {{.path = "/missing", .body = "{}"},
                                {.path = "/", .method = "PUT", .body = ""}};
    flow_load_opts o = opts_of(s, shapes);
    o.nshapes = 2;
    o.count = 10;
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_int_equal(st.failed, 5);
    assert_int_equal(st.unknown, 5);
    flow_load_close(l);
}

static void readers_are_connected_before_they_are_released(void **state)
{
    server *s = *state;
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.rate = 0;
    o.readers = 64;
    o.count = 5;
    flow_load *l = run_to_end(&o);
    flow_load_stats st = flow_load_stats_of(l);
    assert_true(st.released);
    assert_int_equal(st.ok, 320);
    assert_int_equal(st.connects, 64);
    int by_reader[65] = {0};
    flow_load_row row;
    while (flow_load_take(l, &row, 1) == 1) {
        by_reader[row.reader]++;
        flow_load_row_free(&row);
    }
    for (int i = 1; i <= 64; i++)
        assert_int_equal(by_reader[i], 5);
    flow_load_close(l);
}

static void nobody_there_is_a_failure_not_an_unknown(void **state)
{
    (void)state;
    flow_load_shape shape = {.path = "/", .body = "{}"};
    flow_load_opts o = {.url = "http://127.0.0.1:1",
                        .shapes = &shape,
                        .nshapes = 1,
                        .rate = 1000,
                        .count = 20,
                        .timeout = 1};
    flow_load *l = run_to_end(&o);
    assert_int_equal(flow_load_stats_of(l).failed, 20);
    flow_load_close(l);
    o.rate = 0;
    o.readers = 2;
    assert_null(flow_load_open(&o, &l));
    assert_true(flow_join(flow_load_flow(l), 5));
    rl_err *err = flow_load_failure(l);
    assert_true(err_is(err, RL_LAB, "CONNECT"));
    err_free(err);
    flow_load_close(l);
}

static void closing_ends_an_endless_load(void **state)
{
    server *s = *state;
    flow_load_shape shape = {.path = "/"};
    flow_load_opts o = opts_of(s, &shape);
    o.count = 0;
    o.duration = 3600;
    flow_load *l;
    assert_null(flow_load_open(&o, &l));
    usleep(50000);
    int64_t from = clock_ns();
    flow_load_close(l);
    assert_true(clock_ns() - from < 1000000000);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    flow_load_shape shape = {.path = "/"};
    const flow_load_opts good = {.url = "http://127.0.0.1:1",
                                 .shapes = &shape,
                                 .nshapes = 1,
                                 .rate = 1,
                                 .count = 1,
                                 .timeout = 1};
    enum { WRONG = 13 };
    flow_load_opts wrong[WRONG];
    for (int i = 0; i < WRONG; i++)
        wrong[i] = good;
    wrong[0].url = "http://10.1.2.3:80";
    wrong[1].url = "https://127.0.0.1:1";
    wrong[2].count = 0;
    wrong[3].rate = NAN;
    wrong[4].in_flight = LOAD_IN_FLIGHT_MAX + 1;
    wrong[5].nshapes = 0;
    wrong[6].url = "http://127.0.0.1:4294967297"; /* 1, were it cut to 32 bits */
    wrong[7].url = "http://127.0.0.1:+1";
    wrong[8].url = "http://127.0.0.1:";
    wrong[9].duration = NAN;
    wrong[10].late = NAN;
    wrong[11].timeout = NAN;
    wrong[12].rows = -1;
    for (int i = 0; i < WRONG; i++) {
        flow_load *l;
        rl_err *err = flow_load_open(&wrong[i], &l);
        assert_true(err && err_is(err, RL_LAB, "USAGE"));
        err_free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_request_is_answered_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stall_shows_in_all_that_it_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_no_room_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_server_does_not_slow_the_schedule, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_too_long_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_server_leaves_the_outcome_of_a_post_unknown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_history_knows_what_is_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(statuses_decide, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_are_connected_before_they_are_released, setup,
                                        teardown),
        cmocka_unit_test(nobody_there_is_a_failure_not_an_unknown),
        cmocka_unit_test_setup_teardown(closing_ends_an_endless_load, setup, teardown),
        cmocka_unit_test(wrong_options_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
