/* The parsers of the wire client: what a broker writes, every prefix of it, and the same with
 * bytes turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire_group_bodies.h"

/* ---- the parsers: a body as a broker writes it, then its prefixes, then with bytes turned ---- */

static void write_metadata(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 2);
    for (int i = 1; i <= 2; i++) {
        frame_put_i32(w, i);
        frame_put_str(w, "127.0.0.1");
        frame_put_i32(w, 9090 + i);
        frame_put_str(w, NULL);
        frame_put_tags(w);
    }
    frame_put_str(w, "cluster");
    frame_put_i32(w, 2);
    frame_put_array(w, 1);
    frame_put_i16(w, 0);
    frame_put_str(w, "orders");
    buf_add(w->buf, "0123456789abcdef", 16);
    frame_put_i8(w, 0);
    frame_put_array(w, 2);
    for (int i = 1; i >= 0; i--) {
        frame_put_i16(w, 0);
        frame_put_i32(w, i);
        frame_put_i32(w, i + 1);
        frame_put_i32(w, 5);
        put_ids(w, 3);
        put_ids(w, 2);
        put_ids(w, 0);
        frame_put_tags(w);
    }
    frame_put_i32(w, INT32_MIN);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_metadata(frame_reader *r, bool look)
{
    wire_metadata m;
    rl_err *err = wire_metadata_parse(r, &m);
    if (look) {
        const wire_partition *p;
        assert_null(err);
        assert_int_equal(m.node_count, 2);
        assert_string_equal(m.cluster_id, "cluster");
        assert_null(wire_metadata_partition(&m, "orders", 1, &p));
        assert_int_equal(p->leader, 2);
        assert_int_equal(p->epoch, 5);
        assert_int_equal(p->isr.count, 2);
        assert_int_equal(m.topics[0].partitions[0].partition, 0);
        rl_err *none = wire_metadata_partition(&m, "orders", 2, &p);
        assert_true(err_is(none, RL_KAFKA, "UNKNOWN_TOPIC_OR_PART"));
        err_free(none);
    }
    wire_metadata_free(&m);
    return err;
}

static void write_quorum(frame_writer *w)
{
    frame_put_i16(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "__cluster_metadata");
    frame_put_array(w, 1);
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_i32(w, 9);
    frame_put_i32(w, 3);
    frame_put_i64(w, 100);
    for (int list = 0; list < 2; list++) {
        frame_put_array(w, 1);
        frame_put_i32(w, 9);
        frame_put_i64(w, 101);
        frame_put_tags(w);
    }
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_quorum(frame_reader *r, bool look)
{
    wire_quorum q;
    rl_err *err = wire_quorum_parse(r, &q);
    if (look) {
        assert_null(err);
        assert_int_equal(q.leader, 9);
        assert_int_equal(q.voters[0].leo, 101);
    }
    wire_quorum_free(&q);
    return err;
}

static const wire_offset_query asked = {.topic = "orders", .partition = 1};

static void write_offset(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 1);
    frame_put_i32(w, 1);
    frame_put_i16(w, 0);
    frame_put_i64(w, -1);
    frame_put_i64(w, 1234567890123);
    frame_put_i32(w, 7);
}

static rl_err *parse_offset(frame_reader *r, bool look)
{
    int64_t offset;
    rl_err *err = wire_offset_parse(r, &asked, &offset);
    assert_true(look ? offset == 1234567890123 : err || offset != WIRE_UNKNOWN);
    return err;
}

static void write_txns(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_array(w, 0);
    frame_put_array(w, 2);
    for (int i = 0; i < 2; i++) {
        frame_put_str(w, "txn-1");
        frame_put_i64(w, 1000 + i);
        frame_put_str(w, "Ongoing");
        frame_put_tags(w);
    }
    frame_put_tags(w);
}

static rl_err *parse_txns(frame_reader *r, bool look)
{
    wire_txns txns = {0};
    rl_err *err = wire_txns_parse(r, 3, &txns);
    if (look) {
        assert_null(err);
        assert_int_equal(txns.count, 2);
        assert_string_equal(txns.txns[1].state, "Ongoing");
        assert_int_equal(txns.txns[1].coordinator, 3);
    }
    wire_txns_free(&txns);
    return err;
}

