#include "kafka/wire/cluster.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"

#define NS_PER_MS 1000000LL
#define SLOW_BUDGET_MS 40
#define SILENCE_MS \
    1000 /* a connection with outstanding answers that was silent for so long is replaced */

typedef struct peer {
    int id; /* -1 for an address of the bootstrap list that no metadata has named */
    char *host;
    int port;
    wire_conn *conn;
    bool slow;
} peer;

struct wire_cluster {
    peer *peers;
    int count, last; /* last: index of the peer that answered last */
    int patience_ms;
    wire_security *security;
};

static peer *peer_add(wire_cluster *cluster, int id, const char *host, size_t host_len, int port)
{
    cluster->peers =
        mem_grow(cluster->peers, (size_t)(cluster->count + 1) * sizeof *cluster->peers);
    peer *p = &cluster->peers[cluster->count++];
    *p = (peer){.id = id, .host = mem_dup(host, host_len), .port = port};
    return p;
}

/* "host:port" or "[v6]:port", of which [from, to) is the whole. */
static rl_err *add_bootstrap(wire_cluster *cluster, const char *from, const char *to)
{
    const char *scheme = strstr(from, "://");
    if (scheme && scheme < to)
        from = scheme + 3;
    const char *colon = to;
    while (colon > from && *colon != ':')
        colon--;
    int port = colon > from ? units_port(colon + 1, (size_t)(to - colon) - 1) : 0;
    if (colon == from || port < 1)
        return err_lab("USAGE", "'%.*s' is no broker address; write host:port", (int)(to - from),
                       from);
    bool v6 = *from == '[' && colon[-1] == ']';
    peer_add(cluster, -1, from + v6, (size_t)(colon - from) - 2 * (size_t)v6, port);
    return NULL;
}

rl_err *wire_cluster_new(const char *bootstrap, int patience_ms, wire_security *security,
                         wire_cluster **out)
{
    wire_cluster *cluster = mem_zero(sizeof *cluster);
    cluster->patience_ms = patience_ms;
    cluster->security = security;
    rl_err *err = NULL;
    for (const char *from = bootstrap; *from && !err;) {
        from += strspn(from, ", \t");
        size_t n = strcspn(from, ", \t");
        if (n)
            err = add_bootstrap(cluster, from, from + n);
        from += n;
    }
    if (!err && !cluster->count)
        err = err_lab("USAGE", "no broker address in '%s'", bootstrap);
    if (err) {
        wire_cluster_free(cluster);
        return err;
    }
    *out = cluster;
    return NULL;
}

void wire_cluster_free(wire_cluster *cluster)
{
    if (!cluster)
        return;
    for (int i = 0; i < cluster->count; i++) {
        wire_close(cluster->peers[i].conn);
        free(cluster->peers[i].host);
    }
    wire_security_free(cluster->security);
    free(cluster->peers);
    free(cluster);
}

static peer *peer_find(const wire_cluster *cluster, int broker)
{
    for (int i = 0; i < cluster->count; i++)
        if (cluster->peers[i].id == broker)
            return &cluster->peers[i];
    return NULL;
}

bool wire_cluster_knows(const wire_cluster *cluster, int broker)
{
    return broker >= 0 && peer_find(cluster, broker);
}

int wire_cluster_last(const wire_cluster *cluster)
{
    return cluster->peers[cluster->last].id;
}

static void peer_hang_up(peer *p)
{
    wire_close(p->conn);
    p->conn = NULL;
}

void wire_cluster_learn(wire_cluster *cluster, int broker, const char *host, int port)
{
    peer *p = peer_find(cluster, broker);
    for (int i = 0; i < cluster->count && !p; i++)
        if (cluster->peers[i].id < 0 && cluster->peers[i].port == port &&
            strcmp(cluster->peers[i].host, host) == 0)
            p = &cluster->peers[i];
    if (!p)
        p = peer_add(cluster, broker, host, strlen(host), port);
    p->id = broker;
    if (p->port == port && strcmp(p->host, host) == 0)
        return;
    peer_hang_up(p);
    free(p->host);
    p->host = mem_strdup(host);
    p->port = port;
}

/* Silent for long, or so slow that the requests it owes an answer pile up. */
static bool peer_worn_out(const peer *p)
{
    int owed = p->conn ? wire_outstanding(p->conn) : 0;
    return owed > WIRE_MAX_AHEAD / 2 ||
           (owed && clock_ns() - wire_heard(p->conn) > SILENCE_MS * NS_PER_MS);
}

