#include "redis/cluster/keyspace.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct redisc_keyspace {
    redisc_conn *conn;       /* or */
    redisc_cluster *cluster; /* shared, unless owned */
    bool owned;
};

redisc_cluster *keyspace_cluster(const keyspace_opts *opts, int threads)
{
    if (!opts->nodes)
        return NULL;
    return cluster_new(&(cluster_opts){.nodes = opts->nodes,
                                       .conn = opts->conn,
                                       .pool = threads,
                                       .redirects = CLUSTER_REDIRECTS,
                                       .tries = CLUSTER_TRIES,
                                       .rest_after = opts->rest_after,
                                       .rest = opts->rest});
}

redisc_keyspace *keyspace_new(const keyspace_opts *opts, redisc_cluster *cluster)
{
    redisc_keyspace *keys = mem_zero(sizeof *keys);
    keys->owned = !cluster;
    keys->cluster = cluster ? cluster : keyspace_cluster(opts, 1);
    if (!keys->cluster)
        keys->conn = redisc_new(&opts->conn);
    return keys;
}

void keyspace_free(redisc_keyspace *keys)
{
    if (!keys)
        return;
    redisc_free(keys->conn);
    if (keys->owned)
        cluster_free(keys->cluster);
    free(keys);
}

void keyspace_cancel(redisc_keyspace *keys)
{
    if (keys->cluster)
        cluster_cancel(keys->cluster);
    else
        redisc_cancel(keys->conn);
}

/* ---- connections ---- */

bool keyspace_connected(redisc_keyspace *keys)
{
    return keys->cluster ? cluster_known(keys->cluster) : !redisc_broken(keys->conn);
}

rl_err *keyspace_connect(redisc_keyspace *keys)
{
    return keys->cluster ? cluster_connect(keys->cluster) : redisc_connect(keys->conn);
}

bool keyspace_whole(redisc_keyspace *keys)
{
    return keys->cluster ? cluster_whole(keys->cluster) : !redisc_broken(keys->conn);
}

rl_err *keyspace_check(redisc_keyspace *keys)
{
    redisReply *reply = NULL;
    if (keys->cluster)
        return cluster_check(keys->cluster);
    if (redisc_broken(keys->conn))
        return redisc_connect(keys->conn);
    rl_err *err = redisc_callf(keys->conn, &reply, "PING");
    freeReplyObject(reply);
    return err;
}

/* ---- commands ---- */

static void put_commands(cluster_batch *batch, const redisc_pipe *pipe)
{
    redisc_words words = {0};
    for (size_t at = 0; redisc_pipe_read(pipe, &at, &words);)
        cluster_batch_add(batch, words.argc, words.argv, words.lens);
    redisc_words_free(&words);
}

/* The reply to a command, or NULL and why there is none. */
static redisReply *take_reply(cluster_command *cmd, rl_err **err)
{
    redisReply *reply = cmd->reply ? cmd->reply : cmd->refusal;
    cmd->reply = cmd->refusal = NULL;
    if (reply || *err)
        return reply;
    *err = cmd->err;
    cmd->err = NULL;
    return NULL;
}

static rl_err *run_on_cluster(redisc_cluster *cluster, const redisc_pipe *pipe,
                              redisReply **replies, size_t *got)
{
    cluster_batch batch = {0};
    rl_err *err = NULL;
    put_commands(&batch, pipe);
    cluster_run(cluster, &batch);
    for (size_t i = 0; i < batch.count; i++) {
        replies[i] = take_reply(&batch.list[i], &err);
        *got += replies[i] ? 1 : 0;
    }
    cluster_batch_free(&batch);
    return err;
}

rl_err *keyspace_run(redisc_keyspace *keys, const redisc_pipe *pipe, redisReply **replies,
                     size_t *got)
{
    *got = 0;
    if (keys->cluster)
        return run_on_cluster(keys->cluster, pipe, replies, got);
    rl_err *err = redisc_pipe_run(keys->conn, pipe, replies, got);
    for (size_t i = *got; i < pipe->count; i++)
        replies[i] = NULL;
    return err;
}

static rl_err *run_on_keys(void *keys, const redisc_pipe *pipe, redisReply **replies, size_t *got)
{
    return keyspace_run(keys, pipe, replies, got);
}

rl_err *keyspace_script(redisc_keyspace *keys, const redisc_script *script, int nkeys, int argc,
                        const char *const *argv, const size_t *lens, redisReply **reply)
{
    return redisc_script_call_by(run_on_keys, keys, script, nkeys, argc, argv, lens, reply);
}
