#include "fault/proto/session.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "fault/proto/internal.h"

static const char *const kinds[] = {"tcp", "kafka", "mysql", "redis"};

const char *proto_name(proto_kind kind)
{
    return kinds[kind];
}

bool proto_parse(const char *name, proto_kind *kind)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(kinds[i], name) == 0) {
            *kind = (proto_kind)i;
            return true;
        }
    return false;
}

/* ---- the requests that wait ---- */

/* Requests that are never answered (acks=0) must not gather for ever: the oldest is forgotten. */
proto_pending *proto_push(proto_session *s, proto_pending pending)
{
    if (s->waiting >= PROTO_WAITING_MAX)
        proto_pending_free(proto_pop(s));
    proto_pending *p = mem_alloc(sizeof *p);
    *p = pending;
    p->next = NULL;
    if (s->last)
        s->last->next = p;
    else
        s->first = p;
    s->last = p;
    s->waiting++;
    return p;
}

proto_pending *proto_pop(proto_session *s)
{
    proto_pending *p = s->first;
    if (!p)
        return NULL;
    s->first = p->next;
    if (!s->first)
        s->last = NULL;
    s->waiting--;
    return p;
}

void proto_pending_free(proto_pending *p)
{
    if (!p)
        return;
    buf_free(&p->answer);
    free(p);
}

void proto_flush_made(proto_session *s)
{
    while (!s->side[PROTO_DOWN].skip && s->first && s->first->made) {
        proto_pending *p = proto_pop(s);
        if (!p->swallowed)
            proto_emit(s, PROTO_DOWN, p->answer.data, p->answer.len);
        proto_pending_free(p);
    }
}

/* ---- messages ---- */

void proto_emit(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    if (len)
        s->host.emit(s->host.arg, dir, data, len);
}

void proto_give_up(proto_session *s)
{
    s->opaque = true;
    for (int dir = 0; dir < 2; dir++) {
        proto_emit(s, (proto_dir)dir, s->side[dir].in.data, s->side[dir].in.len);
        buf_free(&s->side[dir].in);
    }
}

static void answer_with_error(proto_session *s, const proto_msg *msg, proto_pending pending)
{
    pending.made = true;
    pending.answer = (rl_buf){0};
    s->ops->fail(msg, s->host.failure(s->host.arg), &pending.answer);
    proto_push(s, pending);
    proto_flush_made(s);
}

bool proto_on_request(proto_session *s, proto_msg *msg)
{
    proto_pending pending = {
        .api = msg->api, .version = msg->version, .correlation = msg->correlation};
    switch (s->host.request(s->host.arg, msg, &pending)) {
    case PROTO_STOP:
        return false;
    case PROTO_DROP:
        return true;
    case PROTO_ERROR:
        answer_with_error(s, msg, pending);
        return true;
    case PROTO_TWICE:
        proto_inject(s, msg->data, msg->len, pending);
        pending.swallowed = true;
        break;
    case PROTO_PASS:
        break;
    }
    proto_inject(s, msg->data, msg->len, pending);
    return true;
}

void proto_inject(proto_session *s, const char *data, size_t len, proto_pending pending)
{
    proto_push(s, pending);
    proto_emit(s, PROTO_UP, data, len);
}

bool proto_on_response(proto_session *s, proto_msg *msg, proto_pending *p)
{
    proto_verdict verdict = PROTO_PASS;
    if (p->wanted)
        verdict = s->host.response(s->host.arg, msg, p);
    if (verdict == PROTO_PASS && !p->swallowed)
        proto_emit(s, PROTO_DOWN, msg->data, msg->len);
    proto_pending_free(p);
    if (verdict == PROTO_STOP)
        return false;
    proto_flush_made(s);
    return true;
}

/* ---- the session ---- */

proto_session *proto_open(proto_kind kind, const proto_host *host)
{
    static const proto_ops *const ops[] = {NULL, &proto_kafka, &proto_mysql, &proto_redis};
    proto_session *s = mem_zero(sizeof *s);
    s->kind = kind;
    s->ops = ops[kind];
    s->host = *host;
    return s;
}

