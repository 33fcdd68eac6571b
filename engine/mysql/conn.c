#include "mysql/conn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mysql/errors.h"
#include "mysql/internal.h"

static const char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

my_opts my_opts_copy(const my_opts *opts)
{
    my_opts o = *opts;
    o.host = mem_strdup(opts->host ? opts->host : "127.0.0.1");
    o.socket = copy(opts->socket);
    o.user = copy(opts->user);
    o.password = copy(opts->password);
    o.database = copy(opts->database);
    o.ca = copy(opts->ca);
    return o;
}

void my_opts_free(my_opts *o)
{
    const char *strings[] = {o->host, o->socket, o->user, o->password, o->database, o->ca};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free((char *)strings[i]);
}

my_conn *my_conn_new(const my_opts *opts)
{
    my_conn *conn = mem_zero(sizeof *conn);
    conn->opts = my_opts_copy(opts);
    conn->broken = mem_strdup("not connected yet");
    conn->fd = -1;
    my_watch_init(&conn->watch);
    return conn;
}

static int socket_of(MYSQL *mysql)
{
#ifdef MARIADB_PACKAGE_VERSION
    return (int)mysql_get_socket(mysql);
#else
    return (int)mysql->net.fd;
#endif
}

static void forget(char **text)
{
    free(*text);
    *text = NULL;
}

void my_break(my_conn *conn, const char *why)
{
    if (!conn->broken)
        conn->broken = mem_strdup(why);
    if (conn->fd >= 0)
        shutdown(conn->fd, SHUT_RDWR);
}

static void hang_up(my_conn *conn)
{
    if (!conn->mysql)
        return;
    if (conn->cursor) {
        my_break(conn, "closed");
        err_free(my_close(conn->cursor));
    }
    my_stmts_drop(conn);
    mysql_close(conn->mysql);
    conn->mysql = NULL;
    my_watch_fd(&conn->watch, -1);
    close(conn->fd);
    conn->fd = -1;
}

void my_conn_free(my_conn *conn)
{
    if (!conn)
        return;
    my_watch_disarm(&conn->watch);
    hang_up(conn);
    my_stmts_free(conn);
    my_opts_free(&conn->opts);
    free(conn->version);
    free(conn->broken);
    free(conn);
}

/* The library closes its socket by itself when the connection fails, and the number may then be
 * another socket's: we shut down by a descriptor of our own. */
static void adopt(my_conn *conn, MYSQL *mysql)
{
    conn->mysql = mysql;
    conn->fd = fcntl(socket_of(mysql), F_DUPFD_CLOEXEC, 0);
    conn->id = mysql_thread_id(mysql);
    forget(&conn->version);
    conn->version = mem_strdup(mysql_get_server_info(mysql));
    forget(&conn->broken);
    my_watch_fd(&conn->watch, conn->fd);
}

rl_err *my_conn_connect(my_conn *conn)
{
    MYSQL *mysql = NULL;
    hang_up(conn);
    my_watch_forget(&conn->watch);
    rl_err *err = my_dial(conn, &mysql);
    if (!err) {
        adopt(conn, mysql);
        return NULL;
    }
    forget(&conn->broken);
    conn->broken = mem_strdup(err->msg);
    return err;
}

void my_conn_cancel(my_conn *conn)
{
    my_watch_cancel(&conn->watch);
    my_dial_wake();
}

unsigned long my_conn_id(const my_conn *conn)
{
    return conn->id;
}

const char *my_conn_version(const my_conn *conn)
{
    return conn->version ? conn->version : "";
}

/* A cancel may come when its call has just ended: the socket is shut down all the same. */
const char *my_conn_broken(my_conn *conn)
{
    if (!conn->broken && my_watch_cancelled(&conn->watch))
        my_break(conn, "a call was cancelled");
    return conn->broken;
}

bool my_conn_in_transaction(const my_conn *conn)
{
    return conn->mysql && !conn->broken && (conn->mysql->server_status & SERVER_STATUS_IN_TRANS);
}

const my_opts *my_conn_opts(const my_conn *conn)
{
    return &conn->opts;
}

/* ---- around every call ---- */

double my_call_limit(const my_conn *conn)
{
    const my_opts *o = &conn->opts;
    return o->read_timeout > 0 ? o->read_timeout + (o->write_timeout > 0 ? o->write_timeout : 0)
                               : 0;
}

static rl_err *usable(my_conn *conn)
{
    if (!my_conn_broken(conn))
        return NULL;
    rl_err *err = err_new(RL_MYSQL, 0, "BROKEN",
                          "the connection is broken (%s); reconnect() mends it", conn->broken);
    err->retriable = err->fatal = true;
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
    my_watch_disarm(&conn->watch);
}

static rl_err *late(void)
{
    rl_err *err = err_new(RL_MYSQL, 2013, "TIMEOUT",
                          "no answer in time; whether the statement was carried out is unknown");
    err->retriable = err->fatal = true;
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

rl_err *my_conn_ping(my_conn *conn)
{
    rl_err *err = my_begin(conn, my_call_limit(conn));
    if (err)
        return err;
    if (mysql_ping(conn->mysql) != 0)
        return my_failed(conn, mysql_errno(conn->mysql), mysql_error(conn->mysql));
    my_end(conn);
    return NULL;
}
