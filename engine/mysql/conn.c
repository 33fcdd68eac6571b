#include "mysql/conn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mysql/errors.h"
#include "mysql/internal.h"

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

static void conn_hang_up(my_conn *conn)
{
    if (!conn->mysql)
        return;
    if (conn->cursor) {
        my_break(conn, "closed");
        my_cursor_free(conn->cursor);
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
    conn_hang_up(conn);
    my_stmts_free(conn);
    my_opts_free(&conn->opts);
    free(conn->version);
    free(conn->broken);
    free(conn);
}

/* The library closes its socket by itself when the connection fails, and the number may then be
 * another socket's: we shut down by a descriptor of our own. */
static void conn_adopt(my_conn *conn, MYSQL *mysql)
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
    conn_hang_up(conn);
    my_watch_forget(&conn->watch);
    rl_err *err = my_dial(conn, &mysql);
    if (!err) {
        conn_adopt(conn, mysql);
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

bool my_conn_in_transaction(const my_conn *conn)
{
    return conn->mysql && !conn->broken && (conn->mysql->server_status & SERVER_STATUS_IN_TRANS);
}

const my_opts *my_conn_opts(const my_conn *conn)
{
    return &conn->opts;
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