size_t proto_feed(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    if (!s->opaque)
        return s->ops->feed(s, dir, data, len);
    proto_emit(s, dir, data, len);
    return len;
}

void proto_end(proto_session *s, proto_dir dir)
{
    rl_buf kept = s->side[dir].in;
    s->side[dir].in = (rl_buf){0};
    proto_emit(s, dir, kept.data, kept.len);
    buf_free(&kept);
}

uint64_t proto_unseen(const proto_session *s, proto_dir dir)
{
    const proto_side *side = &s->side[dir];
    if (s->opaque)
        return PROTO_ALL;
    return side->dropping ? 0 : side->skip;
}

void proto_passed(proto_session *s, proto_dir dir, size_t n)
{
    proto_side *side = &s->side[dir];
    if (s->opaque)
        return;
    side->skip -= n;
    if (side->skip == 0 && dir == PROTO_DOWN)
        proto_flush_made(s);
}

uint64_t proto_unwanted(const proto_session *s, proto_dir dir)
{
    const proto_side *side = &s->side[dir];
    if (s->opaque)
        return PROTO_ALL;
    return side->dropping || side->in.len ? 0 : side->size;
}

size_t proto_head(const proto_session *s, proto_dir dir)
{
    return s->opaque ? 0 : s->ops->head[dir];
}

bool proto_opaque(const proto_session *s)
{
    return s->opaque;
}

size_t proto_waiting(const proto_session *s)
{
    return s->waiting;
}

void proto_close(proto_session *s)
{
    if (!s)
        return;
    while (s->first)
        proto_pending_free(proto_pop(s));
    for (int dir = 0; dir < 2; dir++)
        buf_free(&s->side[dir].in);
    if (s->ops->close)
        s->ops->close(s);
    free(s);
}

/* ---- what rules and logs ask ---- */

int proto_api(proto_kind kind, const char *name)
{
    switch (kind) {
    case PROTO_KAFKA:
        return frame_api_key(name);
    case PROTO_MYSQL:
        return mysql_command(name);
    default:
        return kind == PROTO_REDIS && *name ? 0 : -1;
    }
}

bool proto_can_fail(proto_kind kind, int api)
{
    return kind == PROTO_KAFKA ? kafka_fail_known(api) : kind != PROTO_TCP;
}

enum { TEXT_MAX = 400 };

static void put_text(rl_buf *out, const char *key, const char *text, size_t len)
{
    buf_printf(out, ",\"%s\":", key);
    json_put_string(out, text, len < TEXT_MAX ? len : TEXT_MAX);
}

static void put_params(const proto_msg *msg, rl_buf *out)
{
    const char *p = msg->params.data, *end = p ? p + msg->params.len : NULL;
    if (!p)
        return;
    buf_str(out, ",\"params\":[");
    for (const char *first = p; p < end; p += strlen(p) + 1) {
        if (p != first)
            buf_u8(out, ',');
        json_put_cstr(out, p);
    }
    buf_u8(out, ']');
}

void proto_describe(const proto_msg *msg, rl_buf *out)
{
    if (msg->command)
        put_text(out, "api", msg->command, msg->command_len);
    if (msg->text.data)
        put_text(out, "text", msg->text.data, msg->text.len);
    put_params(msg, out);
    if (msg->judged)
        buf_printf(out, ",\"error\":%d", msg->error);
    if (msg->kind == PROTO_KAFKA)
        kafka_describe(msg, out);
}

/* A topic stands in a body as its length and its bytes, in the one or the other encoding; that
 * is told apart well enough by looking for both together. */
bool proto_names_topic(const proto_msg *msg, const char *topic)
{
    rl_buf want = {0};
    frame_writer w = {.buf = &want, .flexible = frame_api_flexible(msg->api, msg->version)};
    frame_put_str(&w, topic);
    bool found = memmem(msg->data, msg->len, want.data, want.len) != NULL;
    buf_free(&want);
    return found;
}

bool proto_has_param(const proto_msg *msg, const char *text)
{
    const char *p = msg->params.data, *end = p ? p + msg->params.len : NULL;
    for (; p && p < end; p += strlen(p) + 1)
        if (strcmp(p, text) == 0)
            return true;
    return false;
}
