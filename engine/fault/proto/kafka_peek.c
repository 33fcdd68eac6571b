/* What the proxy says of Kafka's messages. A message that cannot be read to its end is described
 * as far as it was read. */
#include <string.h>

#include "base/json.h"
#include "fault/proto/internal.h"

enum { IDS_MAX = 500 }; /* ids of one partition that are listed */

static void put_key(rl_buf *out, const char *key)
{
    buf_printf(out, ",\"%s\":", key);
}

static void put_int(rl_buf *out, const char *key, int64_t v)
{
    put_key(out, key);
    json_put_int(out, v);
}

static void put_slice(rl_buf *out, const char *key, frame_slice slice)
{
    put_key(out, key);
    if (slice.data)
        json_put_string(out, slice.data, slice.len);
    else
        buf_str(out, "null");
}

static void put_error(rl_buf *out, int code)
{
    put_int(out, "error", code);
}

/* ---- records ---- */

static int64_t zigzag(frame_reader *r)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && !r->bad; shift += 7) {
        uint8_t byte = (uint8_t)frame_i8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    }
    r->bad = true;
    return 0;
}

static frame_slice counted(frame_reader *r)
{
    int64_t n = zigzag(r);
    if (n < 0 || r->bad)
        return (frame_slice){0};
    return frame_raw(r, (size_t)n);
}

static bool kafka_slice_is(frame_slice slice, const char *text)
{
    return slice.data && slice.len == strlen(text) && memcmp(slice.data, text, slice.len) == 0;
}

/* One record of a batch: its header event-id, else its value. */
static frame_slice record_id(frame_reader *batch)
{
    frame_slice bytes = counted(batch);
    frame_reader r = frame_read(bytes.data, bytes.len, false);
    frame_i8(&r);
    zigzag(&r);
    zigzag(&r);
    counted(&r);
    frame_slice id = counted(&r);
    int64_t headers = zigzag(&r);
    for (int64_t i = 0; i < headers && !r.bad; i++) {
        frame_slice key = counted(&r), value = counted(&r);
        if (kafka_slice_is(key, "event-id") && value.data)
            id = value;
    }
    if (r.bad)
        batch->bad = true;
    return id;
}

static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};

typedef struct batch_head {
    int attributes, epoch;
    int64_t producer;
    int32_t sequence, count;
} batch_head;

/* Format 2 only, which is all that brokers of today accept. False: there is no (further) batch. */
static bool read_batch(frame_reader *r, batch_head *head, frame_reader *records)
{
    frame_i64(r);
    int32_t length = frame_i32(r);
    frame_slice bytes = frame_raw(r, length < 0 ? SIZE_MAX : (size_t)length);
    *records = frame_read(bytes.data, bytes.len, false);
    frame_i32(records);
    if (r->bad || frame_i8(records) != 2)
        return false;
    frame_i32(records); /* crc */
    head->attributes = frame_i16(records);
    frame_raw(records, 20); /* last offset delta, two timestamps */
    head->producer = frame_i64(records);
    head->epoch = frame_i16(records);
    head->sequence = frame_i32(records);
    head->count = frame_i32(records);
    return !records->bad;
}

static void put_batch_ids(rl_buf *out, const batch_head *head, frame_reader *records, int *listed)
{
    for (int32_t i = 0; i < head->count && *listed < IDS_MAX && !records->bad; i++) {
        frame_slice id = record_id(records);
        if (records->bad)
            return;
        if ((*listed)++)
            buf_u8(out, ',');
        if (id.data)
            json_put_string(out, id.data, id.len < 64 ? id.len : 64);
        else
            buf_str(out, "null");
    }
}

static void put_records(rl_buf *out, frame_slice bytes)
{
    frame_reader r = frame_read(bytes.data, bytes.len, false), records;
    batch_head head = {0}, first = {0};
    int listed = 0, batches = 0;
    int64_t count = 0;
    buf_str(out, ",\"ids\":[");
    while (r.pos < r.len && read_batch(&r, &head, &records)) {
        if (!batches++)
            first = head;
        count += head.count;
        if ((head.attributes & 7) == 0)
            put_batch_ids(out, &head, &records, &listed);
    }
    buf_u8(out, ']');
    put_int(out, "records", count);
    if (!batches)
        return;
    int codec = first.attributes & 7;
    if (codec)
        buf_printf(out, ",\"compression\":\"%s\"", codec < 5 ? codecs[codec] : "unknown");
    put_int(out, "producer_id", first.producer);
    put_int(out, "producer_epoch", first.epoch);
    put_int(out, "sequence", first.sequence);
    buf_printf(out, ",\"transactional\":%s", first.attributes & 16 ? "true" : "false");
}

