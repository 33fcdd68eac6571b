#include "fault/proto/session.h"

#include <stdlib.h>

#include "base/assert.h"
#include "fault/proto/internal.h"

/* ---- the requests that wait ---- */

/* Requests that are never answered (acks=0) must not gather for ever: the oldest is forgotten. */
proto_pending *proto_push(proto_session *s, proto_pending content)
{
    if (s->waiting >= PROTO_WAITING_MAX)
        proto_pending_free(proto_pop(s));
    proto_pending *pending = mem_alloc(sizeof *pending);
    *pending = content;
    pending->next = NULL;
    if (s->last)
        s->last->next = pending;
    else
        s->first = pending;
    s->last = pending;
    s->waiting++;
    return pending;
}

proto_pending *proto_pop(proto_session *s)
{
    proto_pending *pending = s->first;
    if (!pending)
        return NULL;
    rl_assert(s->waiting > 0);
    s->first = pending->next;
    if (!s->first)
        s->last = NULL;
    s->waiting--;
    return pending;
}

void proto_pending_free(proto_pending *pending)
{
    if (!pending)
        return;
    buf_free(&pending->answer);
    free(pending);
}

void proto_flush_made(proto_session *s)
{
    while (!s->side[PROTO_DOWN].skip && s->first && s->first->made) {
        proto_pending *pending = proto_pop(s);
        if (!pending->swallowed)
            proto_emit(s, PROTO_DOWN, pending->answer.data, pending->answer.len);
        proto_pending_free(pending);
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

bool proto_on_response(proto_session *s, proto_msg *msg, proto_pending *pending)
{
    proto_verdict verdict = PROTO_PASS;
    if (pending->wanted)
        verdict = s->host.response(s->host.arg, msg, pending);
    if (verdict == PROTO_PASS && !pending->swallowed)
        proto_emit(s, PROTO_DOWN, msg->data, msg->len);
    proto_pending_free(pending);
    if (verdict == PROTO_STOP)
        return false;
    proto_flush_made(s);
    return true;
}

/* ---- the session ---- */

proto_session *proto_open_with(const proto_ops *ops, const proto_host *host)
{
    proto_session *s = mem_zero(sizeof *s);
    s->ops = ops;
    s->host = *host;
    return s;
}

size_t proto_feed(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    if (!s->opaque) {
        size_t used = s->ops->feed(s, dir, data, len);
        rl_assert(used <= len);
        return used;
    }
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
    rl_assert(n <= side->skip);
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
