#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define OFFSETS_VERSION 5
#define LEG_MS 300 /* what is sampled ten times a second had better be incomplete than late */

void wire_offset_write(frame_writer *w, const void *arg)
{
    const wire_offset_query *query = arg;
    frame_put_i32(w, query->replica);
    frame_put_i8(w, query->committed);
    wire_write_place(w, query->topic, query->partition);
    frame_put_i32(w, -1); /* whatever the leader epoch */
    frame_put_i64(w, query->timestamp);
}

rl_err *wire_offset_parse(frame_reader *r, const wire_offset_query *query, int64_t *offset)
{
    *offset = WIRE_UNKNOWN;
    frame_i32(r); /* throttle time */
    wire_read_place(r, query->topic, query->partition);
    int code = frame_i16(r);
    frame_i64(r); /* timestamp */
    int64_t found = frame_i64(r);
    frame_i32(r); /* leader epoch */
    rl_err *err = frame_end(r, "ListOffsets response");
    if (!err)
        err = wire_code(code, "an offset of %s [%d]", query->topic, query->partition);
    if (!err)
        *offset = found;
    return err;
}

/* ---- all positions of a partition ---- */

enum { ASK_LEO, ASK_HW, ASK_LSO, ASK_LOW, ASKS };

/* One replica's share of the round: a follower is asked for its log end only. */
typedef struct leg {
    wire_replica *replica;
    wire_conn *conn;
    wire_call budget;
    wire_offset_query asks[ASKS];
    int64_t answers[ASKS];
    int count;
    bool cached, leader;
} leg;

static void leg_prepare(leg *l, const char *topic, int partition)
{
    wire_offset_query q = {
        .topic = topic, .partition = partition, .replica = WIRE_CONSUMER, .timestamp = WIRE_LATEST};
    l->asks[ASK_HW] = l->asks[ASK_LSO] = l->asks[ASK_LOW] = l->asks[ASK_LEO] = q;
    l->asks[ASK_LEO].replica = WIRE_DEBUGGER;
    l->asks[ASK_LSO].committed = true;
    l->asks[ASK_LOW].timestamp = WIRE_EARLIEST;
    l->count = l->leader ? ASKS : 1;
    for (int i = 0; i < ASKS; i++)
        l->answers[i] = WIRE_UNKNOWN;
}

static rl_err *leg_send(leg *l, wire_cluster *cluster)
{
    rl_err *err = wire_cluster_take(cluster, &l->budget, l->replica->broker, &l->conn, &l->cached);
    if (!err)
        err = wire_drain(l->conn, &l->budget);
    if (!err)
        err = wire_speaks(l->conn, FRAME_LIST_OFFSETS, OFFSETS_VERSION);
    if (err)
        return err;
    for (int i = 0; i < l->count; i++) {
        frame_writer w = wire_begin(l->conn, FRAME_LIST_OFFSETS, OFFSETS_VERSION);
        wire_offset_write(&w, &l->asks[i]);
        wire_end(l->conn, &w);
    }
    return wire_flush(l->conn, &l->budget);
}

/* A broker's code concerns one answer; anything else ends the leg. The first code is kept to say
 * why something is absent. */
static rl_err *leg_receive(leg *l)
{
    for (int i = 0; i < l->count; i++) {
        frame_reader r;
        rl_err *err = wire_receive(l->conn, &l->budget, &r);
        if (err)
            return err;
        err = wire_offset_parse(&r, &l->asks[i], &l->answers[i]);
        if (err && err->domain != RL_KAFKA)
            return err;
        if (!l->replica->err)
            l->replica->err = err;
        else
            err_free(err);
    }
    return NULL;
}

static bool leg_again(const leg *l, const rl_err *err)
{
    return l->cached && err_is(err, RL_KAFKA, "_TRANSPORT");
}

/* Settles a leg that ended; true when it has to be done over on a fresh connection. */
static bool leg_ended(leg *l, wire_cluster *cluster, rl_err *err)
{
    bool again = leg_again(l, err);
    wire_cluster_settle(cluster, l->replica->broker, err);
    if (again) {
        err_free(err);
    } else if (err) {
        err_free(l->replica->err);
        l->replica->err = err;
    }
    return again;
}

