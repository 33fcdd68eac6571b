/* Lua scripts on the Redis server.
 *
 * Offers: redisc_script, a source and its SHA-1; a call goes by EVALSHA and once more by EVAL where
 * the server does not know the script (NOSCRIPT).
 * Uses: redis/conn, libcrypto. Thread: constant after redisc_script_init. */
#ifndef RL_REDIS_SCRIPT_H
#define RL_REDIS_SCRIPT_H

#include "redis/conn.h"

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

#endif
