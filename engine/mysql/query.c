#include "mysql/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mysql/errors.h"
#include "mysql/internal.h"

enum { SKIP_ROWS = 5000 };

struct my_cursor {
    my_conn *conn;
    my_stmt *stmt;  /* NULL: text */
    MYSQL_RES *res; /* of text: the rows; of a statement: their description */
    MYSQL_FIELD *fields;
    int ncols;
    my_form *forms;
    uint64_t serial;
    bool rows_left, sets_left;
    uint64_t affected, insert_id;
    unsigned warnings;
};

static rl_err *failed(my_cursor *c)
{
    MYSQL *m = c->conn->mysql;
    return c->stmt && mysql_stmt_errno(c->stmt->stmt)
               ? my_stmt_failed(c->conn, c->stmt)
               : my_failed(c->conn, mysql_errno(m), mysql_error(m));
}

/* ---- result sets ---- */

static void leave_set(my_cursor *c)
{
    c->rows_left = false;
    free(c->forms);
    c->forms = NULL;
    if (c->res)
        mysql_free_result(c->res);
    c->res = NULL;
    c->fields = NULL;
    c->ncols = 0;
}

static void note_counts(my_cursor *c)
{
    MYSQL *m = c->conn->mysql;
    c->affected = c->stmt ? mysql_stmt_affected_rows(c->stmt->stmt) : mysql_affected_rows(m);
    c->insert_id = c->stmt ? mysql_stmt_insert_id(c->stmt->stmt) : mysql_insert_id(m);
    c->warnings = mysql_warning_count(m);
}

static rl_err *describe(my_cursor *c)
{
    c->fields = mysql_fetch_fields(c->res);
    c->ncols = (int)mysql_num_fields(c->res);
    c->rows_left = true;
    c->forms = mem_alloc((size_t)c->ncols * sizeof *c->forms);
    for (int i = 0; i < c->ncols; i++)
        c->forms[i] = my_form_of(&c->fields[i]);
    return c->stmt ? my_binds_open(c->conn, c->stmt, c->fields, c->ncols) : NULL;
}

/* The set that the server has just announced: rows, or counts. */
static rl_err *enter_set(my_cursor *c)
{
    MYSQL *m = c->conn->mysql;
    unsigned n = c->stmt ? mysql_stmt_field_count(c->stmt->stmt) : mysql_field_count(m);
    if (n == 0) {
        note_counts(c);
        return NULL;
    }
    c->res = c->stmt ? mysql_stmt_result_metadata(c->stmt->stmt) : mysql_use_result(m);
    return c->res ? describe(c) : failed(c);
}

static rl_err *next_set(my_cursor *c, bool *there)
{
    leave_set(c);
    *there = false;
    if (c->conn->broken)
        return NULL;
    int rc = c->stmt ? mysql_stmt_next_result(c->stmt->stmt) : mysql_next_result(c->conn->mysql);
    if (rc > 0)
        return failed(c);
    *there = rc == 0;
    return rc == 0 ? enter_set(c) : NULL;
}

/* ---- rows ---- */

static void put_row(const my_cursor *c, my_result *r, MYSQL_ROW row)
{
    unsigned long *lengths = mysql_fetch_lengths(c->res);
    my_value *cells = my_result_row(r);
    for (int i = 0; i < c->ncols; i++)
        if (row[i])
            my_put_text(r, &cells[i], c->forms[i], row[i], lengths[i]);
}

/* r NULL: the row is skipped. 1: a row, 0: no more, -1: failed */
static int read_row(my_cursor *c, my_result *r)
{
    if (c->stmt)
        return my_binds_fetch(c->stmt->binds, r);
    MYSQL_ROW row = mysql_fetch_row(c->res);
    if (!row)
        return mysql_errno(c->conn->mysql) ? -1 : 0;
    if (r)
        put_row(c, r, row);
    return 1;
}

static rl_err *read_rows(my_cursor *c, my_result *r, size_t max_rows, size_t max_bytes)
{
    while (c->rows_left && r->nrows < max_rows && r->bytes.len < max_bytes) {
        int got = read_row(c, r);
        if (got > 0)
            continue;
        c->rows_left = false;
        if (got < 0)
            return failed(c);
        c->warnings = mysql_warning_count(c->conn->mysql);
    }
    return NULL;
}

/* ---- cursors ---- */

static rl_err *busy(void)
{
    return err_new(RL_MYSQL, 2014, "CR_COMMANDS_OUT_OF_SYNC",
                   "this connection is streaming the rows of another statement; end that loop "
                   "first or use a second connection");
}

static rl_err *send_cmd(my_cursor *c, const my_cmd *cmd)
{
    MYSQL *m = c->conn->mysql;
    if (cmd->nparams || cmd->prepared) {
        rl_err *err = my_stmt_get(c->conn, cmd, &c->stmt);
        return err ? err : my_stmt_execute(c->conn, c->stmt, cmd);
    }
    return mysql_real_query(m, cmd->sql, (unsigned long)cmd->len) == 0
               ? NULL
               : my_failed(c->conn, mysql_errno(m), mysql_error(m));
}

