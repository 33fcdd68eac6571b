/* What the protocols share among themselves: the session and the queue of requests that wait.
 * Not for others. */
#ifndef RL_FAULT_PROTO_INTERNAL_H
#define RL_FAULT_PROTO_INTERNAL_H

#include "fault/proto/session.h"

/* LINE: bytes of a line of Redis that has not come to its end. */
enum { PROTO_MESSAGE_MAX = 128 << 20, PROTO_LINE_MAX = 64 << 10, PROTO_WAITING_MAX = 1 << 16 };

/* One direction: the beginning of a message that has not come as a whole, and how much of one is
 * to be passed unread. */
typedef struct proto_side {
    rl_buf in;
    uint64_t skip,
        size;      /* size: of the message that is, or was, skipped; 0 when the last one was not */
    bool dropping; /* what is skipped is not forwarded */
} proto_side;

typedef struct proto_ops {
    size_t (*feed)(proto_session *s, proto_dir dir, const char *data, size_t len);
    /* Appends an error response to the request. */
    void (*fail)(const proto_msg *msg, proto_failure failure, rl_buf *out);
    void (*close)(proto_session *s);  /* may be NULL */
    int (*command)(const char *name); /* the number of what a rule names, -1: there is none */
    bool (*unseen)(const char *name); /* what ends the parsing; NULL: nothing does */
    bool (*can_fail)(int api);        /* NULL: always */
    void (*describe)(const proto_msg *msg, rl_buf *out); /* what only it knows; may be NULL */
    size_t head[2];                                      /* see proto_head */
} proto_ops;

struct proto_session {
    const proto_ops *ops;
    proto_host host;
    proto_side side[2];
    bool opaque;
    proto_pending *first, *last;
    size_t waiting;
    void *own; /* of the protocol */
};

extern const proto_ops proto_kafka, proto_mysql, proto_redis;

proto_session *proto_open_with(const proto_ops *ops, const proto_host *host);

void proto_emit(proto_session *s, proto_dir dir, const char *data, size_t len);
/* A request as a whole: asks the host and does what it says. False: stop, the host has taken it. */
bool proto_on_request(proto_session *s, proto_msg *msg);
/* A whole response to p, which is freed; false: stop. */
bool proto_on_response(proto_session *s, proto_msg *msg, proto_pending *pending);
proto_pending *proto_push(proto_session *s, proto_pending content);
proto_pending *proto_pop(proto_session *s);
void proto_pending_free(proto_pending *pending);
void proto_flush_made(
    proto_session *s); /* emits made answers whose turn has come, between two responses */
void proto_give_up(proto_session *s); /* opaque from now on; what is held back is emitted */

/* The APIs besides those of kafka/wire/frame.h that are read here. */
enum proto_kafka_api {
    KAFKA_OFFSET_COMMIT = 8,
    KAFKA_JOIN_GROUP = 11,
    KAFKA_HEARTBEAT = 12,
    KAFKA_LEAVE_GROUP = 13,
    KAFKA_SYNC_GROUP = 14,
    KAFKA_INIT_PRODUCER_ID = 22,
    KAFKA_ADD_PARTITIONS = 24,
    KAFKA_ADD_OFFSETS = 25,
    KAFKA_END_TXN = 26,
    KAFKA_TXN_OFFSET_COMMIT = 28,
    KAFKA_CONSUMER_HEARTBEAT = 68,
};

/* kafka_peek.c, kafka_fail.c */
void kafka_describe(const proto_msg *msg, rl_buf *out);
bool kafka_fail_known(int api);
void kafka_fail(const proto_msg *msg, proto_failure failure, rl_buf *out);
/* mysql_values.c */
uint64_t mysql_le(frame_reader *r, size_t n);
uint64_t mysql_lenenc(frame_reader *r);
/* The null bitmap, the types when they are sent, and the values, each appended to `out` and
 * ended by a zero byte. */
void mysql_read_values(frame_reader *r, int count, bool named, uint16_t *types, rl_buf *out);

#endif
