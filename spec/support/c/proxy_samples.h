/* Good conversations in each of the proxy's protocols, for its tests. */
#ifndef RL_TEST_PROXY_SAMPLES_H
#define RL_TEST_PROXY_SAMPLES_H

#include <string.h>

#include "fault/proto/session.h"

static void put_record(rl_buf *out, const char *id)
{
    rl_buf body = {0};
    buf_add(&body, "\0\0\0\x01\x0c", 4); /* attributes, timestamp, offset, null key */
    buf_u8(&body, 2 * 5);
    buf_str(&body, "value");
    buf_u8(&body, 2);
    buf_u8(&body, 2 * 8);
    buf_str(&body, "event-id");
    buf_u8(&body, (uint8_t)(2 * strlen(id)));
    buf_str(&body, id);
    buf_u8(out, (uint8_t)(2 * body.len)); /* below 64 bytes */
    buf_add(out, body.data, body.len);
    buf_free(&body);
}

static void put_batch(rl_buf *out, const char *const *ids, int count)
{
    rl_buf rest = {0};
    buf_be32(&rest, 0); /* leader epoch */
    buf_u8(&rest, 2);
    buf_be32(&rest, 0); /* crc */
    buf_be16(&rest, 16);
    buf_be32(&rest, (uint32_t)count - 1);
    buf_be64(&rest, 0);
    buf_be64(&rest, 0);
    buf_be64(&rest, 4711);
    buf_be16(&rest, 3);
    buf_be32(&rest, 0);
    buf_be32(&rest, (uint32_t)count);
    for (int i = 0; i < count; i++)
        put_record(&rest, ids[i]);
    buf_be64(out, 0);
    buf_be32(out, (uint32_t)rest.len);
    buf_add(out, rest.data, rest.len);
    buf_free(&rest);
}

static void put_produce(rl_buf *out, int version, int32_t correlation)
{
    static const char *const ids[] = {"id-1", "id-2"};
    rl_buf batch = {0};
    put_batch(&batch, ids, 2);
    frame_writer w = frame_begin(out, FRAME_PRODUCE, version, correlation, "client-a");
    if (version >= 3)
        frame_put_str(&w, "tx-1");
    frame_put_i16(&w, -1);
    frame_put_i32(&w, 1000);
    frame_put_array(&w, 1);
    frame_put_str(&w, "orders");
    frame_put_array(&w, 1);
    frame_put_i32(&w, 2);
    frame_put_bytes(&w, batch.data, batch.len);
    for (int i = 0; i < 3; i++)
        frame_put_tags(&w);
    frame_finish(&w);
    buf_free(&batch);
}

static void put_produced(rl_buf *out, int version, int32_t correlation)
{
    frame_writer w = frame_begin_response(out, FRAME_PRODUCE, version, correlation);
    frame_put_array(&w, 1);
    frame_put_str(&w, "orders");
    frame_put_array(&w, 1);
    frame_put_i32(&w, 2);
    frame_put_i16(&w, 0);
    frame_put_i64(&w, 40);
    frame_put_i64(&w, -1);
    if (version >= 5)
        frame_put_i64(&w, 0);
    if (version >= 8) {
        frame_put_array(&w, 0);
        frame_put_str(&w, NULL);
    }
    for (int i = 0; i < 2; i++)
        frame_put_tags(&w);
    frame_put_i32(&w, 0);
    frame_put_tags(&w);
    frame_finish(&w);
}

static void put_end_txn(rl_buf *out, int version, int32_t correlation)
{
    frame_writer w = frame_begin(out, 26, version, correlation, "client-a");
    frame_put_str(&w, "tx-1");
    frame_put_i64(&w, 4711);
    frame_put_i16(&w, 3);
    frame_put_i8(&w, 1);
    frame_put_tags(&w);
    frame_finish(&w);
}

static void put_commit(rl_buf *out, int version, int32_t correlation)
{
    frame_writer w = frame_begin(out, 8, version, correlation, "client-b");
    frame_put_str(&w, "group-1");
    frame_put_i32(&w, 5);
    frame_put_str(&w, "member-1");
    if (version >= 7)
        frame_put_str(&w, NULL);
    if (version <= 4)
        frame_put_i64(&w, -1);
    frame_put_array(&w, 1);
    frame_put_str(&w, "orders");
    frame_put_array(&w, 1);
    frame_put_i32(&w, 2);
    frame_put_i64(&w, 41);
    if (version >= 6)
        frame_put_i32(&w, 0);
    frame_put_str(&w, "");
    for (int i = 0; i < 3; i++)
        frame_put_tags(&w);
    frame_finish(&w);
}

static void kafka_sample(rl_buf *up, rl_buf *down)
{
    put_produce(up, 7, 1);
    put_produced(down, 7, 1);
    put_produce(up, 9, 2);
    put_produced(down, 9, 2);
    put_end_txn(up, 1, 3);
    put_end_txn(up, 5, 4);
    put_commit(up, 2, 5);
    put_commit(up, 9, 6);
    for (int i = 3; i <= 6; i++) {
        buf_be32(down, 10);
        buf_be32(down, (uint32_t)i);
        buf_be32(down, 0);
        buf_be16(down, 0);
    }
}

static void put_packet(rl_buf *out, int seq, const void *data, size_t n)
{
    buf_u8(out, (uint8_t)n);
    buf_u8(out, (uint8_t)(n >> 8));
    buf_u8(out, (uint8_t)(n >> 16));
    buf_u8(out, (uint8_t)seq);
    buf_add(out, data, n);
}

#define PACKET(out, seq, text) put_packet(out, seq, text, sizeof(text) - 1)

static void mysql_sample(rl_buf *up, rl_buf *down)
{
    PACKET(down, 0,
           "\x0a"
           "8.4.0\0"
           "\x01\0\0\0"
           "abcdefgh\0"
           "\xff\xf7"
           "\x21"
           "\x02\0"
           "\xff\xdf"
           "rest of it");
    PACKET(up, 1,
           "\x8d\xa2\0\x08"
           "\0\0\0\x01\x21"
           "the rest of the login");
    PACKET(down, 2, "\0\0\0\x02\0\0\0");
    PACKET(up, 0,
           "\x16"
           "SELECT * FROM account WHERE id = ?");
    PACKET(down, 1,
           "\0"
           "\x01\0\0\0"
           "\x02\0"
           "\x01\0"
           "\0\0\0");
    PACKET(up, 0,
           "\x17"
           "\x01\0\0\0"
           "\0"
           "\x01\0\0\0"
           "\x01"
           "\0"
           "\x01"
           "\x08\0\0"
           "\x11\0\0\0\0\0\0\0");
    PACKET(down, 1, "\x02");
    PACKET(up, 0,
           "\x03"
           "\0\x01"
           "SELECT 1");
    PACKET(down, 1,
           "\xff\xbd\x04"
           "#40001"
           "deadlock");
    PACKET(up, 0,
           "\x19"
           "\x01\0\0\0");
}

static void redis_sample(rl_buf *up, rl_buf *down)
{
    buf_str(up,
            "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n");
    buf_str(up, "*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n*1\r\n$4\r\nPING\r\n");
    buf_str(down, "+OK\r\n$5\r\nhello\r\n+PONG\r\n%1\r\n$1\r\nf\r\n*2\r\n:1\r\n_\r\n-ERR no\r\n");
}

static void sample(proto_kind kind, rl_buf *up, rl_buf *down)
{
    if (kind == PROTO_KAFKA)
        kafka_sample(up, down);
    else if (kind == PROTO_MYSQL)
        mysql_sample(up, down);
    else
        redis_sample(up, down);
}

#endif