/* ---- lists of partitions: every API has its own fields inside ---- */

typedef void put_partition(frame_reader *r, int version, rl_buf *out);

static void put_topic(frame_reader *r, bool by_id, rl_buf *out)
{
    if (!by_id) {
        frame_slice name = frame_str(r);
        buf_str(out, "\"topic\":");
        json_put_string(out, name.data ? name.data : "", name.len);
        return;
    }
    frame_slice id = frame_raw(r, 16);
    buf_str(out, "\"topic_id\":\"");
    for (size_t i = 0; i < id.len; i++)
        buf_printf(out, "%02x", (unsigned char)id.data[i]);
    buf_u8(out, '"');
}

static void put_partitions(frame_reader *r, int version, bool by_id, put_partition *put,
                           rl_buf *out)
{
    int32_t topics = frame_array(r), listed = 0;
    buf_str(out, ",\"partitions\":[");
    for (int32_t i = 0; i < topics && !r->bad; i++) {
        rl_buf name = {0};
        put_topic(r, by_id, &name);
        int32_t partitions = frame_array(r);
        for (int32_t k = 0; k < partitions && !r->bad; k++) {
            buf_str(out, listed++ ? ",{" : "{");
            buf_add(out, name.data, name.len);
            put_int(out, "partition", frame_i32(r));
            put(r, version, out);
            buf_u8(out, '}');
        }
        frame_tags(r);
        buf_free(&name);
    }
    buf_u8(out, ']');
}

/* ---- requests ---- */

static void put_produced(frame_reader *r, int version, rl_buf *out)
{
    (void)version;
    put_records(out, frame_bytes(r));
    frame_tags(r);
}

static void produce_request(frame_reader *r, int version, rl_buf *out)
{
    if (version >= 3)
        put_slice(out, "transactional_id", frame_str(r));
    put_int(out, "acks", frame_i16(r));
    frame_i32(r);
    put_partitions(r, version, version >= 13, put_produced, out);
}

static void put_committed(frame_reader *r, int version, rl_buf *out)
{
    put_int(out, "offset", frame_i64(r));
    if (version >= 6)
        frame_i32(r);
    if (version == 1)
        frame_i64(r);
    frame_str(r);
    frame_tags(r);
}

static void offset_commit_request(frame_reader *r, int version, rl_buf *out)
{
    put_slice(out, "group", frame_str(r));
    if (version >= 1) {
        put_int(out, "generation", frame_i32(r));
        put_slice(out, "member", frame_str(r));
    }
    if (version >= 7)
        frame_str(r);
    if (version >= 2 && version <= 4)
        frame_i64(r);
    put_partitions(r, version, version >= 10, put_committed, out);
}

static void put_txn_committed(frame_reader *r, int version, rl_buf *out)
{
    put_int(out, "offset", frame_i64(r));
    if (version >= 2)
        frame_i32(r);
    frame_str(r);
    frame_tags(r);
}

static void put_producer(frame_reader *r, rl_buf *out)
{
    put_int(out, "producer_id", frame_i64(r));
    put_int(out, "producer_epoch", frame_i16(r));
}

static void txn_offset_commit_request(frame_reader *r, int version, rl_buf *out)
{
    put_slice(out, "transactional_id", frame_str(r));
    put_slice(out, "group", frame_str(r));
    put_producer(r, out);
    if (version >= 3) {
        put_int(out, "generation", frame_i32(r));
        put_slice(out, "member", frame_str(r));
        frame_str(r);
    }
    put_partitions(r, version, version >= 6, put_txn_committed, out);
}

static void end_txn_request(frame_reader *r, rl_buf *out)
{
    put_slice(out, "transactional_id", frame_str(r));
    put_producer(r, out);
    buf_printf(out, ",\"committed\":%s", frame_i8(r) ? "true" : "false");
}

static void init_producer_request(frame_reader *r, int version, rl_buf *out)
{
    put_slice(out, "transactional_id", frame_str(r));
    frame_i32(r);
    if (version >= 3)
        put_producer(r, out);
}

static void txn_request(frame_reader *r, rl_buf *out)
{
    put_slice(out, "transactional_id", frame_str(r));
    put_producer(r, out);
}

static void group_request(frame_reader *r, int api, rl_buf *out)
{
    put_slice(out, "group", frame_str(r));
    if (api == KAFKA_HEARTBEAT || api == KAFKA_SYNC_GROUP)
        put_int(out, "generation", frame_i32(r));
}

