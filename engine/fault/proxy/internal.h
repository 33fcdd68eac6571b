/* What the parts of the proxy share. Not for others.
 *
 * The way through it, each file using only what comes after it: life.c begins and ends the proxy,
 * gate.c listens, conn.c dials and reads, rule.c acts on single messages, hold.c keeps one and lets
 * it go, splice.c moves what nobody wants to see, source.c has the rest parsed, toxic_list.c and
 * toxic.c delay it, sink.c writes it, end.c closes, watch.c logs. Below all of these: pace.c (when
 * a stream reads), stage.c, pipe.c, match.c, action.c, state.c.
 * Uses: libuv, fault/proto, base. Thread: the thread of the loop. */
#ifndef RL_FAULT_PROXY_INTERNAL_H
#define RL_FAULT_PROXY_INTERNAL_H

#include <uv.h>

#include "base/document.h"
#include "base/rng.h"
#include "fault/proxy/gate.h"
#include "fault/proxy/rule.h"
#include "fault/proxy/state.h"
#include "fault/proxy/toxic.h"
#include "fault/proxy/watch.h"

enum {
    PROXY_READ = 256 << 10,  /* one read */
    PROXY_CORK = 64 << 10,   /* small pieces are gathered up to here */
    PROXY_HIGH = 4 << 20,    /* a direction that holds so much stops reading ... */
    PROXY_LOW = 1 << 20,     /* ... until it holds less */
    PROXY_STAGED = 32 << 20, /* the same where toxics hold data back on purpose */
    PROXY_PIPE = 1 << 20,    /* what a pipe takes at once */
    PROXY_BULK = 64 << 10,   /* a read of so much: there is more to come */
    PROXY_UNSEEN = 32 << 10, /* less of a message is not worth a pipe */
};

typedef struct proxy_gate proxy_gate;
typedef struct proxy_conn proxy_conn;
typedef struct proxy_stream proxy_stream;

/* ---- toxics ---- */

#define PROXY_TOXICS(TOXIC)                                            \
    TOXIC(LATENCY, "latency", "latency", "jitter", NULL)               \
    TOXIC(BANDWIDTH, "bandwidth", "rate", NULL, NULL)                  \
    TOXIC(SLOW_CLOSE, "slow_close", "delay", NULL, NULL)               \
    TOXIC(TIMEOUT, "timeout", "timeout", NULL, NULL)                   \
    TOXIC(RESET_PEER, "reset_peer", "timeout", NULL, NULL)             \
    TOXIC(SLICER, "slicer", "average_size", "size_variation", "delay") \
    TOXIC(LIMIT_DATA, "limit_data", "bytes", NULL, NULL)               \
    TOXIC(NOOP, "noop", NULL, NULL, NULL)

typedef enum proxy_toxic_kind {
#define TOXIC(id, ...) PROXY_##id,
    PROXY_TOXICS(TOXIC)
#undef TOXIC
        PROXY_TOXIC_KINDS
} proxy_toxic_kind;

typedef struct proxy_toxic {
    char *name;
    proxy_toxic_kind kind;
    proto_dir dir;
    double toxicity;
    int64_t value[3];
    struct proxy_toxic *next;
} proxy_toxic;

typedef struct proxy_chunk {
    struct proxy_chunk *next;
    int64_t at, due; /* ns */
    bool eof;
    size_t len, from;
    char data[];
} proxy_chunk;

/* A toxic at work on one direction of one connection: a queue of chunks that come due. */
typedef struct proxy_stage {
    struct proxy_stage *next;
    const proxy_toxic *toxic;
    proxy_chunk *first, *last;
    int64_t due, busy_until; /* of the stage itself (0: none); when the last chunk is through */
    int64_t passed;
    rl_rng rng;
} proxy_stage;

/* ---- connections ---- */

/* Bytes between two sockets that this process does not look at. */
typedef struct proxy_pipe {
    struct proxy_pipe *next; /* of the idle ones */
    int to, from;
    size_t held;
} proxy_pipe;

