/* What the files of engine/redis/cluster share and nobody else needs. Uses: redis/cluster/client.
 * Thread: what is guarded by the cluster's lock says so. */
#ifndef RL_REDIS_CLUSTER_INTERNAL_H
#define RL_REDIS_CLUSTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/deadline.h"
#include "redis/cluster/client.h"

enum { CLUSTER_NODES_MAX = 1024, CLUSTER_REPLICAS_MAX = 16, CLUSTER_NOBODY = UINT16_MAX };

/* A connection that is lent; `next` of those that are out (guarded). */
typedef struct cluster_link {
    redisc_conn *conn;
    cluster_node *node;
    struct cluster_link *next;
} cluster_link;

struct cluster_node {
    char *host;
    int port;
    cluster_link *idle; /* guarded, as all below */
    int open;           /* idle ones and those that are out */
    int64_t failed_at;  /* ns; 0: it answered last */
    int failures;       /* in a row */
};

typedef struct cluster_shard {
    cluster_node *primary, *replicas[CLUSTER_REPLICAS_MAX];
    int replica_count;
} cluster_shard;

typedef struct cluster_map {
    cluster_shard *shards;
    size_t shard_count;
    uint16_t of[CLUSTER_SLOTS]; /* index of shards, or CLUSTER_NOBODY */
} cluster_map;

struct redisc_cluster {
    cluster_opts opts; /* its strings are owned */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection came back, a refresh ended, a cancel */
    cluster_node **nodes;   /* guarded; they live as long as the cluster */
    size_t node_count;
    cluster_map map;            /* guarded */
    uint64_t version;           /* guarded: of the map */
    bool refreshing, cancelled; /* guarded */
    cluster_link *out;          /* guarded */
    atomic_uint turn;
    struct {
        atomic_ullong commands, moved, asked, tryagain, retries, refreshes, failures;
    } count;
};

/* map.c, under the lock */
cluster_node *cluster_node_of(redisc_cluster *cluster, const char *host, size_t len, int port);
bool cluster_map_read(redisc_cluster *cluster, const redisReply *slots, const cluster_node *asked);
void cluster_map_patch(redisc_cluster *cluster, int slot, cluster_node *primary);
void cluster_map_free(cluster_map *map);
/* takes the lock */
cluster_node *cluster_target(redisc_cluster *cluster, const cluster_command *cmd);

/* pool.c: a connection of the node's pool, waiting for one until the deadline */
rl_err *cluster_lend(redisc_cluster *cluster, cluster_node *node, rl_deadline deadline,
                     cluster_link **out);
void cluster_give_back(redisc_cluster *cluster, cluster_link *link);
void cluster_pool_free(cluster_node *node);
void cluster_node_failed(redisc_cluster *cluster, cluster_node *node);
/* NODE_RESTS while nobody shall wait for it; when its rest is over, who comes first asks for all. */
rl_err *cluster_node_rests(redisc_cluster *cluster, cluster_node *node);

/* refresh.c: unless the map is newer than `seen`; `first` is asked first, or NULL */
rl_err *cluster_refresh_since(redisc_cluster *cluster, uint64_t seen, cluster_node *first);

/* answer.c: what an answer means for command i; true when the map is outdated */
typedef struct cluster_news {
    bool stale;
    cluster_node *who; /* knows better, or NULL */
} cluster_news;
void cluster_answer(redisc_cluster *cluster, cluster_batch *batch, size_t i, redisReply *reply,
                    rl_deadline deadline, cluster_news *news);
void cluster_unanswered(redisc_cluster *cluster, cluster_command *cmd, const rl_err *err, bool sent,
                        rl_deadline deadline, cluster_news *news);

/* The error is ours: it says nothing of the node. */
bool cluster_not_asked(const rl_err *err);

static inline bool cluster_done(const cluster_command *cmd)
{
    return cmd->reply || cmd->err;
}

#endif
