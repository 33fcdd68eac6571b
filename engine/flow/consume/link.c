#include <stdlib.h>

#include "base/assert.h"
#include "flow/consume/internal.h"

static const double pause_first = 0.05, pause_most = 1;

void consume_pause(consume_worker *w, int turn)
{
    double most = pause_first * (double)(1 << (turn < 5 ? turn : 5));
    if (most > pause_most)
        most = pause_most;
    rl_assert(turn >= 0);
    if (consume_may_repeat(&w->permit))
        flow_sleep(w->permit.flow, most / 2 + most / 2 * rng_double(&w->rng));
}

/* ---- MySQL ---- */

/* Read committed: no gaps are locked. The lock wait is the server's own clock, in whole seconds. */
static rl_err *link_mysql(consume_worker *w)
{
    char sql[160];
    double wait = w->consume->opts.lock_wait;
    rl_err *err = my_conn_connect(w->db);
    if (err)
        return err;
    snprintf(sql, sizeof sql,
             "SET SESSION transaction_isolation = 'READ-COMMITTED', innodb_lock_wait_timeout = %d, "
             "autocommit = 1",
             wait < 1 ? 1 : (int)wait);
    return my_exec(w->db, sql);
}

bool consume_db(consume_worker *w, const consume_permit *permit)
{
    if (!my_conn_broken(w->db))
        return true;
    for (int turn = 0; consume_may_repeat(permit); turn++) {
        rl_err *err = link_mysql(w);
        if (!err) {
            consume_count(w, CONSUME_N_reconnects, 1);
            return true;
        }
        consume_db_failed(w, err);
        err_free(err);
        consume_pause(w, turn);
    }
    return false;
}

void consume_db_failed(consume_worker *w, const rl_err *err)
{
    flow_down(&w->consume->flow, "mysql", err);
}

/* ---- Redis ---- */

rl_err *consume_redis(consume_worker *w)
{
    return keyspace_connected(w->redis) ? NULL : keyspace_connect(w->redis);
}
