/* The relay's connections to MySQL: kept alive, their state shown in health. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/relay/internal.h"

static const double backoff_min = 0.02, backoff_max = 1;

static void wait_longer(flow_relay *relay, relay_backoff *backoff)
{
    backoff->seconds = backoff->seconds > 0 ? backoff->seconds * 2 : backoff_min;
    if (backoff->seconds > backoff_max)
        backoff->seconds = backoff_max;
    flow_pause(&relay->flow, backoff->seconds);
}

/* Read committed: no gap is ever locked, and each poll sees what is committed by then. */
static rl_err *set_session(my_conn *conn)
{
    rl_err *err = my_exec(conn, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    return err ? err : my_exec(conn, "SET SESSION innodb_lock_wait_timeout = 2");
}

static bool locks_leases(const flow_relay *relay, const my_conn *conn)
{
    return relay->opts.leader == RELAY_BY_LEASE && conn != relay->reader_conn;
}

double relay_silence(const flow_relay *relay)
{
    return ceil(relay->opts.lease) + 1; /* the server counts in seconds */
}

/* A relay that is frozen in a transaction would keep relay_lease locked for as long as it stands
 * still, and nobody could take over: the server ends the session, and frees its locks. */
static rl_err *limit_silence(const flow_relay *relay, my_conn *conn)
{
    char sql[64];
    if (!locks_leases(relay, conn))
        return NULL;
    snprintf(sql, sizeof sql, "SET SESSION wait_timeout = %.0f", relay_silence(relay));
    return my_exec(conn, sql);
}

bool relay_connected(flow_relay *relay, my_conn *conn, flow_counters *count, relay_backoff *backoff)
{
    if (flow_aborted(&relay->flow))
        return false;
    if (!my_conn_broken(conn))
        return true;
    rl_err *err = my_conn_connect(conn);
    if (!err)
        err = set_session(conn);
    if (!err)
        err = limit_silence(relay, conn);
    if (err) {
        relay_mysql_failed(relay, conn, err, backoff);
        return false;
    }
    flow_add(count, RELAY_N_reconnects, 1);
    flow_up(&relay->flow, "mysql");
    backoff->seconds = 0;
    return true;
}

void relay_mysql_failed(flow_relay *relay, my_conn *conn, rl_err *err, relay_backoff *backoff)
{
    if (flow_aborted(&relay->flow)) {
        err_free(err);
        return;
    }
    if (!my_conn_broken(conn) && my_conn_in_transaction(conn))
        err_free(my_exec(conn, "ROLLBACK"));
    bool passing = err->retriable && !err->fatal && err->blame == ERR_OF_CALL; /* a deadlock, ... */
    if (!passing)
        flow_down(&relay->flow, "mysql", err);
    err_free(err);
    wait_longer(relay, backoff);
}

rl_err *relay_rows(my_conn *conn, const rl_buf *sql, my_result **result)
{
    my_cmd cmd = {.sql = sql->data, .len = sql->len};
    return my_query(conn, &cmd, result);
}

rl_err *relay_exec(my_conn *conn, const rl_buf *sql)
{
    my_result *result;
    rl_err *err = relay_rows(conn, sql, &result);
    my_result_free(result);
    return err;
}

rl_err *relay_snapshot(my_conn *conn)
{
    rl_err *err = my_exec(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    return err ? err : my_exec(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
}

int64_t relay_int(const my_result *result, size_t row, int col)
{
    my_value v = my_cell(result, row, col);
    if (v.kind == MY_INT)
        return v.i;
    return v.kind == MY_BYTES ? strtoll(v.s, NULL, 10) : 0; /* a DECIMAL */
}

void relay_put_shards(rl_buf *sql, const bool wanted[RELAY_SHARDS])
{
    int n = 0;
    for (int s = 0; s < RELAY_SHARDS; s++)
        n += wanted[s];
    if (n == RELAY_SHARDS)
        return;
    buf_str(sql, " AND shard IN (-1");
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (wanted[s])
            buf_printf(sql, ",%d", s);
    buf_str(sql, ")");
}
