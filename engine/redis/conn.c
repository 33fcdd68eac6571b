#include "redis/conn.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "redis/internal.h"
#include "redis/pipe.h"

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

redisc_conn *redisc_new(const redisc_opts *opts)
{
    redisc_conn *conn = mem_zero(sizeof *conn);
    conn->opts = *opts;
    conn->opts.host = mem_strdup(opts->host ? opts->host : "127.0.0.1");
    conn->opts.socket = copy(opts->socket);
    conn->opts.user = copy(opts->user);
    conn->opts.password = copy(opts->password);
    conn->opts.client_name = copy(opts->client_name);
    conn->broken = mem_strdup("not connected yet");
    conn->fd = -1;
    pthread_mutex_init(&conn->lock, NULL);
    return conn;
}

static void drop_pushes(redisc_conn *conn)
{
    for (; conn->push_count; conn->push_count--, conn->push_head++)
        freeReplyObject(conn->pushes[conn->push_head % conn->push_cap]);
    conn->push_head = 0;
}

void redisc_free(redisc_conn *conn)
{
    if (!conn)
        return;
    redisc_hang_up(conn);
    drop_pushes(conn);
    free(conn->pushes);
    free((char *)conn->opts.host);
    free((char *)conn->opts.socket);
    free((char *)conn->opts.user);
    free((char *)conn->opts.password);
    free((char *)conn->opts.client_name);
    free(conn->fallback);
    free(conn->broken);
    pthread_mutex_destroy(&conn->lock);
    free(conn);
}

int redisc_resp(const redisc_conn *conn)
{
    return conn->resp;
}

const char *redisc_fallback(const redisc_conn *conn)
{
    return conn->fallback;
}

void redisc_set_timeout(redisc_conn *conn, double seconds)
{
    conn->opts.timeout = seconds;
}

unsigned long redisc_pushes_dropped(const redisc_conn *conn)
{
    return conn->pushes_dropped;
}

/* ---- errors ---- */

static bool may_succeed_later(const char *name)
{
    static const char *const names[] = {"BUSY",       "CLUSTERDOWN", "LOADING", "MASTERDOWN",
                                        "NOREPLICAS", "TRYAGAIN",    NULL};
    for (const char *const *n = names; *n; n++)
        if (strcmp(*n, name) == 0)
            return true;
    return false;
}

rl_err *redisc_reply_err(const redisReply *reply)
{
    rl_assert(reply->type == REDIS_REPLY_ERROR);
    const char *text = reply->str;
    char name[48];
    size_t n = 0;
    while (n < sizeof name - 1 &&
           (isupper((unsigned char)text[n]) || isdigit((unsigned char)text[n]) || text[n] == '_'))
        n++;
    bool word = n > 0 && (text[n] == ' ' || text[n] == '\0');
    snprintf(name, sizeof name, "%.*s", word ? (int)n : 3, word ? text : "ERR");
    const char *rest = word && text[n] ? text + n + 1 : text;
    rl_err *err = err_new(RL_REDIS, 0, name, "%s", rest);
    err->retriable = may_succeed_later(name);
    return err;
}

static rl_err *refuse_error(redisReply **reply)
{
    if (!*reply || (*reply)->type != REDIS_REPLY_ERROR)
        return NULL;
    rl_err *err = redisc_reply_err(*reply);
    freeReplyObject(*reply);
    *reply = NULL;
    return err;
}

/* ---- calls ---- */

rl_err *redisc_call(redisc_conn *conn, int argc, const char *const *argv, const size_t *lens,
                    redisReply **reply)
{
    redisc_pipe pipe = {0};
    size_t got;
    *reply = NULL;
    redisc_pipe_add(&pipe, argc, argv, lens);
    rl_err *err = redisc_pipe_run(conn, &pipe, reply, &got);
    redisc_pipe_free(&pipe);
    return err ? err : refuse_error(reply);
}

rl_err *redisc_callf(redisc_conn *conn, redisReply **reply, const char *fmt, ...)
{
    *reply = NULL;
    rl_err *err = redisc_usable(conn);
    if (err)
        return err;
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int len = redisvFormatCommand(&text, fmt, ap);
    va_end(ap);
    if (len < 0)
        return err_lab("USAGE", "a bad Redis command format: %s", fmt);
    redisAppendFormattedCommand(conn->ctx, text, (size_t)len);
    redisFreeCommand(text);
    rl_deadline deadline = deadline_or_never(conn->opts.timeout);
    while (!(err = redisc_receive(conn, deadline, reply)) && (*reply)->type == REDIS_REPLY_PUSH)
        redisc_keep_push(conn, *reply);
    if (err)
        *reply = NULL;
    return err ? err : refuse_error(reply);
}

/* ---- connecting ---- */

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
    if (opts->password) {
        argv[argc++] = "AUTH";
        argv[argc++] = opts->user ? opts->user : "default";
        argv[argc++] = opts->password;
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
    if (opts->password)
        err = opts->user
                  ? call_and_forget(conn, 3, (const char *[]){"AUTH", opts->user, opts->password})
                  : call_and_forget(conn, 2, (const char *[]){"AUTH", opts->password});
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
    drop_pushes(conn);
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
    conn->ctx->reader->maxelements = REDISC_ELEMENTS_MAX;
    return NULL;
}

/* The handshake has the connect timeout, the commands of later their own. */
rl_err *redisc_connect(redisc_conn *conn)
{
    double command_timeout = conn->opts.timeout;
    forget_past(conn);
    conn->opts.timeout = conn->opts.connect_timeout;
    rl_err *err = redisc_dial(conn, deadline_or_never(conn->opts.connect_timeout));
    if (!err)
        err = adopt_socket(conn);
    if (!err)
        err = greet(conn);
    if (!err)
        err = select_db(conn);
    conn->opts.timeout = command_timeout;
    return err ? redisc_break(conn, err) : NULL;
}