struct proxy_stream {
    proxy_conn *conn;
    proto_dir dir;
    uv_tcp_t *source, *sink;
    bool reading, eof, shut; /* source came to its end; sink knows of it */
    bool blocked;            /* nothing is parsed or forwarded until what is held goes */
    bool swallow;            /* black hole */
    bool cut_when_sent;
    bool deaf;      /* a toxic kept the end from the sink */
    rl_buf waiting; /* came while blocked */
    rl_buf cork;
    const char *run; /* a part of the chunk that is being fed */
    size_t run_len;
    proxy_stage *stages;
    size_t staged, unsent; /* bytes; staged: with what their chunks take */
    uint64_t bytes;
    proxy_pipe *
        /* NULL: none is in use. What it holds goes before all else, and after what is unsent */
        pipe;
    bool bulk;    /* the last read was a large one */
    bool passing; /* so goes the message in hand, and what follows is asked for its length only */
    bool filling; /* small pieces join the pipe */
    bool no_pipe; /* none was to be had */
};

typedef struct proxy_held {
    struct proxy_held *next; /* of the rule */
    proxy_conn *conn;
    struct proxy_rule *rule;
    char *data;
    size_t len;
    proto_pending pending;
    bool late;
} proxy_held;

struct proxy_conn {
    rl_proxy *proxy;
    proxy_gate *gate; /* until it is cut */
    proxy_conn *prev, *next;
    uint64_t number;
    uv_tcp_t client, server;
    uv_timer_t timer;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    int handles;
    uv_timer_cb on_due; /* of conn.c; pace.c arms them */
    uv_alloc_cb on_alloc;
    uv_read_cb on_read;
    bool looking, connected, closing, client_gone;
    proxy_stream stream[2];
    proto_session *session;
    const char *chunk; /* what is being fed */
    size_t chunk_len;
    proxy_held *held;
    int64_t held_until; /* ns; 0: until released */
    char client_id[96];
    proto_failure failure;
    struct proxy_rule *black_hole;
};

/* ---- rules and log ---- */

typedef struct proxy_rule {
    struct proxy_rule *next;
    int64_t id;
    proxy_rule_spec spec; /* its texts are own copies */
    int api;
    int64_t matched, taken, fired, bytes, released; /* taken: decided; fired: done */
    rl_buf last;                                    /* of the last message acted on: JSON members */
    int64_t last_ns;
    proxy_held *held;
    bool off; /* it is being removed */
    rl_rng rng;
} proxy_rule;

typedef struct proxy_watch {
    struct proxy_watch *next;
    int64_t id;
    char *owner, *gate, *client_id, *topic, *command, *contains;
    proto_kind proto;
    int api; /* -1: all */
} proxy_watch;

typedef struct traffic_row {
    uint64_t number;
    char *text;
    size_t len;
    char owner[64], gate[64];
} traffic_row;

struct proxy_gate {
    rl_proxy *proxy;
    proxy_gate *next;
    char *name, *listen, *upstream, *owner;
    char host[256], port[8]; /* of the upstream */
    proto_kind proto;
    bool enabled;
    uv_tcp_t *listener; /* NULL while off */
    int bound;          /* the port that it listens on */
    proxy_conn *conns;
    proxy_toxic *toxics;
    uint64_t accepted, refused, bytes[2], opaque;
};

struct rl_proxy {
    uv_loop_t *loop;
    rl_rng rng;
    proxy_gate *gates;
    proxy_rule *rules;
    proxy_watch *watches;
    int64_t next_rule, next_watch;
    uint64_t conns;
    traffic_row *rows; /* a ring */
    size_t rows_first, rows_count, rows_bytes;
    uint64_t rows_next;
    int handles; /* open uv handles, of gates and connections */
    bool closing;
    bool anywhere;                 /* gates may listen beyond the loopback */
    void (*over)(rl_proxy *proxy); /* the last handle is closed */
    void (*done)(void *);
    void *done_arg;
    char *chunk;       /* where reads land */
    proxy_pipe *pipes; /* idle ones */
};

/* ---- state.c: handles, gates by name ---- */

void proxy_handle_opened(rl_proxy *proxy);
void proxy_handle_closed(rl_proxy *proxy);
proxy_gate *gate_find(const rl_proxy *proxy, const char *name);
rl_err *gate_unknown(const char *name);
bool owned_by(const char *owner, const char *name);
rl_err *name_refused(const char *what, const char *name); /* NULL: it may be had */

/* ---- action.c, match.c ---- */

const char *proxy_action_name(proxy_action action);
bool rules_want(const proxy_conn *conn, int api);
bool rule_matches(const proxy_rule *rule, const proxy_conn *conn, const proto_msg *msg);
bool watch_matches(const proxy_watch *watch, const proxy_conn *conn, const proto_msg *msg);
bool rule_spent(const proxy_rule *rule);

/* ---- watch.c ---- */

