#include "redis/conn.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "redis/internal.h"

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
    conn->opts.tls = redisc_tls_copy(&opts->tls);
    conn->broken = mem_strdup("not connected yet");
    conn->fd = -1;
    pthread_mutex_init(&conn->lock, NULL);
    return conn;
}

void redisc_free(redisc_conn *conn)
{
    if (!conn)
        return;
    redisc_hang_up(conn);
    redisc_drop_pushes(conn);
    free(conn->pushes);
    free((char *)conn->opts.host);
    free((char *)conn->opts.socket);
    free((char *)conn->opts.user);
    free((char *)conn->opts.password);
    free((char *)conn->opts.client_name);
    redisc_tls_free(&conn->opts.tls);
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
    return err_new(RL_REDIS, 0, name, "%s", rest);
}
