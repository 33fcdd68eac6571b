#include "redis/script.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

void redisc_script_init(redisc_script *script, const char *source, size_t len)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    script->source = mem_dup(source, len);
    script->len = len;
    SHA1((const unsigned char *)source, len, digest);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++)
        snprintf(script->sha + 2 * i, 3, "%02x", digest[i]);
}

void redisc_script_free(redisc_script *script)
{
    free(script->source);
    script->source = NULL;
}

void redisc_script_put(redisc_pipe *pipe, const redisc_script *script, bool whole, int nkeys,
                       int argc, const char *const *argv, const size_t *lens)
{
    char count[16];
    rl_assert(nkeys >= 0 && nkeys <= argc);
    snprintf(count, sizeof count, "%d", nkeys);
    redisc_pipe_begin(pipe, argc + 3);
    redisc_pipe_arg(pipe, whole ? "EVAL" : "EVALSHA", whole ? 4 : 7);
    redisc_pipe_arg(pipe, whole ? script->source : script->sha, whole ? script->len : 40);
    redisc_pipe_arg(pipe, count, strlen(count));
    for (int i = 0; i < argc; i++)
        redisc_pipe_arg(pipe, argv[i], lens[i]);
}

bool redisc_script_unknown(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

static rl_err *script_eval(redisc_pipe_fn *run, void *on, const redisc_pipe *pipe,
                           redisReply **reply)
{
    size_t got;
    *reply = NULL;
    rl_err *err = run(on, pipe, reply, &got);
    if (err || (*reply)->type != REDIS_REPLY_ERROR)
        return err;
    err = redisc_reply_err(*reply);
    freeReplyObject(*reply);
    *reply = NULL;
    return err;
}

rl_err *redisc_script_call_by(redisc_pipe_fn *run, void *on, const redisc_script *script, int nkeys,
                              int argc, const char *const *argv, const size_t *lens,
                              redisReply **reply)
{
    rl_err *err = NULL;
    for (int whole = 0; whole < 2; whole++) {
        redisc_pipe pipe = {0};
        err_free(err);
        redisc_script_put(&pipe, script, whole, nkeys, argc, argv, lens);
        err = script_eval(run, on, &pipe, reply);
        redisc_pipe_free(&pipe);
        if (!err_is(err, RL_REDIS, "NOSCRIPT"))
            break;
    }
    return err;
}

static rl_err *on_conn(void *conn, const redisc_pipe *pipe, redisReply **replies, size_t *got)
{
    return redisc_pipe_run(conn, pipe, replies, got);
}

rl_err *redisc_script_call(redisc_conn *conn, const redisc_script *script, int nkeys, int argc,
                           const char *const *argv, const size_t *lens, redisReply **reply)
{
    return redisc_script_call_by(on_conn, conn, script, nkeys, argc, argv, lens, reply);
}