void watch_free(proxy_watch *watch);
void traffic_free(rl_proxy *proxy);
/* One row for each owner who watches. */
void watches_on_request(proxy_conn *conn, const proto_msg *msg, proto_pending *pending);
void watches_on_response(proxy_conn *conn, const proto_msg *msg, const proto_pending *pending);
/* direction "request", "response" or "late response" for an owner who watches, "rule" with the
 * rule that acted */
void traffic_note(proxy_conn *conn, const proto_msg *msg, const char *direction, const char *owner,
                  const proxy_rule *rule);
void traffic_event(proxy_conn *conn, const char *what, const proxy_rule *rule);

/* ---- pipe.c ---- */

bool pipe_get(proxy_stream *st); /* false: none is to be had */
void pipe_give_back(proxy_stream *st);
void pipe_free_all(rl_proxy *proxy);
bool pipe_join(proxy_stream *st, const char *data,
               size_t len); /* false: it is not being filled, or is full */
size_t pipe_take(proxy_stream *st, char *to, size_t most); /* 0: it is empty */
size_t pipe_held(const proxy_stream *st);
int pipe_tcp_fd(const uv_tcp_t *tcp);

/* ---- stage.c ---- */

void stage_put(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk, int64_t due);
proxy_chunk *stage_take(proxy_stream *st, proxy_stage *stage);
int64_t stage_due(const proxy_stream *st); /* INT64_MAX: nothing waits */
void stage_free(proxy_stage *stage);
void stage_free_all(proxy_stream *st);

/* ---- end.c ---- */

void conn_cut(proxy_conn *conn);   /* both sides, at once */
void conn_reset(proxy_conn *conn); /* likewise, with a TCP reset to both */
void conn_cut_client(proxy_conn *conn);
void conn_gone(proxy_conn *conn); /* one of its handles is closed; the last one frees it */
void held_unlink(proxy_rule *rule, proxy_held *held);

/* ---- pace.c ---- */

bool stream_sink_open(const proxy_stream *st);
bool stream_is_free(const proxy_stream *st);      /* nobody stands between source and sink */
uint64_t stream_unwanted(const proxy_stream *st); /* bytes that come next and are for nobody here */
/* Whether the stream's next bytes should go by pipe_pass instead of a read. */
bool pipe_fits(const proxy_stream *st);
void stream_flow(proxy_stream *st); /* starts or stops reading */
void conn_schedule(proxy_conn *conn);

/* ---- sink.c ---- */

void stream_deliver(proxy_stream *st, const char *data, size_t len); /* behind the toxics */
void stream_end(proxy_stream *st);
/* The sink takes no more for now: kept until it does. In the order of the calls, and after the
 * pipe. */
void stream_write_later(proxy_stream *st, const char *data, size_t len);
void pipe_drain(proxy_stream *st); /* as much as the sink takes */

/* ---- toxic.c ---- */

void stage_attach(proxy_stream *st); /* brings the chain in line with the gate's toxics */
void stage_detach(proxy_stream *st, const proxy_toxic *toxic);
void stage_push(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk);
void stage_tick(proxy_stream *st);

/* ---- source.c, splice.c ---- */

void stream_feed(proxy_stream *st, const char *data, size_t len);
void stream_source_ended(proxy_stream *st);
/* A client that breaks off while its request is held: the request is still under way, as in a slow
 * network. One that only ends what it says still listens: its end goes on behind the request. */
bool stream_keeps_held(proxy_stream *st);
void stream_flush(proxy_stream *st); /* what was gathered goes on */
void conn_emit(void *conn, proto_dir dir, const char *data, size_t len); /* of proto_host */
/* Moves what the source has to the sink; > 0: so many bytes, 0: nothing for now, UV_EOF, or what
 * is wrong with the source. */
ssize_t pipe_pass(proxy_stream *st);

/* ---- hold.c ---- */

void conn_hold(proxy_conn *conn, proxy_rule *rule, const proto_msg *msg, proto_pending pending,
               double seconds, bool late);
bool conn_release(proxy_conn *conn); /* false: there was nobody to send to any more */

/* ---- rule.c ---- */

proto_verdict rules_on_request(proxy_conn *conn, const proto_msg *msg, proto_pending *pending);
proto_verdict rules_on_response(proxy_conn *conn, const proto_msg *msg,
                                const proto_pending *pending);
void rule_free(proxy_rule *rule);

/* ---- toxic_list.c, conn.c ---- */

cJSON *toxic_list_document(const proxy_gate *gate); /* the caller's */
void toxic_free_all(proxy_gate *gate);
void conn_accept(proxy_gate *gate);

#endif
