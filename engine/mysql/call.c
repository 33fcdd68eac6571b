/* Around every call to the server: its deadline, and what its failure means. */
#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "mysql/errors.h"
#include "mysql/internal.h"

void my_break(my_conn *conn, const char *why)
{
    if (!conn->broken)
        conn->broken = mem_strdup(why);
    if (conn->fd >= 0)
        shutdown(conn->fd, SHUT_RDWR);
}

/* A cancel may come when its call has just ended: the socket is shut down all the same. */
static const char *broken_by_us(my_conn *conn)
{
    if (!conn->broken && my_watch_cancelled(&conn->watch))
        my_break(conn, "a call was cancelled");
    return conn->broken;
}

/* Between calls a server says nothing but that it goes: its last error, then the end. With TLS what
 * can be read may be a session ticket, and only the end counts. */
static bool hung_up(const my_conn *conn)
{
    char byte;
    if (conn->fd < 0 || conn->cursor)
        return false;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0)
        return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    return n == 0 || conn->opts.tls == MY_TLS_OFF;
}

const char *my_conn_broken(my_conn *conn)
{
    if (!broken_by_us(conn) && hung_up(conn))
        my_break(conn, "the server has closed it");
    return conn->broken;
}

double my_call_limit(const my_conn *conn)
{
    const my_opts *opts = &conn->opts;
    return opts->read_timeout > 0
               ? opts->read_timeout + (opts->write_timeout > 0 ? opts->write_timeout : 0)
               : 0;
}

static rl_err *usable(my_conn *conn)
{
    if (!broken_by_us(conn))
        return NULL;
    rl_err *err = err_new(RL_MYSQL, 0, "BROKEN",
                          "the connection is broken (%s); reconnect() mends it", conn->broken);
    err->fatal = true;
    return err;
}

rl_err *my_begin(my_conn *conn, double seconds)
{
    static _Thread_local bool known_to_library;
    rl_err *err = usable(conn);
    if (err)
        return err;
    if (!known_to_library)
        known_to_library = mysql_thread_init() == 0;
    my_watch_arm(&conn->watch, seconds);
    return NULL;
}

void my_end(my_conn *conn)
{
    rl_assert(!conn->mysql || conn->fd >= 0);
    my_watch_disarm(&conn->watch);
}

static rl_err *late(void)
{
    rl_err *err = err_new(RL_MYSQL, 2013, "TIMEOUT",
                          "no answer in time; whether the statement was carried out is unknown");
    err->fatal = true;
    return err;
}

rl_err *my_failed(my_conn *conn, unsigned code, const char *text)
{
    rl_err *err;
    my_watch_disarm(&conn->watch);
    if (my_watch_cancelled(&conn->watch))
        err = err_lab("CANCELLED", "the call was cancelled");
    else if (my_watch_expired(&conn->watch))
        err = late();
    else
        err = my_code_err((int)code, text && *text ? text : "no message");
    if (my_watch_cancelled(&conn->watch) || err->fatal)
        my_break(conn, err->msg);
    return err;
}

rl_err *my_stmt_failed(my_conn *conn, const my_stmt *stmt)
{
    return my_failed(conn, mysql_stmt_errno(stmt->stmt), mysql_stmt_error(stmt->stmt));
}
