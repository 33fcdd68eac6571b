#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include "mysql/internal.h"

static my_stmt *find(my_conn *conn, const char *sql, size_t len)
{
    for (my_stmt *s = conn->stmts; s; s = s->next)
        if (s->len == len && memcmp(s->sql, sql, len) == 0)
            return s;
    return NULL;
}

static void close_stmt(my_stmt *s)
{
    if (s->stmt)
        mysql_stmt_close(s->stmt);
    s->stmt = NULL;
    my_binds_free(s->binds);
    s->binds = NULL;
}

static void remove_stmt(my_conn *conn, my_stmt *s)
{
    my_stmt **p = &conn->stmts;
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    close_stmt(s);
    free(s->sql);
    free(s);
}

static void evict(my_conn *conn)
{
    int loose = 0;
    my_stmt *oldest = NULL;
    for (my_stmt *s = conn->stmts; s; s = s->next) {
        if (s->pins)
            continue;
        loose++;
        if (!oldest || s->used < oldest->used)
            oldest = s;
    }
    if (loose >= MY_CACHE_MAX)
        remove_stmt(conn, oldest);
}

static my_stmt *add(my_conn *conn, const char *sql, size_t len)
{
    evict(conn);
    my_stmt *s = mem_zero(sizeof *s);
    s->sql = mem_dup(sql, len);
    s->len = len;
    s->next = conn->stmts;
    conn->stmts = s;
    return s;
}

rl_err *my_stmt_failed(my_conn *conn, const my_stmt *s)
{
    return my_failed(conn, mysql_stmt_errno(s->stmt), mysql_stmt_error(s->stmt));
}

static rl_err *prepare(my_conn *conn, my_stmt *s)
{
    s->stmt = mysql_stmt_init(conn->mysql);
    if (!s->stmt)
        return my_failed(conn, mysql_errno(conn->mysql), mysql_error(conn->mysql));
    if (mysql_stmt_prepare(s->stmt, s->sql, (unsigned long)s->len) == 0)
        return NULL;
    rl_err *err = my_stmt_failed(conn, s);
    close_stmt(s);
    return err;
}

static rl_err *ready(my_conn *conn, const char *sql, size_t len, my_stmt **out)
{
    my_stmt *s = find(conn, sql, len);
    if (!s)
        s = add(conn, sql, len);
    s->used = ++conn->clock;
    rl_err *err = s->stmt ? NULL : prepare(conn, s);
    *out = err ? NULL : s;
    if (err && !s->pins)
        remove_stmt(conn, s);
    return err;
}

rl_err *my_stmt_get(my_conn *conn, const my_cmd *cmd, my_stmt **out)
{
    rl_err *err = ready(conn, cmd->sql, cmd->len, out);
    if (err)
        return err;
    unsigned long wanted = mysql_stmt_param_count((*out)->stmt);
    if (wanted == (unsigned long)cmd->nparams)
        return NULL;
    return err_new(RL_MYSQL, 0, "PARAMETER_COUNT",
                   "the statement has %lu parameters, %d were given", wanted, cmd->nparams);
}

static void bind_one(MYSQL_BIND *bind, const my_value *v, unsigned long *length)
{
    switch (v->kind) {
    case MY_NULL:
        bind->buffer_type = MYSQL_TYPE_NULL;
        break;
    case MY_INT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = (void *)&v->i;
        break;
    case MY_BOOL: {
        static signed char truth[] = {0, 1};
        bind->buffer_type = MYSQL_TYPE_TINY;
        bind->buffer = &truth[v->i != 0];
        break;
    }
    case MY_DOUBLE:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = (void *)&v->d;
        break;
    case MY_BYTES: /* as text where it is text, since JSON takes no binary strings; else as bytes */
        bind->buffer_type = my_is_utf8(v->s, v->len) ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
        bind->buffer = (void *)v->s;
        *length = (unsigned long)v->len;
        bind->buffer_length = *length;
        bind->length = length;
        break;
    }
}

static rl_err *execute(my_conn *conn, my_stmt *s, const my_cmd *cmd)
{
    size_t n = (size_t)cmd->nparams;
    MYSQL_BIND *binds = mem_zero((n + 1) * sizeof *binds);
    unsigned long *lengths = mem_zero((n + 1) * sizeof *lengths);
    for (size_t i = 0; i < n; i++)
        bind_one(&binds[i], &cmd->params[i], &lengths[i]);
    bool ok =
        (n == 0 || !mysql_stmt_bind_param(s->stmt, binds)) && mysql_stmt_execute(s->stmt) == 0;
    rl_err *err = ok ? NULL : my_stmt_failed(conn, s);
    free(lengths);
    free(binds);
    return err;
}

/* When the table has got other columns since, MariaDB's client gives up on the rows it was just
 * sent: once more, with a new statement. Only statements with rows come here, so nothing is done
 * twice. */
rl_err *my_stmt_execute(my_conn *conn, my_stmt *s, const my_cmd *cmd)
{
    rl_err *err = execute(conn, s, cmd);
    if (!err || err->code != CR_NEW_STMT_METADATA)
        return err;
    err_free(err);
    close_stmt(s);
    err = prepare(conn, s);
    return err ? err : execute(conn, s, cmd);
}

void my_stmts_drop(my_conn *conn)
{
    for (my_stmt *s = conn->stmts, *next; s; s = next) {
        next = s->next;
        if (s->pins)
            close_stmt(s);
        else
            remove_stmt(conn, s);
    }
}

void my_stmts_free(my_conn *conn)
{
    while (conn->stmts)
        remove_stmt(conn, conn->stmts);
}

rl_err *my_pin(my_conn *conn, const char *sql, size_t len)
{
    my_stmt *s;
    rl_err *err = my_begin(conn, my_call_limit(conn));
    if (err)
        return err;
    if (conn->cursor)
        err = err_new(RL_MYSQL, 2014, "CR_COMMANDS_OUT_OF_SYNC",
                      "this connection is streaming the rows of another statement");
    else
        err = ready(conn, sql, len, &s);
    my_end(conn);
    if (!err)
        s->pins++;
    return err;
}

void my_unpin(my_conn *conn, const char *sql, size_t len)
{
    my_stmt *s = find(conn, sql, len);
    if (s && s->pins)
        s->pins--;
}
