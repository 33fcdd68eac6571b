/* Holes in the ids: is an open transaction going to fill them?
 *
 * An id that was handed out belongs to a transaction that is open, or has committed, or is gone.
 * So: read the highest id there is, wait a moment (a writer gets its ids just before InnoDB
 * lists it), note which transactions are writing; when all of them have ended, every hole up to
 * that id is settled: what is not in the table now never will be. One look settles all holes
 * below, so a table full of holes costs no more than one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "flow/relay/internal.h"

enum { GRACE_MS = 10, LOOK_MS = 110, STALE_MS = 150, ACCESS_DENIED = 1227 };

/* InnoDB's number of a transaction that has written nothing is made of its address, beyond this. */
static const int64_t first_reader = INT64_C(1) << 48;

static int64_t ms_since(int64_t ns)
{
    return (clock_ns() - ns) / 1000000;
}

static rl_err *gap_ask(my_conn *conn, relay_gap *gap)
{
    my_result *result;
    rl_buf sql = {0};
    buf_str(&sql, "SELECT MAX(id) FROM outbox_event");
    rl_err *err = relay_rows(conn, &sql, &result);
    buf_free(&sql);
    if (err)
        return err;
    gap->target = result->nrows ? relay_int(result, 0, 0) : 0;
    gap->asked_ns = clock_ns();
    gap->seen = false;
    my_result_free(result);
    return NULL;
}

/* The server keeps this list for 100 ms, from whenever anybody looked. A fresh one shows us with
 * the very text of this look. */
static rl_err *list_writers(my_conn *conn, relay_gap *gap, my_result **result)
{
    rl_buf sql = {0};
    rl_err *err = relay_snapshot(conn);
    buf_printf(&sql,
               "SELECT trx_id, trx_mysql_thread_id = CONNECTION_ID(), "
               "LOCATE('look %lld', trx_query) FROM information_schema.innodb_trx",
               (long long)++gap->nonce);
    if (!err)
        err = relay_rows(conn, &sql, result);
    if (!err)
        err = my_exec(conn, "COMMIT");
    buf_free(&sql);
    return err;
}

static bool gap_list_is_fresh(const my_result *result)
{
    for (size_t i = 0; i < result->nrows; i++)
        if (relay_int(result, i, 1) && relay_int(result, i, 2))
            return true;
    return false;
}

static bool was_writing(const relay_gap *gap, uint64_t trx)
{
    for (int i = 0; i < gap->nwriters; i++)
        if (gap->writers[i] == trx)
            return true;
    return false;
}

/* Those of the first look that are still there. */
static void note_writers(relay_gap *gap, const my_result *result)
{
    uint64_t *still = mem_alloc((result->nrows + 1) * sizeof *still);
    int n = 0;
    for (size_t i = 0; i < result->nrows; i++) {
        int64_t trx = relay_int(result, i, 0);
        if (trx >= first_reader || relay_int(result, i, 1))
            continue;
        if (!gap->seen || was_writing(gap, (uint64_t)trx))
            still[n++] = (uint64_t)trx;
    }
    free(gap->writers);
    gap->writers = still;
    gap->nwriters = n;
    gap->seen = true;
}

rl_err *relay_gap_settle(flow_relay *relay, my_conn *conn, relay_gap *gap)
{
    my_result *result;
    if (relay->opts.gaps != RELAY_GAPS_SAFE || gap->refused)
        return NULL;
    if (!gap->target)
        return gap_ask(conn, gap);
    if (ms_since(gap->asked_ns) < GRACE_MS || clock_ns() < gap->look_ns)
        return NULL;
    rl_err *err = list_writers(conn, gap, &result);
    gap->look_ns = clock_ns() + (int64_t)LOOK_MS * 1000000;
    if (err && err->code == ACCESS_DENIED && relay->opts.mark != RELAY_CURSOR) {
        gap->refused = true; /* nothing is ever settled: each poll looks below too */
        err_free(err);
        return my_exec(conn, "ROLLBACK");
    }
    if (err)
        return err;
    if (gap_list_is_fresh(result))
        note_writers(gap, result);
    else /* another client looks as often as we do: out of step with it */
        gap->look_ns += clock_ns() % ((int64_t)STALE_MS * 1000000);
    my_result_free(result);
    if (gap->seen && gap->nwriters == 0) {
        gap->settled = gap->target;
        gap->target = 0;
    }
    return NULL;
}

/* The last id of the first hole in sight; 0: none. */
static int64_t first_hole(const int64_t *ids, int n, int64_t after)
{
    for (int i = 0; i < n; after = ids[i++])
        if (ids[i] != after + 1)
            return ids[i] - 1;
    return 0;
}

/* Wrong on purpose: waits, and takes it that the hole was a rollback then. */
static int64_t waited_for(flow_relay *relay, relay_gap *gap, int64_t hole)
{
    if (hole && hole != gap->hole) {
        gap->hole = hole;
        gap->hole_ns = clock_ns();
    }
    bool over = hole && (double)(clock_ns() - gap->hole_ns) >= relay->opts.gap_wait * 1e9;
    if (over)
        gap->settled = hole;
    return gap->settled;
}

int64_t relay_gap_settled(flow_relay *relay, relay_gap *gap, const int64_t *ids, int n,
                          int64_t after)
{
    if (relay->opts.gaps == RELAY_GAPS_IGNORE)
        return INT64_MAX;
    if (relay->opts.gaps == RELAY_GAPS_WAIT)
        return waited_for(relay, gap, first_hole(ids, n, after));
    return gap->settled;
}
