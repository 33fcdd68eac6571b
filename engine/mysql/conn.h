/* A MySQL connection.
 *
 * Offers: my_conn, one blocking connection with deadlines in milliseconds (a watch thread shuts the
 * socket down when one passes) and a cancel from another thread. After a timeout, a cancel or a
 * lost connection it is broken: every call says so until my_conn_connect() is called again, so that
 * a late result is never taken for the next statement's. There is no automatic reconnect. Errors:
 * domain RL_MYSQL with the server's or client's code and name (ER_LOCK_DEADLOCK, CR_SERVER_LOST,
 * ...), TIMEOUT and BROKEN; CANCELLED is RL_LAB. `retriable`: the same work may succeed later;
 * `abortable`: the server has rolled the whole transaction back (1213); `fatal`: this connection is
 * dead, and without `retriable` the statement itself was its end (1153). The connection's collation
 * is the server's own for utf8mb4, as in the mysql client: utf8mb4_0900_ai_ci since MySQL 8.
 * Uses: libmysqlclient's API, Oracle's or MariaDB's. Thread: one at a time; my_conn_cancel from
 * any. */
#ifndef RL_MYSQL_CONN_H
#define RL_MYSQL_CONN_H

#include <stdbool.h>

#include "base/err.h"

typedef struct my_conn my_conn;

typedef enum my_tls {
    MY_TLS_OFF = 0,
    MY_TLS_ON,    /* encrypted, the server's certificate is not looked at */
    MY_TLS_VERIFY /* certificate and host name must fit `ca` */
} my_tls;

typedef struct my_opts {
    const char *host; /* NULL: 127.0.0.1; never means a socket, also not "localhost" */
    int port;
    const char *socket; /* a Unix socket's path, instead of host and port */
    const char *user, *password, *database;
    const char *ca, *cert, *key; /* files in PEM form: who is trusted, and who we are */
    my_tls tls;
    bool found_rows; /* affected rows of UPDATE: the matched ones, not only the changed */
    double connect_timeout, read_timeout, write_timeout; /* seconds; 0: for ever */
} my_opts;

my_conn *my_conn_new(const my_opts *opts); /* copies opts, does not connect */
/* Also mends a broken connection; prepared statements are prepared again when used. */
rl_err *my_conn_connect(my_conn *conn);
void my_conn_cancel(my_conn *conn);
void my_conn_free(my_conn *conn);

unsigned long my_conn_id(const my_conn *conn);    /* any thread */
const char *my_conn_version(const my_conn *conn); /* of the server; "" before the first connect */
/* Why it can no longer be used, or NULL. Between calls the socket is looked at: a server that has
 * hung up meanwhile is known before the next statement fails. */
const char *my_conn_broken(my_conn *conn);
bool my_conn_in_transaction(const my_conn *conn); /* as the server's last answer said */
const my_opts *my_conn_opts(const my_conn *conn);
rl_err *my_conn_ping(my_conn *conn);

#endif
