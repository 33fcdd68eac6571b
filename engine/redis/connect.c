/* Making a connection: the socket, then the greeting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "redis/internal.h"

static rl_err *call_and_forget(redisc_conn *conn, int argc, const char *const *argv)
{
    size_t lens[8];
    redisReply *reply;
    for (int i = 0; i < argc; i++)
        lens[i] = strlen(argv[i]);
    rl_err *err = redisc_call(conn, argc, argv, lens, &reply);
    if (!err)
        freeReplyObject(reply);
    return err;
}

static rl_err *hello(redisc_conn *conn)
{
    const redisc_opts *opts = &conn->opts;
    const char *argv[8] = {"HELLO", "3"};
    int argc = 2;
    if (opts->user || opts->password) {
        argv[argc++] = "AUTH";
        argv[argc++] = opts->user ? opts->user : "default";
        argv[argc++] = opts->password ? opts->password : "";
    }
    if (opts->client_name) {
        argv[argc++] = "SETNAME";
        argv[argc++] = opts->client_name;
    }
    return call_and_forget(conn, argc, argv);
}

static rl_err *greet_resp2(redisc_conn *conn)
{
    const redisc_opts *opts = &conn->opts;
    rl_err *err = NULL;
    conn->resp = 2;
    const char *password = opts->password ? opts->password : "";
    if (opts->user)
        err = call_and_forget(conn, 3, (const char *[]){"AUTH", opts->user, password});
    else if (opts->password)
        err = call_and_forget(conn, 2, (const char *[]){"AUTH", password});
    if (!err && opts->client_name)
        err = call_and_forget(conn, 3, (const char *[]){"CLIENT", "SETNAME", opts->client_name});
    return err;
}

static bool lacks_hello(const rl_err *err)
{
    return err_is(err, RL_REDIS, "NOPROTO") ||
           (err_is(err, RL_REDIS, "ERR") && strncasecmp(err->msg, "unknown command", 15) == 0);
}

static rl_err *greet(redisc_conn *conn)
{
    if (conn->opts.resp == 2)
        return greet_resp2(conn);
    conn->resp = 3;
    rl_err *err = hello(conn);
    if (!lacks_hello(err))
        return err;
    free(conn->fallback);
    conn->fallback = mem_strdup(err->msg);
    err_free(err);
    return greet_resp2(conn);
}

static rl_err *select_db(redisc_conn *conn)
{
    char db[16];
    if (conn->opts.db == 0)
        return NULL;
    snprintf(db, sizeof db, "%d", conn->opts.db);
    return call_and_forget(conn, 2, (const char *[]){"SELECT", db});
}

static void forget_past(redisc_conn *conn)
{
    redisc_hang_up(conn);
    pthread_mutex_lock(&conn->lock);
    conn->cancelled = false;
    pthread_mutex_unlock(&conn->lock);
    redisc_drop_pushes(conn);
    free(conn->broken);
    conn->broken = NULL;
    free(conn->fallback);
    conn->fallback = NULL;
}

static rl_err *adopt_socket(redisc_conn *conn)
{
    conn->ctx = redisConnectFd(conn->fd);
    if (!conn->ctx || conn->ctx->err)
        return err_lab("ENOMEM", "cannot make a Redis context");
    conn->ctx->flags &= ~REDIS_BLOCK;
    redisc_tls_adopt(conn);
    redisc_bound_replies(conn);
    return NULL;
}

/* The handshake has the connect timeout, the commands of later their own. */
rl_err *redisc_connect(redisc_conn *conn)
{
    double command_timeout = conn->opts.timeout;
    rl_deadline deadline = deadline_or_never(conn->opts.connect_timeout);
    forget_past(conn);
    conn->opts.timeout = conn->opts.connect_timeout;
    rl_err *err = redisc_dial(conn, deadline);
    if (!err)
        err = redisc_tls_start(conn, deadline);
    if (!err)
        err = adopt_socket(conn);
    if (!err)
        err = greet(conn);
    if (!err)
        err = select_db(conn);
    conn->opts.timeout = command_timeout;
    if (!err)
        return NULL;
    err = redisc_break(conn, err);
    err->happened = ERR_NOT_DONE; /* what is to be asked comes after it */
    return err;
}
