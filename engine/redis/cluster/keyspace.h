/* Keys, wherever they are: on one Redis server, or spread over a Redis Cluster.
 *
 * Offers: redisc_keyspace, by which a thread reads and writes keys and does not know which of the two it
 * is; what is sent at once must not depend on the order of several keys. Threads of one flow share one
 * client of a cluster: its map of slots and what it knows of its nodes.
 * Uses: redis/pipe, redis/script, redis/cluster/client. Thread: as redisc_conn; the shared client is any
 * thread's. */
#ifndef RL_REDIS_CLUSTER_KEYSPACE_H
#define RL_REDIS_CLUSTER_KEYSPACE_H

#include "redis/cluster/client.h"
#include "redis/pipe.h"
#include "redis/script.h"

typedef struct keyspace_opts {
    redisc_opts conn;  /* the server; of a cluster without host, port, socket and db */
    const char *nodes; /* of a cluster: "host:port,host:port", asked first; NULL: one server */
    int rest_after;    /* of a cluster's node: cluster_opts */
    double rest;
} keyspace_opts;

typedef struct redisc_keyspace redisc_keyspace;

/* A cluster's client for so many threads; NULL of one server. */
redisc_cluster *keyspace_cluster(const keyspace_opts *opts, int threads);

/* cluster: shared, outlives it; NULL: where the options name a cluster it has a client of its own. */
redisc_keyspace *keyspace_new(const keyspace_opts *opts, redisc_cluster *cluster);
void keyspace_free(redisc_keyspace *keys);
void keyspace_cancel(
    redisc_keyspace *keys); /* from any thread; a shared client's other calls, too */

bool keyspace_connected(redisc_keyspace *keys); /* of a cluster: its slots are known */
rl_err *keyspace_connect(redisc_keyspace *keys);
bool keyspace_whole(
    redisc_keyspace *keys); /* connected; of a cluster: each primary answered last */
rl_err *
keyspace_check(redisc_keyspace *keys); /* asks every server that has slots, connects where needed */

/* replies: room for pipe->count, all are written; NULL where none came, *got of them did. Error replies are
 * replies. The error is that of the first command without a reply. */
rl_err *keyspace_run(redisc_keyspace *keys, const redisc_pipe *pipe, redisReply **replies,
                     size_t *got);
rl_err *keyspace_script(redisc_keyspace *keys, const redisc_script *script, int nkeys, int argc,
                        const char *const *argv, const size_t *lens, redisReply **reply);

#endif