static void write_txn(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_i16(w, 0);
    frame_put_str(w, "txn-1");
    frame_put_str(w, "Ongoing");
    frame_put_i32(w, 60000);
    frame_put_i64(w, 1700000000000);
    frame_put_i64(w, 1001);
    frame_put_i16(w, 4);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    put_ids(w, 2);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_txn(frame_reader *r, bool look)
{
    wire_txn_info info;
    rl_err *err = wire_txn_parse(r, "txn-1", &info);
    if (look) {
        assert_null(err);
        assert_int_equal(info.producer_epoch, 4);
        assert_int_equal(info.topics[0].partitions.count, 2);
    }
    wire_txn_info_free(&info);
    return err;
}

static void write_producers(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 1);
    frame_put_i32(w, 1);
    frame_put_i16(w, 0);
    frame_put_str(w, NULL);
    frame_put_array(w, 1);
    frame_put_i64(w, 1001);
    frame_put_i32(w, 4);
    frame_put_i32(w, 9);
    frame_put_i64(w, 1700000000000);
    frame_put_i32(w, 2);
    frame_put_i64(w, 55);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_producers(frame_reader *r, bool look)
{
    wire_producers p;
    rl_err *err = wire_producers_parse(r, "orders", 1, &p);
    if (look) {
        assert_null(err);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.producers[0].txn_start, 55);
    }
    wire_producers_free(&p);
    return err;
}

static void write_coordinator(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_str(w, NULL);
    frame_put_i32(w, 2);
    frame_put_str(w, "127.0.0.1");
    frame_put_i32(w, 9092);
    frame_put_tags(w);
}

static rl_err *parse_coordinator(frame_reader *r, bool look)
{
    wire_node node;
    rl_err *err = wire_coordinator_parse(r, WIRE_TXN_COORDINATOR, "txn-1", &node);
    if (look)
        assert_int_equal(node.port, 9092);
    free(node.host);
    return err;
}

static void write_offsets(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 1);
    frame_put_i32(w, 2);
    frame_put_i64(w, 40);
    frame_put_i32(w, 1);
    frame_put_str(w, "note");
    frame_put_i16(w, 0);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_i16(w, 0);
    frame_put_tags(w);
}

static rl_err *parse_offsets(frame_reader *r, bool look)
{
    rd_kafka_topic_partition_list_t *list;
    rl_err *err = wire_offsets_parse(r, "group", &list);
    if (look) {
        const rd_kafka_topic_partition_t *p = &list->elems[0];
        assert_string_equal(p->topic, "orders");
        assert_int_equal(p->partition, 2);
        assert_int_equal(p->offset, 40);
        assert_memory_equal(p->metadata, "note", 4);
    }
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return err;
}

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

static const struct {
    bool flexible;
    void (*write)(frame_writer *w);
    rl_err *(*parse)(frame_reader *r, bool look);
} bodies[] = {
    {true, write_offsets, parse_offsets},
    {true, write_metadata, parse_metadata},
    {true, write_quorum, parse_quorum},
    {false, write_offset, parse_offset},
    {true, write_txns, parse_txns},
    {true, write_txn, parse_txn},
    {true, write_producers, parse_producers},
    {true, write_coordinator, parse_coordinator},
    {true, write_consumer_group, parse_consumer_group},
    {true, write_classic_group, parse_classic_group},
    {true, write_deleted, parse_deleted},
    {true, write_committed, parse_committed},
    {false, write_forgotten, parse_forgotten},
};

#define BODIES (sizeof bodies / sizeof *bodies)

static void write_body(size_t i, rl_buf *buf)
{
    frame_writer w = {.buf = buf, .flexible = bodies[i].flexible};
    bodies[i].write(&w);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_place),
        cmocka_unit_test(test_counts_are_bounded),
        cmocka_unit_test(test_bodies_and_their_prefixes),
        cmocka_unit_test(test_turned_bytes),
        cmocka_unit_test(test_codes_of_other_places),
        cmocka_unit_test(test_a_loading_coordinator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