static void round_trip(leg *legs, int count, wire_cluster *cluster, bool *due)
{
    for (int i = 0; i < count; i++) {
        rl_err *err = due[i] ? leg_send(&legs[i], cluster) : NULL;
        while (err && leg_ended(&legs[i], cluster, err))
            err = leg_send(&legs[i], cluster);
        if (err)
            due[i] = false;
    }
    for (int i = 0; i < count; i++)
        if (due[i])
            due[i] = leg_ended(&legs[i], cluster, leg_receive(&legs[i]));
}

static rl_err *run_legs(leg *legs, int count, wire_cluster *cluster, const wire_call *call)
{
    bool *due = mem_zero((size_t)count * sizeof *due);
    for (int i = 0; i < count; i++)
        due[i] = true;
    round_trip(legs, count, cluster, due);
    round_trip(legs, count, cluster, due); /* those whose old connection had died */
    free(due);
    return wire_cancelled(call);
}

static wire_ids copy_ids(const wire_ids *ids)
{
    wire_ids copy = {.count = ids->count};
    if (ids->count)
        copy.id = memcpy(mem_alloc((size_t)ids->count * sizeof *ids->id), ids->id,
                         (size_t)ids->count * sizeof *ids->id);
    return copy;
}

static rl_err *ask_replicas(wire_cluster *cluster, const wire_call *call, const char *topic,
                            const wire_partition *p, wire_positions *out)
{
    int count = p->replicas.count;
    wire_call soon = wire_call_within(call, LEG_MS);
    leg *legs = mem_zero((size_t)count * sizeof *legs);
    for (int i = 0; i < count; i++) {
        out->replicas[i].broker = p->replicas.id[i];
        legs[i].replica = &out->replicas[i];
        legs[i].leader = p->replicas.id[i] == p->leader;
        legs[i].budget = wire_cluster_budget(cluster, &soon, p->replicas.id[i]);
        leg_prepare(&legs[i], topic, p->partition);
    }
    rl_err *err = run_legs(legs, count, cluster, call);
    for (int i = 0; i < count; i++) {
        out->replicas[i].leo = legs[i].answers[ASK_LEO];
        if (!legs[i].leader)
            continue;
        out->low = legs[i].answers[ASK_LOW];
        out->lso = legs[i].answers[ASK_LSO];
        out->hw = legs[i].answers[ASK_HW];
    }
    free(legs);
    return err;
}

rl_err *wire_positions_get(wire_cluster *cluster, const wire_call *call, const char *topic,
                           int partition, wire_positions *out)
{
    *out = (wire_positions){
        .leader = -1, .low = WIRE_UNKNOWN, .lso = WIRE_UNKNOWN, .hw = WIRE_UNKNOWN};
    wire_metadata m;
    const wire_partition *p = NULL;
    rl_err *err = wire_metadata_get(cluster, call, WIRE_ANY, &topic, 1, &m);
    if (!err)
        err = wire_metadata_partition(&m, topic, partition, &p);
    if (!err) {
        out->leader = p->leader;
        out->epoch = p->epoch;
        out->isr = copy_ids(&p->isr);
        out->offline = copy_ids(&p->offline);
        out->replica_count = p->replicas.count;
        out->replicas = mem_zero((size_t)p->replicas.count * sizeof *out->replicas);
        err = ask_replicas(cluster, call, topic, p, out);
    }
    wire_metadata_free(&m);
    if (err)
        wire_positions_free(out);
    return err;
}

rl_err *wire_positions_gap(const wire_positions *positions, const char *topic, int partition)
{
    const wire_replica *leader = NULL;
    for (int i = 0; i < positions->replica_count; i++)
        if (positions->replicas[i].broker == positions->leader)
            leader = &positions->replicas[i];
    if (leader && leader->leo != WIRE_UNKNOWN && positions->low != WIRE_UNKNOWN &&
        positions->lso != WIRE_UNKNOWN && positions->hw != WIRE_UNKNOWN)
        return NULL;
    return leader && leader->err
               ? err_copy(leader->err)
               : wire_code(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, "%s [%d]", topic, partition);
}

void wire_positions_free(wire_positions *positions)
{
    for (int i = 0; positions->replicas && i < positions->replica_count; i++)
        err_free(positions->replicas[i].err);
    free(positions->replicas);
    free(positions->isr.id);
    free(positions->offline.id);
    *positions = (wire_positions){0};
}