static rl_err *peer_take(wire_cluster *cluster, peer *p, const wire_call *call, wire_conn **conn,
                         bool *cached)
{
    if (peer_worn_out(p))
        peer_hang_up(p);
    *cached = p->conn != NULL;
    rl_err *err = p->conn ? NULL : wire_open(call, cluster->security, p->host, p->port, &p->conn);
    if (!err)
        err = wire_login(p->conn, call);
    *conn = p->conn;
    return err;
}

static void peer_settle(peer *p, const rl_err *err)
{
    bool late = err_is(err, RL_LAB, "TIMEOUT");
    if (late || !err)
        p->slow = late;
    if (!err || !p->conn)
        return;
    bool keep = err_is(err, RL_KAFKA, "UNSUPPORTED_VERSION") && wire_ready(p->conn);
    if (late || err_is(err, RL_LAB, "CANCELLED"))
        keep = wire_abandon(p->conn);
    if (!keep)
        peer_hang_up(p);
}

wire_call wire_cluster_budget(const wire_cluster *cluster, const wire_call *call, int broker)
{
    const peer *p = peer_find(cluster, broker);
    return wire_call_within(call, p && p->slow ? SLOW_BUDGET_MS : cluster->patience_ms);
}

rl_err *wire_cluster_take(wire_cluster *cluster, const wire_call *call, int broker,
                          wire_conn **conn, bool *cached)
{
    peer *p = peer_find(cluster, broker);
    if (!p)
        return wire_code(RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, "broker %d", broker);
    return peer_take(cluster, p, call, conn, cached);
}

void wire_cluster_settle(wire_cluster *cluster, int broker, const rl_err *err)
{
    peer *p = peer_find(cluster, broker);
    if (p)
        peer_settle(p, err);
}

static rl_err *peer_exchange(wire_conn *conn, const wire_call *call, const wire_question *question,
                             frame_reader *r)
{
    rl_err *err = wire_speaks(conn, question->api, question->version);
    if (err)
        return err;
    frame_writer w = wire_begin(conn, question->api, question->version);
    question->write(&w, question->arg);
    wire_end(conn, &w);
    err = wire_flush(conn, call);
    return err ? err : wire_receive(conn, call, r);
}

/* Carried out twice, it answers otherwise. */
static bool question_may_repeat(const wire_question *question)
{
    return question->api != FRAME_DELETE_GROUPS;
}

/* A cached connection may have died unseen (the broker was restarted): that alone is tried
 * again, once, on a fresh one. */
static rl_err *peer_ask(wire_cluster *cluster, peer *p, const wire_call *call,
                        const wire_question *question, frame_reader *r)
{
    for (;;) {
        wire_conn *conn;
        bool cached;
        rl_err *err = peer_take(cluster, p, call, &conn, &cached);
        if (!err)
            err = peer_exchange(conn, call, question, r);
        peer_settle(p, err);
        if (!err || !cached || !question_may_repeat(question) ||
            !err_is(err, RL_KAFKA, "_TRANSPORT"))
            return err;
        err_free(err);
    }
}

/* Brokers that answer come before those that were slow; among equals the one that answered last,
 * so that there is one connection to keep warm. */
static int next_peer(const wire_cluster *cluster, const bool *tried, bool slow)
{
    for (int i = 0; i < cluster->count; i++) {
        int at = (cluster->last + i) % cluster->count;
        if (!tried[at] && cluster->peers[at].slow == slow)
            return at;
    }
    return -1;
}

static rl_err *ask_any(wire_cluster *cluster, const wire_call *call, const wire_question *question,
                       frame_reader *r)
{
    bool *tried = mem_zero((size_t)cluster->count * sizeof *tried);
    rl_err *err = NULL;
    for (int left = cluster->count; left > 0; left--) {
        int at = next_peer(cluster, tried, false);
        if (at < 0)
            at = next_peer(cluster, tried, true);
        tried[at] = true;
        err_free(err);
        wire_call within = wire_call_within(call, left == 1 ? INT32_MAX : cluster->patience_ms);
        err = peer_ask(cluster, &cluster->peers[at], &within, question, r);
        if (!err)
            cluster->last = at;
        if (!err || err_is(err, RL_LAB, "CANCELLED") || deadline_passed(call->deadline))
            break;
    }
    free(tried);
    return err;
}

rl_err *wire_ask(wire_cluster *cluster, const wire_call *call, int broker,
                 const wire_question *question, frame_reader *r)
{
    if (broker == WIRE_ANY)
        return ask_any(cluster, call, question, r);
    peer *p = peer_find(cluster, broker);
    if (!p)
        return wire_code(RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, "broker %d", broker);
    return peer_ask(cluster, p, call, question, r);
}
