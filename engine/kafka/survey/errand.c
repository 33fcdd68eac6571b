#include "kafka/survey/errand.h"

#include <stdlib.h>

#include "base/buf.h"

/* One broker's way through its errands. */
typedef struct trip {
    int broker, next, end;
    wire_conn *conn;
    wire_call budget; /* of one errand */
    bool cached, due;
} trip;

errand *errands_add(errands *all, const errand *e)
{
    all->list = mem_grow(all->list, (size_t)(all->count + 1) * sizeof *all->list);
    all->list[all->count] = *e;
    return &all->list[all->count++];
}

void survey_note(survey *s, int broker, bool silent, rl_err *err)
{
    s->failures = mem_grow(s->failures, (size_t)(s->failure_count + 1) * sizeof *s->failures);
    s->failures[s->failure_count++] =
        (survey_failure){.broker = broker, .silent = silent, .err = err};
}

static rl_err *trip_send(trip *t, const errand *e, wire_cluster *cluster)
{
    rl_err *err = wire_cluster_take(cluster, &t->budget, t->broker, &t->conn, &t->cached);
    if (!err)
        err = wire_drain(t->conn, &t->budget);
    if (!err)
        err = wire_speaks(t->conn, e->api, e->version);
    if (err)
        return err;
    frame_writer w = wire_begin(t->conn, e->api, e->version);
    e->write(&w, e);
    wire_end(t->conn, &w);
    return wire_flush(t->conn, &t->budget);
}

static rl_err *trip_receive(trip *t, const errand *e)
{
    frame_reader r;
    rl_err *err = wire_receive(t->conn, &t->budget, &r);
    if (err)
        return err;
    err = e->take(&r, e);
    if (!err || err->domain != RL_KAFKA)
        return err;
    survey_note(e->survey, t->broker, false, err);
    return NULL;
}

/* A connection that was there before may have died unseen: then the errand is due again. */
static void trip_ended(trip *t, const errand *e, wire_cluster *cluster, rl_err *err)
{
    wire_cluster_settle(cluster, t->broker, err);
    t->due = err && t->cached && err_is(err, RL_KAFKA, "_TRANSPORT");
    if (t->due) {
        err_free(err);
        return;
    }
    t->next = err ? t->end : t->next + 1;
    if (err)
        survey_note(e->survey, t->broker, true, err);
}

static void round_of(trip *trips, int count, const errands *all, wire_cluster *cluster,
                     const wire_call *call)
{
    for (int i = 0; i < count; i++) {
        trip *t = &trips[i];
        t->budget = wire_cluster_budget(cluster, call, t->broker);
        for (t->due = t->next < t->end; t->due;) {
            const errand *e = &all->list[t->next];
            rl_err *err = trip_send(t, e, cluster);
            if (!err)
                break;
            trip_ended(t, e, cluster, err);
        }
    }
    for (int i = 0; i < count; i++) {
        trip *t = &trips[i];
        t->budget = wire_cluster_budget(cluster, call, t->broker); /* not what others took of it */
        if (t->due && t->next < t->end)
            trip_ended(t, &all->list[t->next], cluster, trip_receive(t, &all->list[t->next]));
    }
}

static trip *trips_of(const errands *all, int *count)
{
    trip *trips = mem_zero((size_t)(all->count + 1) * sizeof *trips);
    *count = 0;
    for (int i = 0; i < all->count; i++) {
        if (!i || all->list[i].broker != all->list[i - 1].broker)
            trips[(*count)++] = (trip){.broker = all->list[i].broker, .next = i};
        trips[*count - 1].end = i + 1;
    }
    return trips;
}

static bool any_left(const trip *trips, int count)
{
    for (int i = 0; i < count; i++)
        if (trips[i].next < trips[i].end)
            return true;
    return false;
}

rl_err *errands_run(errands *all, wire_cluster *cluster, const wire_call *call)
{
    int count;
    trip *trips = trips_of(all, &count);
    rl_err *err = wire_cancelled(call);
    while (!err && any_left(trips, count)) {
        round_of(trips, count, all, cluster, call);
        err = wire_cancelled(call);
    }
    free(trips);
    free(all->list);
    *all = (errands){0};
    return err;
}
