/* The bodies that the wire client reads: as a broker writes them, and their parsers. For test_wire.c
 * and the fuzz target. */
#ifndef RL_TEST_WIRE_BODIES_H
#define RL_TEST_WIRE_BODIES_H

#include <stdlib.h>

#include "wire_group_bodies.h"

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

static void write_features(frame_writer *w)
{
    rl_buf levels = {0};
    frame_writer in = {.buf = &levels, .flexible = true};
    frame_put_array(&in, 1);
    frame_put_str(&in, "transaction.version");
    frame_put_i16(&in, 2);
    frame_put_i16(&in, 1);
    frame_put_tags(&in);
    frame_put_i16(w, 0);
    frame_put_array(w, 1);
    frame_put_i16(w, 26);
    frame_put_i16(w, 0);
    frame_put_i16(w, 5);
    frame_put_tags(w);
    frame_put_i32(w, 0);
    frame_put_uvarint(w, 2); /* fields: the epoch of the levels, and they */
    frame_put_uvarint(w, 1);
    frame_put_uvarint(w, 8);
    frame_put_i64(w, 17);
    frame_put_uvarint(w, 2);
    frame_put_uvarint(w, (uint32_t)levels.len);
    buf_add(w->buf, levels.data, levels.len);
    buf_free(&levels);
}

static rl_err *parse_features(frame_reader *r, bool look)
{
    wire_features f;
    rl_err *err = wire_features_parse(r, &f);
    if (look) {
        assert_null(err);
        assert_int_equal(f.count, 1);
        assert_string_equal(f.features[0].name, "transaction.version");
        assert_int_equal(f.features[0].level, 2);
    }
    wire_features_free(&f);
    return err;
}

static void write_changed(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_i16(w, 0);
    frame_put_str(w, NULL);
    frame_put_array(w, 1);
    frame_put_str(w, "transaction.version");
    frame_put_i16(w, 95);
    frame_put_str(w, "no such level");
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_changed(frame_reader *r, bool look)
{
    rl_err *err = wire_feature_set_parse(r, "transaction.version");
    if (!look)
        return err;
    assert_true(err_is(err, RL_KAFKA, "INVALID_UPDATE_VERSION"));
    err_free(err);
    return NULL;
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

static void write_aborted(frame_writer *w)
{
    frame_put_array(w, 1);
    frame_put_i64(w, 1001);
    wire_write_place(w, "orders", 1);
    frame_put_i16(w, 0);
    for (int level = 0; level < 4; level++)
        frame_put_tags(w);
}

static rl_err *parse_aborted(frame_reader *r, bool look)
{
    rl_err *err = wire_txn_abort_parse(r, "orders", 1);
    if (look)
        assert_null(err);
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

static const struct {
    bool flexible;
    void (*write)(frame_writer *w);
    rl_err *(*parse)(frame_reader *r, bool look);
} bodies[] = {
    {true, write_offsets, parse_offsets},
    {true, write_metadata, parse_metadata},
    {true, write_quorum, parse_quorum},
    {true, write_features, parse_features},
    {true, write_changed, parse_changed},
    {false, write_offset, parse_offset},
    {true, write_txns, parse_txns},
    {true, write_txn, parse_txn},
    {true, write_producers, parse_producers},
    {true, write_aborted, parse_aborted},
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

#endif
