/* Groups as a broker describes them, and what it answers to changes of their offsets, for
 * test_wire.c. */
#ifndef RL_TEST_WIRE_GROUP_BODIES_H
#define RL_TEST_WIRE_GROUP_BODIES_H

#include <string.h>

#include "kafka/wire/api.h"

static void put_ids(frame_writer *w, int n)
{
    frame_put_array(w, n);
    for (int i = 1; i <= n; i++)
        frame_put_i32(w, i);
}

/* ---- descriptions ---- */

static void put_text(frame_writer *w, const char *const *text, int n)
{
    for (int i = 0; i < n; i++)
        frame_put_str(w, text[i]);
}

static void put_assignment(frame_writer *w)
{
    frame_put_array(w, 1);
    buf_add(w->buf, "0123456789abcdef", 16);
    frame_put_str(w, "orders");
    put_ids(w, 2);
    frame_put_tags(w);
    frame_put_tags(w);
}

static void write_consumer_group(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_i16(w, 0);
    put_text(w, (const char *const[]){NULL, "group", "Stable"}, 3);
    frame_put_i32(w, 4);
    frame_put_i32(w, 3);
    frame_put_str(w, "uniform");
    frame_put_array(w, 1);
    put_text(w, (const char *const[]){"m-1", NULL, NULL}, 3);
    frame_put_i32(w, 4);
    put_text(w, (const char *const[]){"client", "/127.0.0.1"}, 2);
    frame_put_array(w, 1);
    put_text(w, (const char *const[]){"orders", NULL}, 2);
    put_assignment(w);
    put_assignment(w);
    frame_put_tags(w);
    frame_put_i32(w, INT32_MIN);
    frame_put_tags(w);
    frame_put_tags(w);
}

static void look_at_member(const wire_group *g, bool classic)
{
    assert_int_equal(g->classic, classic);
    assert_string_equal(g->state, "Stable");
    assert_int_equal(g->member_count, 1);
    const wire_member *m = &g->members[0];
    assert_string_equal(m->client_id, "client");
    assert_null(m->instance_id);
    assert_int_equal(m->assignment->cnt, 2);
    assert_string_equal(m->assignment->elems[1].topic, "orders");
    assert_int_equal(m->assignment->elems[1].partition, 2);
    assert_int_equal(m->target ? m->target->cnt : 0, classic ? 0 : 2);
}

static rl_err *parse_consumer_group(frame_reader *r, bool look)
{
    wire_group g;
    rl_err *err = wire_consumer_group_parse(r, "group", &g);
    if (look)
        look_at_member(&g, false);
    wire_group_free(&g);
    return err;
}

/* What a member was assigned is a message of its own, in the classic encoding. */
static void put_classic_assignment(frame_writer *w)
{
    rl_buf buf = {0};
    frame_writer inner = {.buf = &buf};
    frame_put_i16(&inner, 1);
    frame_put_array(&inner, 1);
    frame_put_str(&inner, "orders");
    put_ids(&inner, 2);
    frame_put_bytes(&inner, NULL, 0);
    frame_put_bytes(w, buf.data, buf.len);
    buf_free(&buf);
}

static void write_classic_group(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_i16(w, 0);
    put_text(w, (const char *const[]){"group", "Stable", "consumer", "range"}, 4);
    frame_put_array(w, 1);
    put_text(w, (const char *const[]){"m-1", NULL, "client", "/127.0.0.1"}, 4);
    frame_put_bytes(w, "", 0);
    put_classic_assignment(w);
    frame_put_tags(w);
    frame_put_i32(w, INT32_MIN);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_classic_group(frame_reader *r, bool look)
{
    wire_group g;
    rl_err *err = wire_classic_group_parse(r, "group", &g);
    if (look)
        look_at_member(&g, true);
    wire_group_free(&g);
    return err;
}

static void write_deleted(frame_writer *w)
{
    frame_put_i32(w, 0);
    frame_put_array(w, 1);
    frame_put_str(w, "group");
    frame_put_i16(w, 0);
    frame_put_tags(w);
    frame_put_tags(w);
}

static rl_err *parse_deleted(frame_reader *r, bool look)
{
    (void)look;
    return wire_group_delete_parse(r, "group");
}

/* ---- codes, place by place ---- */

static void put_codes(frame_writer *w, int last_code)
{
    frame_put_array(w, 1);
    frame_put_str(w, "orders");
    frame_put_array(w, 2);
    for (int i = 2; i >= 1; i--) {
        frame_put_i32(w, i);
        frame_put_i16(w, (int16_t)(i == 2 ? last_code : 0));
        frame_put_tags(w);
    }
    frame_put_tags(w);
}

static void write_committed(frame_writer *w)
{
    frame_put_i32(w, 0);
    put_codes(w, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    frame_put_tags(w);
}

static void write_forgotten(frame_writer *w)
{
    frame_put_i16(w, 0);
    frame_put_i32(w, 0);
    put_codes(w, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
}

typedef rl_err *(*parse_codes)(frame_reader *r, const char *group,
                               rd_kafka_topic_partition_list_t *places);

static rl_err *parse_places(frame_reader *r, bool look, parse_codes parse)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(list, "orders", 1);
    rd_kafka_topic_partition_list_add(list, "orders", 2);
    rl_err *err = parse(r, "group", list);
    if (look) {
        assert_int_equal(list->elems[0].err, 0);
        assert_int_equal(list->elems[1].err, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

static rl_err *parse_committed(frame_reader *r, bool look)
{
    return parse_places(r, look, wire_commit_parse);
}

static rl_err *parse_forgotten(frame_reader *r, bool look)
{
    return parse_places(r, look, wire_forget_parse);
}

#endif
