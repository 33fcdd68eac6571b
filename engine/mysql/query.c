#include "mysql/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "mysql/internal.h"

enum { SKIP_ROWS = 5000 };

static rl_err *query_busy(void)
{
    return err_new(RL_MYSQL, 2014, "CR_COMMANDS_OUT_OF_SYNC",
                   "this connection is streaming the rows of another statement; end that loop "
                   "first or use a second connection");
}

static rl_err *query_send(my_cursor *cursor, const my_cmd *cmd)
{
    MYSQL *mysql = cursor->conn->mysql;
    if (cmd->nparams || cmd->prepared) {
        rl_err *err = my_stmt_get(cursor->conn, cmd, &cursor->stmt);
        return err ? err : my_stmt_execute(cursor->conn, cursor->stmt, cmd);
    }
    return mysql_real_query(mysql, cmd->sql, (unsigned long)cmd->len) == 0
               ? NULL
               : my_failed(cursor->conn, mysql_errno(mysql), mysql_error(mysql));
}

rl_err *my_open(my_conn *conn, const my_cmd *cmd, my_cursor **out)
{
    if (conn->cursor && conn->cursor->serial == conn->abandoned)
        err_free(my_close(conn->cursor));
    if (conn->cursor)
        return my_conn_broken(conn) ? my_begin(conn, 0) : query_busy();
    rl_err *err = my_begin(conn, my_call_limit(conn));
    if (err)
        return err;
    my_cursor *cursor = mem_zero(sizeof *cursor);
    cursor->conn = conn;
    cursor->serial = ++conn->serials;
    err = query_send(cursor, cmd);
    cursor->sets_left = !err;
    conn->cursor = cursor;
    if (!err)
        err = my_cursor_enter_set(cursor);
    my_end(conn);
    if (err) {
        cursor->rows_left = cursor->sets_left = false; /* what was sent is freed unread */
        err_free(my_close(cursor));
        cursor = NULL;
    }
    *out = cursor;
    return err;
}

static void copy_counts(my_result *result, const my_cursor *cursor)
{
    result->affected = cursor->affected;
    result->insert_id = cursor->insert_id;
    result->warnings = cursor->warnings;
}

rl_err *my_fetch(my_cursor *cursor, size_t max_rows, size_t max_bytes, my_result **out)
{
    *out = NULL;
    if (!cursor->rows_left)
        return NULL;
    rl_err *err = my_begin(cursor->conn, my_call_limit(cursor->conn));
    if (err)
        return err;
    my_result *result = my_result_new(cursor->fields, cursor->ncols);
    err = my_cursor_read_rows(cursor, result, max_rows, max_bytes);
    my_end(cursor->conn);
    copy_counts(result, cursor);
    if (err) {
        my_result_free(result);
        result = NULL;
    }
    *out = result;
    return err;
}

/* True when the rows came to their end within the limit. */
static bool skip_rows(my_cursor *cursor, size_t limit)
{
    for (size_t n = 0; cursor->rows_left && n < limit; n++)
        if (my_cursor_read_row(cursor, NULL) <= 0)
            cursor->rows_left = false;
    return !cursor->rows_left;
}

static rl_err *kill_from_aside(my_conn *conn)
{
    my_conn *aside = my_conn_new(&conn->opts);
    rl_err *err = my_conn_connect(aside);
    if (!err)
        err = my_kill(aside, conn->id, false);
    my_conn_free(aside);
    return err;
}

/* Much that nobody wants is cheaper to stop at the server; where that fails the connection is
 * given up. */
static rl_err *skip_set(my_cursor *cursor)
{
    if (skip_rows(cursor, SKIP_ROWS))
        return NULL;
    my_end(cursor->conn);
    rl_err *err = kill_from_aside(cursor->conn);
    if (err) {
        my_break(cursor->conn, "the rest of a result could not be skipped");
        return err;
    }
    err = my_begin(cursor->conn, my_call_limit(cursor->conn));
    if (!err)
        skip_rows(cursor, SIZE_MAX);
    return err;
}

static rl_err *skip_all(my_cursor *cursor)
{
    rl_assert(cursor->conn->cursor == cursor);
    bool there = cursor->sets_left;
    rl_err *err = my_begin(cursor->conn, my_call_limit(cursor->conn));
    while (!err && there) {
        err = skip_set(cursor);
        if (!err)
            err = my_cursor_next_set(cursor, &there);
    }
    my_end(cursor->conn);
    return err;
}

rl_err *my_close(my_cursor *cursor)
{
    my_conn *conn = cursor->conn;
    rl_err *err = cursor->sets_left && !conn->broken ? skip_all(cursor) : NULL;
    my_cursor_free(cursor);
    return err;
}

uint64_t my_serial(const my_cursor *cursor)
{
    return cursor->serial;
}

my_cursor *my_find(my_conn *conn, uint64_t serial)
{
    return conn->cursor && conn->cursor->serial == serial ? conn->cursor : NULL;
}

void my_abandon(my_conn *conn, uint64_t serial)
{
    conn->abandoned = serial;
}

/* ---- whole results ---- */

static rl_err *read_set(my_cursor *cursor, my_result **tail)
{
    my_result *result = my_result_new(cursor->fields, cursor->ncols);
    *tail = result;
    rl_err *err = NULL;
    while (
        !err &&
        cursor
            ->rows_left) { /* the deadline is for each part, as a long result is not a silent server */
        my_watch_arm(&cursor->conn->watch, my_call_limit(cursor->conn));
        err = my_cursor_read_rows(cursor, result, result->nrows + 10000, SIZE_MAX);
    }
    my_end(cursor->conn);
    copy_counts(result, cursor);
    return err;
}

static rl_err *read_sets(my_cursor *cursor, my_result **first)
{
    my_result **tail = first;
    bool there = true;
    rl_err *err = NULL;
    while (!err && there) {
        if (cursor->ncols || !*first) {
            err = read_set(cursor, tail);
            tail = &(*tail)->next;
        }
        if (err)
            break;
        my_watch_arm(&cursor->conn->watch, my_call_limit(cursor->conn));
        err = my_cursor_next_set(cursor, &there);
        my_end(cursor->conn);
    }
    cursor->sets_left = there && !err;
    return err;
}

rl_err *my_query(my_conn *conn, const my_cmd *cmd, my_result **result)
{
    my_cursor *cursor;
    *result = NULL;
    rl_err *err = my_open(conn, cmd, &cursor);
    if (err)
        return err;
    err = read_sets(cursor, result);
    if (err) {
        my_result_free(*result);
        *result = NULL;
    }
    rl_err *second = my_close(cursor);
    if (err)
        err_free(second);
    return err ? err : second;
}

rl_err *my_exec(my_conn *conn, const char *sql)
{
    my_result *result;
    my_cmd cmd = {.sql = sql, .len = strlen(sql)};
    rl_err *err = my_query(conn, &cmd, &result);
    my_result_free(result);
    return err;
}

rl_err *my_kill(my_conn *conn, unsigned long id, bool connection)
{
    char sql[48];
    snprintf(sql, sizeof sql, "KILL %s %lu", connection ? "CONNECTION" : "QUERY", id);
    return my_exec(conn, sql);
}
