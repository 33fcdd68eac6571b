/* The brokers of one cluster, over the wire client.
 *
 * Offers: one cached connection a broker, opened when needed and re-opened when it broke; questions
 * to one broker or to whichever answers. A broker that did not answer in time is remembered as
 * slow: others are asked before it, and whoever asks many brokers at once gives it less time, so
 * that a frozen broker costs its own answers only. Questions may be repeated, but for DeleteGroups:
 * there a broken connection is an error.
 * Uses: kafka/wire/conn. Thread: one at a time. */
#ifndef RL_KAFKA_WIRE_CLUSTER_H
#define RL_KAFKA_WIRE_CLUSTER_H

#include "kafka/wire/conn.h"

#define WIRE_ANY (-1)

typedef struct wire_cluster wire_cluster;

/* bootstrap: "host:port,host:port". patience_ms: how long one broker may be silent before
 * another is asked. security may be NULL; it is taken, also when this fails. */
rl_err *wire_cluster_new(const char *bootstrap, int patience_ms, wire_security *security,
                         wire_cluster **cluster);
void wire_cluster_free(wire_cluster *cluster);

/* What metadata says of a broker's address. */
void wire_cluster_learn(wire_cluster *cluster, int broker, const char *host, int port);
bool wire_cluster_knows(const wire_cluster *cluster, int broker);

/* The broker that answered last, thus one that is alive; -1 when none has. */
int wire_cluster_last(const wire_cluster *cluster);

typedef struct wire_question {
    int api, version;
    void (*write)(frame_writer *w, const void *arg);
    const void *arg;
} wire_question;

/* Asks one broker (by its id, which must be known), or WIRE_ANY. The reader stands at the
 * response's body and is valid until the next question. */
rl_err *wire_ask(wire_cluster *cluster, const wire_call *call, int broker,
                 const wire_question *question, frame_reader *r);

/* ---- many brokers at once: take connections, send to each, receive from each, settle each ---- */

/* Until when this broker is waited for: the call's deadline, less for brokers known to be slow. */
wire_call wire_cluster_budget(const wire_cluster *cluster, const wire_call *call, int broker);
/* `cached` says whether the connection was there before, and may thus prove broken without any
 * fault of today. */
rl_err *wire_cluster_take(wire_cluster *cluster, const wire_call *call, int broker,
                          wire_conn **conn, bool *cached);
/* How it went; looks at the error, does not take it. */
void wire_cluster_settle(wire_cluster *cluster, int broker, const rl_err *err);

#endif
