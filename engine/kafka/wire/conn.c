#include "kafka/wire/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "kafka/wire/link.h"

typedef struct sent {
    int api, version;
    int32_t correlation;
} sent;

struct wire_conn {
    wire_link link;
    const wire_security *security; /* may be NULL */
    int32_t correlation;
    rl_buf out, in;
    size_t in_pos, out_pos;
    sent ahead[WIRE_MAX_AHEAD]; /* a ring: oldest request at `first` */
    int first, count, abandoned;
    int64_t heard;
    enum { FRESH, AT_LOGIN, READY } state; /* ready: its versions are known and it let us in */
    wire_range speaks[WIRE_APIS];
};

/* ---- connecting ---- */

rl_err *wire_open(const wire_call *call, const wire_security *security, const char *host, int port,
                  wire_conn **out)
{
    wire_conn *conn = mem_zero(sizeof *conn);
    conn->security = security;
    for (int i = 0; i < WIRE_APIS; i++)
        conn->speaks[i].min = conn->speaks[i].max = -1;
    rl_err *err = wire_link_open(&conn->link, call, security, host, port);
    if (err) {
        wire_close(conn);
        return err;
    }
    frame_writer w = wire_begin(conn, FRAME_API_VERSIONS, 0);
    wire_end(conn, &w);
    *out = conn;
    return NULL;
}

static rl_err *receive_one(wire_conn *conn, const wire_call *call, frame_reader *r);

int wire_read_versions(frame_reader *r, wire_range speaks[WIRE_APIS])
{
    int code = frame_i16(r);
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        int api = frame_i16(r);
        int16_t min = frame_i16(r), max = frame_i16(r);
        frame_tags(r);
        if (!r->bad && api >= 0 && api < WIRE_APIS)
            speaks[api] = (wire_range){min, max};
    }
    return code;
}

rl_err *wire_learn(wire_conn *conn, const wire_call *call)
{
    if (conn->state != FRESH)
        return NULL;
    frame_reader r;
    rl_err *err = wire_flush(conn, call);
    if (!err)
        err = receive_one(conn, call, &r);
    if (err)
        return err;
    int code = wire_read_versions(&r, conn->speaks);
    err = frame_end(&r, "ApiVersions response");
    if (!err)
        err = wire_code(code, "ApiVersions of broker %s", wire_name(conn));
    if (!err)
        conn->state = conn->security && conn->security->mechanism ? AT_LOGIN : READY;
    return err;
}

const wire_security *wire_login_due(const wire_conn *conn)
{
    return conn->state == AT_LOGIN ? conn->security : NULL;
}

void wire_login_done(wire_conn *conn)
{
    rl_assert(conn->state == AT_LOGIN);
    conn->state = READY;
}

bool wire_ready(const wire_conn *conn)
{
    return conn->state == READY;
}

void wire_close(wire_conn *conn)
{
    if (!conn)
        return;
    wire_link_close(&conn->link);
    buf_free(&conn->out);
    buf_free(&conn->in);
    free(conn);
}

const char *wire_name(const wire_conn *conn)
{
    return conn->link.name;
}

rl_err *wire_speaks(const wire_conn *conn, int api, int version)
{
    rl_assert(api >= 0 && api < WIRE_APIS);
    int min = conn->speaks[api].min, max = conn->speaks[api].max;
    if (min >= 0 && version >= min && version <= max)
        return NULL;
    const char *name = frame_api_name(api);
    const int code = RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION;
    if (min < 0)
        return err_new(RL_KAFKA, code, "UNSUPPORTED_VERSION",
                       "broker %s does not know %s; rlab needs version %d of it", conn->link.name,
                       name, version);
    return err_new(RL_KAFKA, code, "UNSUPPORTED_VERSION",
                   "broker %s speaks %s %d to %d; rlab needs version %d", conn->link.name, name,
                   min, max, version);
}

