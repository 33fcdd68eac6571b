#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "mysql/internal.h"

static my_stmt *stmt_find(my_conn *conn, const char *sql, size_t len)
{
    for (my_stmt *stmt = conn->stmts; stmt; stmt = stmt->next)
        if (stmt->len == len && memcmp(stmt->sql, sql, len) == 0)
            return stmt;
    return NULL;
}

static void stmt_close(my_stmt *stmt)
{
    if (stmt->stmt)
        mysql_stmt_close(stmt->stmt);
    stmt->stmt = NULL;
    my_binds_free(stmt->binds);
    stmt->binds = NULL;
}

static void stmt_remove(my_conn *conn, my_stmt *stmt)
{
    my_stmt **p = &conn->stmts;
    while (*p != stmt)
        p = &(*p)->next;
    *p = stmt->next;
    stmt_close(stmt);
    free(stmt->sql);
    free(stmt);
}

static void stmt_evict(my_conn *conn)
{
    int loose = 0;
    my_stmt *oldest = NULL;
    for (my_stmt *stmt = conn->stmts; stmt; stmt = stmt->next) {
        if (stmt->pins)
            continue;
        loose++;
        if (!oldest || stmt->used < oldest->used)
            oldest = stmt;
    }
    if (loose >= MY_CACHE_MAX)
        stmt_remove(conn, oldest);
}

static my_stmt *stmt_add(my_conn *conn, const char *sql, size_t len)
{
    stmt_evict(conn);
    my_stmt *stmt = mem_zero(sizeof *stmt);
    stmt->sql = mem_dup(sql, len);
    stmt->len = len;
    stmt->next = conn->stmts;
    conn->stmts = stmt;
    return stmt;
}

static rl_err *stmt_prepare(my_conn *conn, my_stmt *stmt)
{
    stmt->stmt = mysql_stmt_init(conn->mysql);
    if (!stmt->stmt)
        return my_failed(conn, mysql_errno(conn->mysql), mysql_error(conn->mysql));
    if (mysql_stmt_prepare(stmt->stmt, stmt->sql, (unsigned long)stmt->len) == 0)
        return NULL;
    rl_err *err = my_stmt_failed(conn, stmt);
    stmt_close(stmt);
    return err;
}

static rl_err *stmt_ready(my_conn *conn, const char *sql, size_t len, my_stmt **out)
{
    my_stmt *stmt = stmt_find(conn, sql, len);
    if (!stmt)
        stmt = stmt_add(conn, sql, len);
    stmt->used = ++conn->clock;
    rl_err *err = stmt->stmt ? NULL : stmt_prepare(conn, stmt);
    *out = err ? NULL : stmt;
    if (err && !stmt->pins)
        stmt_remove(conn, stmt);
    return err;
}

rl_err *my_stmt_get(my_conn *conn, const my_cmd *cmd, my_stmt **out)
{
    rl_err *err = stmt_ready(conn, cmd->sql, cmd->len, out);
    if (err)
        return err;
    unsigned long wanted = mysql_stmt_param_count((*out)->stmt);
    if (wanted == (unsigned long)cmd->nparams)
        return NULL;
    return err_new(RL_MYSQL, 0, "PARAMETER_COUNT",
                   "the statement has %lu parameters, %d were given", wanted, cmd->nparams);
}

static void bind_one(MYSQL_BIND *bind, const my_value *cell, unsigned long *length)
{
    switch (cell->kind) {
    case MY_NULL:
        bind->buffer_type = MYSQL_TYPE_NULL;
        break;
    case MY_INT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = (void *)&cell->i;
        break;
    case MY_BOOL: {
        static signed char truth[] = {0, 1};
        bind->buffer_type = MYSQL_TYPE_TINY;
        bind->buffer = &truth[cell->i != 0];
        break;
    }
    case MY_DOUBLE:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = (void *)&cell->d;
        break;
    case MY_BYTES: /* as text where it is text, since JSON takes no binary strings; else as bytes */
        bind->buffer_type = json_is_utf8(cell->s, cell->len) ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
        bind->buffer = (void *)cell->s;
        *length = (unsigned long)cell->len;
        bind->buffer_length = *length;
        bind->length = length;
        break;
    }
}

static rl_err *stmt_execute(my_conn *conn, my_stmt *stmt, const my_cmd *cmd)
{
    size_t n = (size_t)cmd->nparams;
    MYSQL_BIND *binds = mem_zero((n + 1) * sizeof *binds);
    unsigned long *lengths = mem_zero((n + 1) * sizeof *lengths);
    for (size_t i = 0; i < n; i++)
        bind_one(&binds[i], &cmd->params[i], &lengths[i]);
    bool ok = (n == 0 || !mysql_stmt_bind_param(stmt->stmt, binds)) &&
              mysql_stmt_execute(stmt->stmt) == 0;
    rl_err *err = ok ? NULL : my_stmt_failed(conn, stmt);
    free(lengths);
    free(binds);
    return err;
}

/* When the table has got other columns since, MariaDB's client gives up on the rows it was just
 * sent: once more, with a new statement. Only statements with rows come here, so nothing is done
 * twice. */
rl_err *my_stmt_execute(my_conn *conn, my_stmt *stmt, const my_cmd *cmd)
{
    rl_err *err = stmt_execute(conn, stmt, cmd);
    if (!err || err->code != CR_NEW_STMT_METADATA)
        return err;
    err_free(err);
    stmt_close(stmt);
    err = stmt_prepare(conn, stmt);
    return err ? err : stmt_execute(conn, stmt, cmd);
}

void my_stmts_drop(my_conn *conn)
{
    for (my_stmt *stmt = conn->stmts, *next; stmt; stmt = next) {
        next = stmt->next;
        if (stmt->pins)
            stmt_close(stmt);
        else
            stmt_remove(conn, stmt);
    }
}

void my_stmts_free(my_conn *conn)
{
    while (conn->stmts)
        stmt_remove(conn, conn->stmts);
}

rl_err *my_pin(my_conn *conn, const char *sql, size_t len)
{
    my_stmt *stmt;
    rl_err *err = my_begin(conn, my_call_limit(conn));
    if (err)
        return err;
    if (conn->cursor)
        err = err_new(RL_MYSQL, 2014, "CR_COMMANDS_OUT_OF_SYNC",
                      "this connection is streaming the rows of another statement");
    else
        err = stmt_ready(conn, sql, len, &stmt);
    my_end(conn);
    if (!err)
        stmt->pins++;
    return err;
}

void my_unpin(my_conn *conn, const char *sql, size_t len)
{
    my_stmt *stmt = stmt_find(conn, sql, len);
    rl_assert(!stmt || stmt->pins >= 0);
    if (stmt && stmt->pins)
        stmt->pins--;
}
