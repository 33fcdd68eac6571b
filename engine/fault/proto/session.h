/* Protocols as the fault proxy sees them: two streams of bytes become requests and their responses.
 *
 * Offers: a session per connection, fed with what arrives on either side. It keeps the framing,
 * knows which response belongs to which request, hands messages that somebody is interested in to
 * its host as a whole, and emits everything else as it came. Bytes that are no such protocol (TLS,
 * a stranger) make a session opaque: they still pass, nothing is parsed any more, and nothing
 * crashes.
 * Uses: base/buf, kafka/frame. Thread: plain memory, one owner. Knows no socket and no clock. */
#ifndef RL_FAULT_PROTO_SESSION_H
#define RL_FAULT_PROTO_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "kafka/wire/frame.h"

typedef enum proto_kind { PROTO_TCP, PROTO_KAFKA, PROTO_MYSQL, PROTO_REDIS } proto_kind;
typedef enum proto_dir { PROTO_UP, PROTO_DOWN } proto_dir; /* to the server, to the client */

#define PROTO_ALL UINT64_MAX

typedef struct proto_session proto_session;

/* A request that waits for its response. The host sets the flags when it decides about the
 * request. */
typedef struct proto_pending {
    struct proto_pending *next;
    int api, version;
    int32_t correlation;
    bool wanted;    /* hand me the response as a whole */
    bool swallowed; /* the response is not for the client */
    bool made;      /* nothing was sent: `answer` is the response */
    rl_buf answer;
    int64_t rule, watch[3]; /* the host's own; 0: none */
} proto_pending;

/* One message as a whole, its framing included. */
typedef struct proto_msg {
    proto_kind kind;
    proto_dir dir;
    const char *data;
    size_t len;
    int api;             /* Kafka: the API key; MySQL: the command byte; Redis: -1 */
    const char *command; /* "Produce", "COM_QUERY", "SET" (as it was written); not terminated */
    size_t command_len;
    int version;
    int32_t correlation;
    frame_slice client; /* Kafka: the client id */
    frame_slice
        /* MySQL: the statement (also of an execute) ; Redis: the command with its arguments,
         * blanks between */
        text;
    frame_slice params; /* MySQL: the parameters of an execute, each ended by a zero byte */
    size_t body;        /* Kafka: where the body begins */
    bool judged; /* MySQL and Redis responses: whether `error` says how it ended; 0 is fine */
    int error;
} proto_msg;

typedef enum proto_verdict {
    PROTO_PASS,  /* forward it */
    PROTO_TWICE, /* forward it twice; the client gets one response */
    PROTO_DROP,  /* forget it */
    PROTO_ERROR, /* answer it with an error (see proto_host.failure) and forget it */
    PROTO_STOP,  /* the host has taken it; what follows is not consumed */
} proto_verdict;

typedef struct proto_failure {
    int code;
    const char *text;
} proto_failure;

typedef struct proto_host {
    void *arg;
    /* Bytes to forward; they are valid during the call only. */
    void (*emit)(void *arg, proto_dir dir, const char *data, size_t len);
    /* Whether a request of this API (Kafka's key, MySQL's command byte; Redis: 0) is wanted as a
     * whole. */
    bool (*wants)(void *arg, int api);
    proto_verdict (*request)(void *arg, const proto_msg *msg, proto_pending *pending);
    /* A response that was wanted: PASS, DROP or STOP. */
    proto_verdict (*response)(void *arg, const proto_msg *msg, const proto_pending *pending);
    proto_failure (*failure)(void *arg);
} proto_host;

const char *proto_name(proto_kind kind); /* "tcp" "kafka" "mysql" "redis" */
bool proto_parse(const char *name, proto_kind *kind);

/* PROTO_TCP has no session. */
proto_session *proto_open(proto_kind kind, const proto_host *host);
/* Returns how many bytes were consumed: all, or fewer after a STOP. */
size_t proto_feed(proto_session *s, proto_dir dir, const char *data, size_t len);
/* The side has come to its end: what is kept of an unfinished message is emitted. */
void proto_end(proto_session *s, proto_dir dir);
/* How many of the next bytes may pass without a feed: the rest of a message that nobody wants
 * (PROTO_ALL: the session is opaque). */
uint64_t proto_unseen(const proto_session *s, proto_dir dir);
/* So many of them have passed. */
void proto_passed(proto_session *s, proto_dir dir, size_t n);
/* The length of the message in hand, or of the last one, if nobody wanted to see it; else 0
 * (PROTO_ALL: opaque). */
uint64_t proto_unwanted(const proto_session *s, proto_dir dir);
/* How many bytes must be seen of a message to know its length; 0: that depends. */
size_t proto_head(const proto_session *s, proto_dir dir);
/* Sends a request that was stopped before: emits it and waits for its response. */
void proto_inject(proto_session *s, const char *data, size_t len, proto_pending pending);
bool proto_opaque(const proto_session *s);
size_t proto_waiting(const proto_session *s); /* requests without a response so far */
void proto_close(proto_session *s);

/* The Kafka API, MySQL command or Redis command that a rule names: its number (Redis: 0 for every
 * word), -1 for "". An error when there is none, or none that a rule could see. */
rl_err *proto_find(proto_kind kind, const char *name, int *api);
/* Whether error replies can be made for it. */
bool proto_can_fail(proto_kind kind, int api);

/* What the traffic log says of a message, as JSON members with a comma in front of each. */
void proto_describe(const proto_msg *msg, rl_buf *out);
/* Whether a Kafka request or response names the topic. */
bool proto_names_topic(const proto_msg *msg, const char *topic);
/* Whether a MySQL execute carries a parameter of this text. */
bool proto_has_param(const proto_msg *msg, const char *text);

#endif
