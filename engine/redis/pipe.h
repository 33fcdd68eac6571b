/* Redis pipelines.
 *
 * Offers: redisc_pipe, commands written one after another and sent at once; the replies come back
 * in order, errors in their places. Writing and reading overlap, so a pipeline may be larger than
 * the socket buffers. Commands that would leave the connection without a reply to wait for
 * (MONITOR, SYNC, CLIENT REPLY) are refused; SUBSCRIBE and its kin answer with their last
 * confirmation and need RESP3.
 * Uses: redis/conn. Thread: plain memory, one owner; redisc_pipe_run as redisc_call. */
#ifndef RL_REDIS_PIPE_H
#define RL_REDIS_PIPE_H

#include "base/buf.h"
#include "base/deadline.h"
#include "redis/conn.h"

typedef struct redisc_slot {
    char word[16]; /* lower case, only of the commands that need care */
    int confirmations;
    int protocol; /* HELLO n, RESET: what the connection speaks afterwards */
} redisc_slot;

typedef struct redisc_pipe {
    rl_buf bytes;
    redisc_slot *slots;
    size_t count, cap;
    int argc, argn; /* of the command being written */
    const char *refused;
} redisc_pipe;

/* A command of argc words, at least one; each is then added by redisc_pipe_arg before the next
 * command begins. */
void redisc_pipe_begin(redisc_pipe *pipe, int argc);
void redisc_pipe_arg(redisc_pipe *pipe, const void *bytes, size_t len);
void redisc_pipe_add(redisc_pipe *pipe, int argc, const char *const *argv, const size_t *lens);
void redisc_pipe_free(redisc_pipe *pipe);

/* A command read back; the words lie in the pipe. The lists are the reader's (redisc_words_free). */
typedef struct redisc_words {
    const char **argv;
    size_t *lens;
    int argc, cap;
} redisc_words;

/* The command at *at (0: the first), which moves behind it; false at the end. */
bool redisc_pipe_read(const redisc_pipe *pipe, size_t *at, redisc_words *words);
void redisc_words_free(redisc_words *words);

/* replies: room for pipe->count; filled from the front, *got of them also when an error is
 * returned (the rest is unknown). Error replies are replies. */
rl_err *redisc_pipe_run(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                        size_t *got);

/* The same in two steps, so that several connections can be at work before the first is waited for. After an
 * error of the first step nothing was carried out; each start is followed by its finish. */
rl_err *redisc_pipe_start(redisc_conn *conn, const redisc_pipe *pipe);
rl_err *redisc_pipe_finish(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                           size_t *got);

/* Between the two, as often as is wanted: sends, and takes what comes until the deadline, from *got on (0 at
 * first). That not all has come is no error; redisc_pipe_rest waits for it. */
rl_err *redisc_pipe_some(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                         size_t *got, rl_deadline until);
rl_err *redisc_pipe_rest(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                         size_t *got);

#endif
