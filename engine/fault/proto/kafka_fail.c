/* The error replies to Kafka requests that the proxy can make. */
#include "fault/proto/internal.h"

static const struct {
    int api,
        /* the version from which a throttle time comes first; -1: the body is a list of
         * partitions */
        throttled_from;
} failing[] = {
    {FRAME_PRODUCE, -1},  {KAFKA_OFFSET_COMMIT, -1},  {KAFKA_TXN_OFFSET_COMMIT, -1},
    {KAFKA_END_TXN, 0},   {KAFKA_ADD_OFFSETS, 0},     {KAFKA_INIT_PRODUCER_ID, 0},
    {KAFKA_HEARTBEAT, 1}, {KAFKA_ADD_PARTITIONS, -1},
};

bool kafka_fail_known(int api)
{
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++)
        if (failing[i].api == api)
            return true;
    return false;
}

/* Reads past a partition of the request. */
static void skip_asked(frame_reader *r, const proto_msg *msg)
{
    frame_i32(r);
    if (msg->api == FRAME_PRODUCE) {
        frame_bytes(r);
    } else if (msg->api != KAFKA_ADD_PARTITIONS) {
        frame_i64(r);
        if (msg->version >= (msg->api == KAFKA_OFFSET_COMMIT ? 6 : 2))
            frame_i32(r);
        if (msg->api == KAFKA_OFFSET_COMMIT && msg->version == 1)
            frame_i64(r);
        frame_str(r);
    }
    if (msg->api != KAFKA_ADD_PARTITIONS)
        frame_tags(r);
}

static void fail_partition(frame_writer *w, const proto_msg *msg, int32_t index,
                           proto_failure failure)
{
    int v = msg->version;
    frame_put_i32(w, index);
    frame_put_i16(w, (int16_t)failure.code);
    if (msg->api == FRAME_PRODUCE) {
        frame_put_i64(w, -1);
        if (v >= 2)
            frame_put_i64(w, -1);
        if (v >= 5)
            frame_put_i64(w, -1);
        if (v >= 8) {
            frame_put_array(w, 0);
            frame_put_str(w, failure.text);
        }
    }
    frame_put_tags(w);
}

/* The topics and partitions of the request, each with the error. */
static void fail_partitions(frame_writer *w, const proto_msg *msg, frame_reader *r, bool by_id,
                            proto_failure failure)
{
    int32_t topics = frame_array(r);
    frame_put_array(w, topics);
    for (int32_t i = 0; i < topics && !r->bad; i++) {
        frame_slice name = by_id ? frame_raw(r, 16) : frame_str(r);
        if (by_id)
            buf_add(w->buf, name.data, name.len);
        else
            frame_put_slice(w, name);
        int32_t partitions = frame_array(r);
        frame_put_array(w, partitions);
        for (int32_t k = 0; k < partitions && !r->bad; k++) {
            frame_reader peek = *r;
            int32_t index = frame_i32(&peek);
            skip_asked(r, msg);
            fail_partition(w, msg, index, failure);
        }
        frame_tags(r);
        frame_put_tags(w);
    }
}

/* Stands the reader at the list of topics, by reading what is before it. */
static bool to_topics(const proto_msg *msg, frame_reader *r)
{
    int v = msg->version;
    if (msg->api == FRAME_PRODUCE) {
        if (v >= 3)
            frame_str(r);
        frame_i16(r);
        frame_i32(r);
        return v >= 13;
    }
    frame_str(r);
    if (msg->api == KAFKA_OFFSET_COMMIT) {
        if (v >= 1) {
            frame_i32(r);
            frame_str(r);
        }
        if (v >= 7)
            frame_str(r);
        if (v >= 2 && v <= 4)
            frame_i64(r);
        return v >= 10;
    }
    if (msg->api == KAFKA_TXN_OFFSET_COMMIT)
        frame_str(r);
    frame_raw(r, 10);
    if (msg->api == KAFKA_TXN_OFFSET_COMMIT && v >= 3) {
        frame_i32(r);
        frame_str(r);
        frame_str(r);
    }
    return msg->api == KAFKA_TXN_OFFSET_COMMIT && v >= 6;
}

static int throttled_from(const proto_msg *msg)
{
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++)
        if (failing[i].api == msg->api)
            return failing[i].throttled_from;
    return 0;
}

static void fail_list(frame_writer *w, const proto_msg *msg, proto_failure failure)
{
    frame_reader r = frame_read(msg->data + msg->body, msg->len - msg->body,
                                frame_api_flexible(msg->api, msg->version));
    bool by_id = to_topics(msg, &r);
    if (msg->api != FRAME_PRODUCE && (msg->api != KAFKA_OFFSET_COMMIT || msg->version >= 3))
        frame_put_i32(w, 0);
    fail_partitions(w, msg, &r, by_id, failure);
    if (msg->api == FRAME_PRODUCE && msg->version >= 1)
        frame_put_i32(w, 0);
}

void kafka_fail(const proto_msg *msg, proto_failure failure, rl_buf *out)
{
    frame_writer w = frame_begin_response(out, msg->api, msg->version, msg->correlation);
    int from = throttled_from(msg);
    if (from < 0) {
        fail_list(&w, msg, failure);
    } else {
        if (msg->version >= from)
            frame_put_i32(&w, 0);
        frame_put_i16(&w, (int16_t)failure.code);
        if (msg->api == KAFKA_INIT_PRODUCER_ID ||
            (msg->api == KAFKA_END_TXN && msg->version >= 5)) {
            frame_put_i64(&w, -1);
            frame_put_i16(&w, -1);
        }
    }
    frame_put_tags(&w);
    frame_finish(&w);
}