/* ---- requests and responses ---- */

frame_writer wire_begin(wire_conn *conn, int api, int version)
{
    rl_assert(conn->count < WIRE_MAX_AHEAD);
    int slot = (conn->first + conn->count) % WIRE_MAX_AHEAD;
    conn->ahead[slot] = (sent){.api = api, .version = version, .correlation = ++conn->correlation};
    return frame_begin(&conn->out, api, version, conn->correlation, WIRE_CLIENT_ID);
}

void wire_end(wire_conn *conn, frame_writer *w)
{
    frame_finish(w);
    if (!conn->count)
        conn->heard = clock_ns(); /* silence counts from the first unanswered request */
    conn->count++;
}

rl_err *wire_flush(wire_conn *conn, const wire_call *call)
{
    rl_err *err = wire_link_write(&conn->link, call, conn->out.data, conn->out.len, &conn->out_pos);
    if (err)
        return err;
    buf_reset(&conn->out);
    conn->out_pos = 0;
    return NULL;
}

/* Moves what was read but not yet parsed to the front, so that the buffer does not creep. */
static void conn_compact(wire_conn *conn)
{
    if (!conn->in_pos)
        return;
    memmove(conn->in.data, conn->in.data + conn->in_pos, conn->in.len - conn->in_pos);
    conn->in.len -= conn->in_pos;
    conn->in_pos = 0;
}

static rl_err *conn_fill(wire_conn *conn, const wire_call *call, size_t need)
{
    conn_compact(conn);
    while (conn->in.len < need) {
        size_t room = need - conn->in.len < 16384 ? 16384 : need - conn->in.len;
        buf_reserve(&conn->in, room);
        size_t got;
        rl_err *err = wire_link_read(&conn->link, call, conn->in.data + conn->in.len, room, &got);
        if (err)
            return err;
        conn->in.len += got;
        conn->heard = clock_ns();
    }
    return NULL;
}

static rl_err *receive_one(wire_conn *conn, const wire_call *call, frame_reader *r)
{
    size_t size;
    rl_assert(conn->count > 0);
    rl_err *err = conn_fill(conn, call, 4);
    if (!err)
        err = frame_size(conn->in.data, WIRE_MAX_RESPONSE, &size);
    if (!err)
        err = conn_fill(conn, call, 4 + size);
    if (err)
        return err;
    sent request = conn->ahead[conn->first];
    int32_t correlation;
    *r = frame_read(conn->in.data + 4, size, false);
    conn->in_pos = 4 + size;
    conn->first = (conn->first + 1) % WIRE_MAX_AHEAD;
    conn->count--;
    err = frame_response_header(r, request.api, request.version, &correlation);
    if (!err && correlation != request.correlation)
        err = err_lab("MALFORMED", "broker %s answered request %d where %d was due",
                      conn->link.name, correlation, request.correlation);
    return err;
}

rl_err *wire_receive(wire_conn *conn, const wire_call *call, frame_reader *r)
{
    rl_err *err = wire_drain(conn, call);
    if (err)
        return err;
    if (!conn->count)
        return err_lab("USAGE", "no response is due from broker %s", conn->link.name);
    return receive_one(conn, call, r);
}

bool wire_abandon(wire_conn *conn)
{
    rl_assert(conn->count >= 0 && conn->count <= WIRE_MAX_AHEAD);
    if (conn->state == READY)
        conn->abandoned = conn->count;
    return conn->state != AT_LOGIN;
}

rl_err *wire_drain(wire_conn *conn, const wire_call *call)
{
    frame_reader unused;
    for (; conn->abandoned > 0; conn->abandoned--) {
        rl_err *err = receive_one(conn, call, &unused);
        if (err)
            return err;
    }
    return NULL;
}

int wire_outstanding(const wire_conn *conn)
{
    return conn->count;
}

int64_t wire_heard(const wire_conn *conn)
{
    return conn->heard;
}
