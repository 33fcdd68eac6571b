/* Held requests: kept until they are due or released, while what follows on the connection waits. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "fault/proxy/internal.h"

void conn_hold(proxy_conn *conn, proxy_rule *rule, const proto_msg *msg, proto_pending pending,
               double seconds, bool late)
{
    rl_assert(!conn->held && !conn->closing && msg->dir == PROTO_UP);
    rl_assert(seconds >= 0 && seconds <= RULE_DELAY_MAX);
    proxy_held *held = mem_alloc(sizeof *held);
    *held = (proxy_held){.conn = conn,
                         .rule = rule,
                         .len = msg->len,
                         .late = late,
                         .data = mem_dup(msg->data, msg->len),
                         .pending = pending};
    held->next = rule->held;
    rule->held = held;
    conn->held = held;
    conn->held_until = seconds > 0 ? clock_ns() + (int64_t)(seconds * 1e9) : 0;
    conn->stream[PROTO_UP].blocked = true;
    conn_schedule(conn);
    if (late)
        conn_cut_client(conn);
}

static void unblock(proxy_stream *st)
{
    st->blocked = false;
    rl_buf waiting = st->waiting;
    st->waiting = (rl_buf){0};
    if (waiting.len && !st->conn->client_gone)
        stream_feed(st, waiting.data, waiting.len);
    buf_free(&waiting);
    if (st->eof && !st->blocked && !st->conn->client_gone && !st->conn->closing)
        stream_source_ended(st);
    stream_flow(st);
}

bool conn_release(proxy_conn *conn)
{
    proxy_held *held = conn->held;
    if (!held || conn->closing)
        return false;
    conn->held = NULL;
    conn->held_until = 0;
    held_unlink(held->rule, held);
    held->rule->released++;
    traffic_event(conn, "released", held->rule);
    if (held->late)
        held->pending.wanted = true;
    proto_inject(conn->session, held->data, held->len, held->pending);
    stream_flush(&conn->stream[PROTO_UP]);
    free(held->data);
    free(held);
    unblock(&conn->stream[PROTO_UP]);
    return true;
}
