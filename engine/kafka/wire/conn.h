/* The wire client: one blocking connection to one broker.
 *
 * Offers: what librdkafka cannot ask, asked by ourselves. A connection sends any number of requests
 * ahead and takes their responses in order; every wait has a deadline and can be cancelled from
 * another thread; a response is bounded and is parsed by the bounds-checking reader of kafka/wire/frame.
 * A response that came too late is not lost: wire_abandon leaves it outstanding, and it is thrown
 * away when it comes, so that a broker which was frozen for a while keeps its connection.
 * Uses: kafka/wire/frame, kafka/wire/link. Thread: one at a time; a
 * wire_call's flags may be set from any thread. */
#ifndef RL_KAFKA_WIRE_CONN_H
#define RL_KAFKA_WIRE_CONN_H

#include "kafka/wire/call.h"
#include "kafka/wire/frame.h"
#include "kafka/wire/security.h"

#define WIRE_MAX_RESPONSE ((size_t)64 << 20)
#define WIRE_MAX_AHEAD 64
#define WIRE_CLIENT_ID "rlab-wire"
#define WIRE_APIS 128

typedef struct wire_conn wire_conn;

/* The versions of an API that a broker speaks; -1: it does not know it. */
typedef struct wire_range {
    int16_t min, max;
} wire_range;

/* The body of an ApiVersions response, version 0: ranges by API, and the broker's error code. A list
 * that is null is empty. */
int wire_read_versions(frame_reader *r, wire_range speaks[WIRE_APIS]);

/* Connects. Before the first request wire_learn asks what the broker speaks; it does nothing once
 * that is known, and may be repeated when it was late. */
rl_err *wire_open(const wire_call *call, const wire_security *security, const char *host, int port,
                  wire_conn **conn);
rl_err *wire_learn(wire_conn *conn, const wire_call *call);
/* wire_learn, and then SASL where the security settings ask for it (login.c): makes a fresh
 * connection ready; for one that is ready it does nothing. After an error other than TIMEOUT, and
 * after one in the middle of SASL, the connection is of no further use. */
rl_err *wire_login(wire_conn *conn, const wire_call *call);
/* The settings by which to log in; NULL when none are needed, or none any more. */
const wire_security *wire_login_due(const wire_conn *conn);
void wire_login_done(wire_conn *conn);
bool wire_ready(const wire_conn *conn);
void wire_close(wire_conn *conn);
const char *wire_name(const wire_conn *conn); /* "127.0.0.1:9092" */
/* UNSUPPORTED_VERSION unless the broker speaks this version of the API. */
rl_err *wire_speaks(const wire_conn *conn, int api, int version);

/* A request: begin, write the body, end; then any number more, as long as no more than
 * WIRE_MAX_AHEAD are outstanding; then flush. Responses come in the same order. */
frame_writer wire_begin(wire_conn *conn, int api, int version);
void wire_end(wire_conn *conn, frame_writer *w);
rl_err *wire_flush(wire_conn *conn, const wire_call *call);
/* The response to the oldest request not yet answered; the reader stands at its body and is
 * valid until the next receive. */
rl_err *wire_receive(wire_conn *conn, const wire_call *call, frame_reader *r);

/* Gives up on all outstanding responses; they are skipped when they come. False when the
 * connection is of no further use: its login was cut short. */
bool wire_abandon(wire_conn *conn);
/* Waits until no abandoned response is outstanding. */
rl_err *wire_drain(wire_conn *conn, const wire_call *call);
int wire_outstanding(const wire_conn *conn); /* requests without a response */
/* clock_ns() of the last byte received, or of the first request after all had been answered. */
int64_t wire_heard(const wire_conn *conn);

#endif
