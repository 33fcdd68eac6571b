/* Lua scripts on the Redis server.
 *
 * Offers: redisc_script, a source and its SHA-1; a call goes by EVALSHA and once more by EVAL where
 * the server does not know the script (NOSCRIPT). For pipelines: the call as a command, and how that answer
 * is known.
 * Uses: redis/conn, redis/pipe, libcrypto. Thread: constant after redisc_script_init. */
#ifndef RL_REDIS_SCRIPT_H
#define RL_REDIS_SCRIPT_H

#include "redis/conn.h"
#include "redis/pipe.h"

typedef struct redisc_script {
    char *source;
    size_t len;
    char sha[41];
} redisc_script;

void redisc_script_init(redisc_script *script, const char *source, size_t len);
void redisc_script_free(redisc_script *script);

/* argv: the keys, then the arguments; argc all of them, nkeys the keys. */
rl_err *redisc_script_call(redisc_conn *conn, const redisc_script *script, int nkeys, int argc,
                           const char *const *argv, const size_t *lens, redisReply **reply);

/* The same by whoever runs a pipeline of one command. */
typedef rl_err *redisc_pipe_fn(void *on, const redisc_pipe *pipe, redisReply **replies,
                               size_t *got);
rl_err *redisc_script_call_by(redisc_pipe_fn *run, void *on, const redisc_script *script, int nkeys,
                              int argc, const char *const *argv, const size_t *lens,
                              redisReply **reply);

/* The call as a command; whole: with its source (EVAL). */
void redisc_script_put(redisc_pipe *pipe, const redisc_script *script, bool whole, int nkeys,
                       int argc, const char *const *argv, const size_t *lens);
bool redisc_script_unknown(const redisReply *reply); /* NOSCRIPT */

#endif
