/* Kafka on the wire: length-prefixed frames, responses in the order of the requests, a
 * correlation id in both. */
#include <string.h>

#include "base/assert.h"
#include "fault/proto/internal.h"

enum { HEAD_UP = 12, HEAD_DOWN = 8 }; /* size, api, version, correlation; size, correlation */

static uint32_t be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static int be16(const char *p)
{
    return (int16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static size_t head_of(proto_dir dir)
{
    return dir == PROTO_UP ? HEAD_UP : HEAD_DOWN;
}

static bool sane_size(proto_dir dir, const char *head)
{
    uint32_t n = be32(head);
    return n + 4 >= head_of(dir) && n <= PROTO_MESSAGE_MAX;
}

static bool kafka_read(proto_session *s, const char *data, size_t len, proto_msg *msg)
{
    rl_assert(len >= HEAD_UP);
    frame_request request;
    rl_err *err = frame_request_header(data + 4, len - 4, &request);
    *msg = (proto_msg){.kind = PROTO_KAFKA, .dir = PROTO_UP, .data = data, .len = len};
    if (err) {
        err_free(err);
        return false;
    }
    (void)s;
    msg->api = request.api;
    msg->version = request.version;
    msg->correlation = request.correlation;
    msg->client = request.client;
    msg->body = 4 + request.body;
    msg->command = frame_api_name(request.api);
    msg->command_len = msg->command ? strlen(msg->command) : 0;
    return true;
}

/* The request that a response answers. What waits in front of it was never answered: a Produce
 * with acks=0. */
static proto_pending *answered(proto_session *s, int32_t correlation)
{
    proto_pending *pending = s->first;
    while (pending && pending->correlation != correlation)
        pending = pending->next;
    if (!pending)
        return NULL;
    for (;;) {
        proto_pending *front = proto_pop(s);
        if (front == pending)
            return pending;
        if (front->made && !front->swallowed)
            proto_emit(s, PROTO_DOWN, front->answer.data, front->answer.len);
        proto_pending_free(front);
    }
}

/* ---- one frame whose beginning is at p; `whole` bytes are there ---- */

typedef enum step { STEP_SKIP, STEP_MORE, STEP_DONE, STEP_STOP } step;

static step request_step(proto_session *s, const char *p, size_t there)
{
    size_t size = 4 + (size_t)be32(p);
    int api = be16(p + 4);
    if (!s->host.wants(s->host.arg, api)) {
        proto_push(s, (proto_pending){
                          .api = api, .version = be16(p + 6), .correlation = (int32_t)be32(p + 8)});
        return STEP_SKIP;
    }
    if (there < size)
        return STEP_MORE;
    proto_msg msg;
    if (!kafka_read(s, p, size, &msg))
        return STEP_SKIP;
    return proto_on_request(s, &msg) ? STEP_DONE : STEP_STOP;
}

static proto_msg response_msg(const proto_pending *pending, const char *data, size_t len)
{
    proto_msg msg = {.kind = PROTO_KAFKA,
                     .dir = PROTO_DOWN,
                     .data = data,
                     .len = len,
                     .api = pending->api,
                     .version = pending->version,
                     .correlation = pending->correlation};
    msg.command = frame_api_name(pending->api);
    msg.command_len = msg.command ? strlen(msg.command) : 0;
    return msg;
}

static step response_step(proto_session *s, const char *data, size_t there)
{
    size_t size = 4 + (size_t)be32(data);
    int32_t correlation = (int32_t)be32(data + 4);
    proto_pending *pending = s->first;
    while (pending && pending->correlation != correlation)
        pending = pending->next;
    if (pending && pending->wanted && there < size)
        return STEP_MORE;
    pending = answered(s, correlation);
    if (!pending)
        return STEP_SKIP;
    if (!pending->wanted) {
        s->side[PROTO_DOWN].dropping = pending->swallowed;
        proto_pending_free(pending);
        return STEP_SKIP;
    }
    proto_msg msg = response_msg(pending, data, size);
    return proto_on_response(s, &msg, pending) ? STEP_DONE : STEP_STOP;
}

/* ---- the stream ---- */

/* Passes what is left of a frame that nobody wants. */
static size_t kafka_skip(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    proto_side *side = &s->side[dir];
    size_t n = side->skip < len ? (size_t)side->skip : len;
    if (!side->dropping)
        proto_emit(s, dir, data, n);
    if (side->skip == n)
        side->dropping = false;
    proto_passed(s, dir, n);
    return n;
}

/* Completes the frame kept in side->in; returns the bytes taken from data. STEP_MORE: it needs
 * still more. */
static size_t kafka_fill(proto_side *side, size_t want, const char *data, size_t len)
{
    size_t n = want > side->in.len ? want - side->in.len : 0;
    if (n > len)
        n = len;
    buf_add(&side->in, data, n);
    return n;
}

static step frame_step(proto_session *s, proto_dir dir, const char *p, size_t there)
{
    step what = dir == PROTO_UP ? request_step(s, p, there) : response_step(s, p, there);
    s->side[dir].size = what == STEP_SKIP ? 4 + (uint64_t)be32(p) : 0;
    return what;
}

/* The frame in side->in, which began in an earlier chunk. Returns the bytes of data used. */
static size_t kafka_feed_kept(proto_session *s, proto_dir dir, const char *data, size_t len,
                              step *out)
{
    proto_side *side = &s->side[dir];
    size_t head = head_of(dir), used = kafka_fill(side, head, data, len);
    *out = STEP_MORE;
    if (side->in.len < head)
        return used;
    if (!sane_size(dir, side->in.data)) {
        proto_give_up(s);
        *out = STEP_DONE;
        return used;
    }
    size_t size = 4 + (size_t)be32(side->in.data);
    *out = frame_step(s, dir, side->in.data, side->in.len);
    if (*out == STEP_MORE && used < len) {
        used += kafka_fill(side, size, data + used, len - used);
        *out = frame_step(s, dir, side->in.data, side->in.len);
    }
    if (*out == STEP_MORE)
        return used;
    rl_buf kept = side->in;
    side->in = (rl_buf){0};
    if (*out == STEP_SKIP) {
        side->skip = size;
        kafka_skip(s, dir, kept.data, kept.len);
    }
    buf_free(&kept);
    return used;
}

static size_t kafka_feed(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    proto_side *side = &s->side[dir];
    size_t head = head_of(dir), pos = 0;
    while (pos < len && !s->opaque) {
        if (side->skip) {
            pos += kafka_skip(s, dir, data + pos, len - pos);
            continue;
        }
        step what = STEP_MORE;
        if (side->in.len == 0 && len - pos >= head) {
            if (!sane_size(dir, data + pos)) {
                proto_give_up(s);
                break;
            }
            what = frame_step(s, dir, data + pos, len - pos);
            if (what == STEP_SKIP)
                side->skip = side->size;
            else if (what != STEP_MORE)
                pos += 4 + (size_t)be32(data + pos);
        }
        if (what == STEP_STOP)
            return pos;
        if (what != STEP_MORE)
            continue;
        pos += kafka_feed_kept(s, dir, data + pos, len - pos, &what);
        if (what == STEP_STOP)
            return pos;
    }
    if (s->opaque)
        proto_emit(s, dir, data + pos, len - pos);
    return len;
}

const proto_ops proto_kafka = {
    .feed = kafka_feed,
    .fail = kafka_fail,
    .command = frame_api_key,
    .can_fail = kafka_fail_known,
    .describe = kafka_describe,
    .head = {HEAD_UP, HEAD_DOWN},
};
