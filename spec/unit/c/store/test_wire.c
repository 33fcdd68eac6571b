/* The parsers of the wire client: what a broker writes, every prefix of it, and the same with
 * bytes turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire_bodies.h"

/* A broker that is silent about a place, or has another in its stead, must not make it a good
 * one. */
static void test_codes_of_other_places(void **state)
{
    (void)state;
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf, .flexible = true};
    write_committed(&w);
    for (int partitions = 1; partitions <= 3; partitions += 2) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(3);
        rd_kafka_topic_partition_list_add_range(list, "orders", 1, partitions);
        frame_reader r = frame_read(buf.data, buf.len, true);
        rl_err *err = wire_commit_parse(&r, "group", list);
        assert_true(err_is(err, RL_LAB, "MALFORMED"));
        err_free(err);
        rd_kafka_topic_partition_list_destroy(list);
    }
    buf_free(&buf);
}

/* A coordinator that is still loading is asked again, so it is an error of the whole. */
static void test_a_loading_coordinator(void **state)
{
    (void)state;
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf, .flexible = true};
    frame_put_i32(&w, 0);
    put_codes(&w, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    frame_put_tags(&w);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add_range(list, "orders", 1, 2);
    frame_reader r = frame_read(buf.data, buf.len, true);
    rl_err *err = wire_commit_parse(&r, "group", list);
    assert_true(err && err->retriable);
    err_free(err);
    rd_kafka_topic_partition_list_destroy(list);
    buf_free(&buf);
}

static void test_bodies_and_their_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < BODIES; i++) {
        rl_buf buf = {0};
        write_body(i, &buf);
        frame_reader r = frame_read(buf.data, buf.len, bodies[i].flexible);
        assert_null(bodies[i].parse(&r, true));
        for (size_t n = 0; n < buf.len; n++) {
            char *exact = malloc(n ? n : 1); /* so that a read beyond is seen by the sanitizer */
            memcpy(exact, buf.data, n);
            r = frame_read(exact, n, bodies[i].flexible);
            rl_err *err = bodies[i].parse(&r, false);
            assert_true(err_is(err, RL_LAB, "MALFORMED"));
            err_free(err);
            free(exact);
        }
        buf_free(&buf);
    }
}

/* Whatever the bytes, a parser returns; that it neither reads beyond nor leaks is for the
 * sanitizers to see. */
static void test_turned_bytes(void **state)
{
    (void)state;
    uint32_t seed = 20240607;
    for (int round = 0; round < 20000; round++) {
        rl_buf buf = {0};
        write_body((size_t)round % BODIES, &buf);
        for (int turns = 1 + round % 4; turns > 0; turns--) {
            seed = seed * 1664525 + 1013904223;
            buf.data[(seed >> 8) % buf.len] = (char)(seed >> 24);
        }
        size_t i = (size_t)round % BODIES;
        frame_reader r = frame_read(buf.data, buf.len, bodies[i].flexible);
        err_free(bodies[i].parse(&r, false));
        buf_free(&buf);
    }
}

/* An answer about another partition is none to this question. */
static void test_another_place(void **state)
{
    (void)state;
    static const wire_offset_query others[] = {{.topic = "orders", .partition = 2},
                                               {.topic = "order", .partition = 1},
                                               {.topic = "orders2", .partition = 1}};
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf};
    write_offset(&w);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int64_t offset;
        frame_reader r = frame_read(buf.data, buf.len, false);
        rl_err *err = wire_offset_parse(&r, &others[i], &offset);
        assert_true(err_is(err, RL_LAB, "MALFORMED"));
        err_free(err);
    }
    buf_free(&buf);
}

/* Memory is taken for what the rest of the frame can hold, not for what a count says. */
static void test_counts_are_bounded(void **state)
{
    (void)state;
    rl_buf buf = {0};
    frame_writer w = {.buf = &buf, .flexible = true};
    frame_put_array(&w, 100);
    for (int i = 0; i < 25; i++)
        frame_put_i32(&w, i);
    int count;
    frame_reader r = frame_read(buf.data, buf.len, true);
    assert_null(wire_read_array(&r, 8, 5, &count));
    assert_true(r.bad && count == 0);
    r = frame_read(buf.data, buf.len, true);
    void *array = wire_read_array(&r, 8, 1, &count);
    assert_true(array && count == 100);
    free(array);
    buf_reset(&buf);
    char name[WIRE_TOPIC_MAX + 2];
    memset(name, 'x', sizeof name);
    frame_put_slice(&w, (frame_slice){name, WIRE_TOPIC_MAX});
    frame_put_slice(&w, (frame_slice){name, WIRE_TOPIC_MAX + 1});
    r = frame_read(buf.data, buf.len, true);
    assert_int_equal(wire_read_topic(&r).len, WIRE_TOPIC_MAX);
    assert_false(r.bad);
    assert_null(wire_read_topic(&r).data);
    assert_true(r.bad);
    buf_free(&buf);
}

/* Whoever reads positions is told why one is absent: a leader that failed, or none. */
static void test_positions_say_what_is_absent(void **state)
{
    (void)state;
    wire_replica replicas[2] = {{.broker = 1, .leo = 7}, {.broker = 3, .leo = WIRE_UNKNOWN}};
    wire_positions p = {
        .leader = 1, .low = 0, .lso = 5, .hw = 6, .replicas = replicas, .replica_count = 2};
    replicas[1].err = wire_code(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, "orders [0]");
    assert_null(wire_positions_gap(&p, "orders", 0));
    p.leader = 3;
    rl_err *err = wire_positions_gap(&p, "orders", 0);
    assert_true(err_is(err, RL_KAFKA, "REQUEST_TIMED_OUT"));
    err_free(err);
    p.leader = -1;
    err = wire_positions_gap(&p, "orders", 0);
    assert_true(err_is(err, RL_KAFKA, "LEADER_NOT_AVAILABLE"));
    err_free(err);
    p.leader = 1;
    p.hw = WIRE_UNKNOWN;
    err = wire_positions_gap(&p, "orders", 0);
    assert_true(err_is(err, RL_KAFKA, "LEADER_NOT_AVAILABLE"));
    err_free(err);
    err_free(replicas[1].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_place),
        cmocka_unit_test(test_counts_are_bounded),
        cmocka_unit_test(test_bodies_and_their_prefixes),
        cmocka_unit_test(test_turned_bytes),
        cmocka_unit_test(test_codes_of_other_places),
        cmocka_unit_test(test_a_loading_coordinator),
        cmocka_unit_test(test_positions_say_what_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