static void request(const proto_msg *msg, frame_reader *r, rl_buf *out)
{
    switch (msg->api) {
    case FRAME_PRODUCE:
        return produce_request(r, msg->version, out);
    case KAFKA_OFFSET_COMMIT:
        return offset_commit_request(r, msg->version, out);
    case KAFKA_TXN_OFFSET_COMMIT:
        return txn_offset_commit_request(r, msg->version, out);
    case KAFKA_END_TXN:
        return end_txn_request(r, out);
    case KAFKA_INIT_PRODUCER_ID:
        return init_producer_request(r, msg->version, out);
    case KAFKA_ADD_OFFSETS:
        return txn_request(r, out);
    case KAFKA_ADD_PARTITIONS:
        if (msg->version <= 3)
            txn_request(r, out);
        return;
    case KAFKA_JOIN_GROUP:
    case KAFKA_HEARTBEAT:
    case KAFKA_LEAVE_GROUP:
    case KAFKA_SYNC_GROUP:
    case KAFKA_CONSUMER_HEARTBEAT:
        return group_request(r, msg->api, out);
    }
}

/* ---- responses ---- */

static void skip_record_errors(frame_reader *r)
{
    int32_t n = frame_array(r);
    for (int32_t i = 0; i < n && !r->bad; i++) {
        frame_i32(r);
        frame_str(r);
        frame_tags(r);
    }
    frame_str(r);
}

static void put_append(frame_reader *r, int version, rl_buf *out)
{
    put_error(out, frame_i16(r));
    put_int(out, "base_offset", frame_i64(r));
    if (version >= 2)
        frame_i64(r);
    if (version >= 5)
        frame_i64(r);
    if (version >= 8)
        skip_record_errors(r);
    frame_tags(r);
}

static void put_outcome(frame_reader *r, int version, rl_buf *out)
{
    (void)version;
    put_error(out, frame_i16(r));
    frame_tags(r);
}

static void response(const proto_msg *msg, frame_reader *r, rl_buf *out)
{
    int v = msg->version;
    switch (msg->api) {
    case FRAME_PRODUCE:
        return put_partitions(r, v, v >= 13, put_append, out);
    case KAFKA_OFFSET_COMMIT:
        if (v >= 3)
            frame_i32(r);
        return put_partitions(r, v, v >= 10, put_outcome, out);
    case KAFKA_TXN_OFFSET_COMMIT:
        frame_i32(r);
        return put_partitions(r, v, v >= 6, put_outcome, out);
    case KAFKA_ADD_PARTITIONS:
        frame_i32(r);
        if (v <= 3)
            put_partitions(r, v, false, put_outcome, out);
        return;
    case KAFKA_ADD_OFFSETS:
    case KAFKA_CONSUMER_HEARTBEAT:
        frame_i32(r);
        return put_error(out, frame_i16(r));
    case KAFKA_END_TXN:
        frame_i32(r);
        put_error(out, frame_i16(r));
        if (v >= 5)
            put_producer(r, out);
        return;
    case KAFKA_INIT_PRODUCER_ID:
        frame_i32(r);
        put_error(out, frame_i16(r));
        return put_producer(r, out);
    case KAFKA_JOIN_GROUP:
    case KAFKA_HEARTBEAT:
    case KAFKA_LEAVE_GROUP:
    case KAFKA_SYNC_GROUP:
        if (v >= (msg->api == KAFKA_JOIN_GROUP ? 2 : 1))
            frame_i32(r);
        return put_error(out, frame_i16(r));
    }
}

static void describe_response(const proto_msg *msg, rl_buf *out)
{
    frame_reader r = frame_read(msg->data + 4, msg->len - 4, false);
    int32_t correlation;
    rl_err *err = frame_response_header(&r, msg->api, msg->version, &correlation);
    if (!err)
        response(msg, &r, out);
    err_free(err);
    if (r.bad)
        buf_str(out, ",\"unread\":true");
}

/* The members so far, when what comes next makes no sense: closed by the caller's brace, since
 * every list above closes itself. */
void kafka_describe(const proto_msg *msg, rl_buf *out)
{
    put_int(out, "version", msg->version);
    put_int(out, "correlation", msg->correlation);
    if (msg->dir == PROTO_DOWN) {
        describe_response(msg, out);
        return;
    }
    frame_reader r = frame_read(msg->data + msg->body, msg->len - msg->body,
                                frame_api_flexible(msg->api, msg->version));
    request(msg, &r, out);
    if (r.bad)
        buf_str(out, ",\"unread\":true");
}
