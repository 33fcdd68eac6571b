/* One command and its reply. */
#include <stdlib.h>

#include "redis/internal.h"
#include "redis/pipe.h"

static rl_err *refuse_error(redisReply **reply)
{
    if (!*reply || (*reply)->type != REDIS_REPLY_ERROR)
        return NULL;
    rl_err *err = redisc_reply_err(*reply);
    freeReplyObject(*reply);
    *reply = NULL;
    return err;
}

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