rl_err *my_open(my_conn *conn, const my_cmd *cmd, my_cursor **out)
{
    if (conn->cursor && conn->cursor->serial == conn->abandoned)
        err_free(my_close(conn->cursor));
    if (conn->cursor)
        return my_conn_broken(conn) ? my_begin(conn, 0) : busy();
    rl_err *err = my_begin(conn, my_call_limit(conn));
    if (err)
        return err;
    my_cursor *c = mem_zero(sizeof *c);
    c->conn = conn;
    c->serial = ++conn->serials;
    err = send_cmd(c, cmd);
    c->sets_left = !err;
    conn->cursor = c;
    if (!err)
        err = enter_set(c);
    my_end(conn);
    if (err) {
        c->rows_left = c->sets_left = false; /* what was sent is freed unread */
        err_free(my_close(c));
        c = NULL;
    }
    *out = c;
    return err;
}

static void copy_counts(my_result *r, const my_cursor *c)
{
    r->affected = c->affected;
    r->insert_id = c->insert_id;
    r->warnings = c->warnings;
}

rl_err *my_fetch(my_cursor *c, size_t max_rows, size_t max_bytes, my_result **out)
{
    *out = NULL;
    if (!c->rows_left)
        return NULL;
    rl_err *err = my_begin(c->conn, my_call_limit(c->conn));
    if (err)
        return err;
    my_result *r = my_result_new(c->fields, c->ncols);
    err = read_rows(c, r, max_rows, max_bytes);
    my_end(c->conn);
    copy_counts(r, c);
    if (err || r->nrows == 0) {
        my_result_free(r);
        r = NULL;
    }
    *out = r;
    return err;
}

/* True when the rows came to their end within the limit. */
static bool skip_rows(my_cursor *c, size_t limit)
{
    for (size_t n = 0; c->rows_left && n < limit; n++)
        if (read_row(c, NULL) <= 0)
            c->rows_left = false;
    return !c->rows_left;
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
static rl_err *skip_set(my_cursor *c)
{
    if (skip_rows(c, SKIP_ROWS))
        return NULL;
    my_end(c->conn);
    rl_err *err = kill_from_aside(c->conn);
    if (err) {
        my_break(c->conn, "the rest of a result could not be skipped");
        return err;
    }
    err = my_begin(c->conn, my_call_limit(c->conn));
    if (!err)
        skip_rows(c, SIZE_MAX);
    return err;
}

static rl_err *skip_all(my_cursor *c)
{
    bool there = c->sets_left;
    rl_err *err = my_begin(c->conn, my_call_limit(c->conn));
    while (!err && there) {
        err = skip_set(c);
        if (!err)
            err = next_set(c, &there);
    }
    my_end(c->conn);
    return err;
}

rl_err *my_close(my_cursor *c)
{
    my_conn *conn = c->conn;
    rl_err *err = c->sets_left && !conn->broken ? skip_all(c) : NULL;
    leave_set(c);
    if (c->stmt && c->stmt->stmt)
        mysql_stmt_free_result(c->stmt->stmt);
    conn->cursor = NULL;
    free(c);
    return err;
}

uint64_t my_serial(const my_cursor *c)
{
    return c->serial;
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

static rl_err *read_set(my_cursor *c, my_result **tail)
{
    my_result *r = my_result_new(c->fields, c->ncols);
    *tail = r;
    rl_err *err = NULL;
    while (
        !err &&
        c->rows_left) { /* the deadline is for each part, as a long result is not a silent server */
        my_watch_arm(&c->conn->watch, my_call_limit(c->conn));
        err = read_rows(c, r, r->nrows + 10000, SIZE_MAX);
    }
    my_end(c->conn);
    copy_counts(r, c);
    return err;
}

static rl_err *read_sets(my_cursor *c, my_result **first)
{
    my_result **tail = first;
    bool there = true;
    rl_err *err = NULL;
    while (!err && there) {
        if (c->ncols || !*first) {
            err = read_set(c, tail);
            tail = &(*tail)->next;
        }
        if (err)
            break;
        my_watch_arm(&c->conn->watch, my_call_limit(c->conn));
        err = next_set(c, &there);
        my_end(c->conn);
    }
    c->sets_left = there && !err;
    return err;
}

rl_err *my_query(my_conn *conn, const my_cmd *cmd, my_result **result)
{
    my_cursor *c;
    *result = NULL;
    rl_err *err = my_open(conn, cmd, &c);
    if (err)
        return err;
    err = read_sets(c, result);
    if (err) {
        my_result_free(*result);
        *result = NULL;
    }
    rl_err *second = my_close(c);
    if (err)
        err_free(second);
    return err ? err : second;
}

rl_err *my_exec(my_conn *conn, const char *sql)
{
    my_result *r;
    my_cmd cmd = {.sql = sql, .len = strlen(sql)};
    rl_err *err = my_query(conn, &cmd, &r);
    my_result_free(r);
    return err;
}

rl_err *my_kill(my_conn *conn, unsigned long id, bool connection)
{
    char sql[48];
    snprintf(sql, sizeof sql, "KILL %s %lu", connection ? "CONNECTION" : "QUERY", id);
    return my_exec(conn, sql);
}
