/* A client of a Redis Cluster.
 *
 * Offers: redisc_cluster, which knows the slots of a cluster and keeps a pool of connections for each node;
 * cluster_run, a batch of commands, each sent to the node of its key's slot. MOVED and ASK (with ASKING)
 * are followed, TRYAGAIN and its kin are tried again, up to a cap. Commands on one key are carried out in
 * their order; a command that was carried out is never sent again. A node that is dead or frozen costs
 * the commands of its slots, in their places; the others have their answers; after `rest_after` failures in
 * a row it is left alone for a while (NODE_RESTS), then one asks it. Who finds the map of slots
 * outdated has it read anew, once for all who wait (single flight). With `replicas` a read goes to any node
 * of its shard, which may be behind; one that did not answer is passed over for a second.
 * Uses: redis/conn, redis/pipe. Thread: any number at once on one cluster; a batch has one owner. */
#ifndef RL_REDIS_CLUSTER_CLIENT_H
#define RL_REDIS_CLUSTER_CLIENT_H

#include <stdint.h>

#include "redis/cluster/slot.h"
#include "redis/conn.h"

typedef struct redisc_cluster redisc_cluster;
typedef struct cluster_node cluster_node;

enum { CLUSTER_REDIRECTS = 5, CLUSTER_TRIES = 24 }; /* what is usual */

typedef struct cluster_opts {
    const char *nodes; /* "host:port,host:port": whom to ask for the slots first */
    redisc_opts
        conn; /* without host and port; timeout is that of an answer, and no try begins later */
    int pool; /* connections a node */
    int redirects; /* MOVED and ASK that a command follows in a row; 0: none */
    int tries;     /* more tries after TRYAGAIN, CLUSTERDOWN or a node that refuses connections */
    bool replicas;
    int rest_after; /* failures of a node in a row; 0: it never rests */
    double rest;    /* for so many seconds nobody waits for it */
} cluster_opts;

typedef struct cluster_stats {
    uint64_t commands, moved, asked, tryagain, retries, refreshes, failures;
} cluster_stats;

redisc_cluster *cluster_new(const cluster_opts *opts); /* copies opts, does not connect */
rl_err *cluster_connect(redisc_cluster *cluster);      /* reads the slots */
void cluster_cancel(redisc_cluster *cluster);          /* of what runs now */
void cluster_free(redisc_cluster *cluster);            /* nobody may be in it */
cluster_stats cluster_stats_of(redisc_cluster *cluster);

/* ---- the map ---- */

typedef struct cluster_range {
    int first, last;                 /* slots */
    char primary[80], replicas[240]; /* "host:port", "host:port,host:port" */
} cluster_range;

/* The ranges in order of slots; the caller frees the list. Slots that nobody serves are in none. */
size_t cluster_ranges(redisc_cluster *cluster, cluster_range **list);
rl_err *cluster_refresh(redisc_cluster *cluster);

/* ---- its health ---- */

bool cluster_known(redisc_cluster *cluster); /* the map is */
/* The map is known, and each primary answered when it was asked last. */
bool cluster_whole(redisc_cluster *cluster);
/* Reads the map and asks each primary: NULL when all answer and every slot has one. */
rl_err *cluster_check(redisc_cluster *cluster);

/* ---- commands ---- */

typedef struct cluster_command {
    int argc;
    char **argv;
    size_t *lens;
    int slot; /* -1: it has no key */
    bool single, reads;
    /* what became of it: one of the two */
    redisReply *reply;
    rl_err *err; /* the server's, or that of its node's connection: then its outcome is unknown */
    redisReply *refusal; /* beside the server's err: its words */
    /* while it runs */
    cluster_node *to; /* where a redirection sent it */
    bool asking, primary_only;
    int hops, tries;
    int64_t not_before;
} cluster_command;

typedef struct cluster_batch {
    cluster_command *list;
    size_t count, cap;
} cluster_batch;

void cluster_batch_add(cluster_batch *batch, int argc, const char *const *argv, const size_t *lens);
void cluster_batch_free(cluster_batch *batch);

/* Afterwards each command has a reply (never an error) or an err. */
void cluster_run(redisc_cluster *cluster, cluster_batch *batch);

#endif
