#include "redis/script.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "redis/pipe.h"

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

typedef struct script_call {
    int nkeys, argc;
    const char *const *argv;
    const size_t *lens;
} script_call;

static rl_err *script_eval(redisc_conn *conn, const char *verb, const char *what, size_t what_len,
                           const script_call *call, redisReply **reply)
{
    redisc_pipe pipe = {0};
    char nkeys[16];
    size_t got;
    snprintf(nkeys, sizeof nkeys, "%d", call->nkeys);
    redisc_pipe_begin(&pipe, call->argc + 3);
    redisc_pipe_arg(&pipe, verb, strlen(verb));
    redisc_pipe_arg(&pipe, what, what_len);
    redisc_pipe_arg(&pipe, nkeys, strlen(nkeys));
    for (int i = 0; i < call->argc; i++)
        redisc_pipe_arg(&pipe, call->argv[i], call->lens[i]);
    *reply = NULL;
    rl_err *err = redisc_pipe_run(conn, &pipe, reply, &got);
    redisc_pipe_free(&pipe);
    if (err || (*reply)->type != REDIS_REPLY_ERROR)
        return err;
    err = redisc_reply_err(*reply);
    freeReplyObject(*reply);
    *reply = NULL;
    return err;
}

rl_err *redisc_script_call(redisc_conn *conn, const redisc_script *script, int nkeys, int argc,
                           const char *const *argv, const size_t *lens, redisReply **reply)
{
    rl_assert(nkeys >= 0 && nkeys <= argc);
    script_call call = {nkeys, argc, argv, lens};
    rl_err *err = script_eval(conn, "EVALSHA", script->sha, 40, &call, reply);
    if (!err_is(err, RL_REDIS, "NOSCRIPT"))
        return err;
    err_free(err);
    return script_eval(conn, "EVAL", script->source, script->len, &call, reply);
}
