/* The map of slots, as CLUSTER SLOTS tells it. Everything here is under the cluster's lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "redis/cluster/internal.h"

static const int64_t PASSED_OVER_NS = 1000000000;

cluster_node *cluster_node_of(redisc_cluster *cluster, const char *host, size_t len, int port)
{
    for (size_t i = 0; i < cluster->node_count; i++) {
        cluster_node *node = cluster->nodes[i];
        if (node->port == port && strlen(node->host) == len && memcmp(node->host, host, len) == 0)
            return node;
    }
    if (cluster->node_count == CLUSTER_NODES_MAX)
        return NULL;
    cluster_node *node = mem_zero(sizeof *node);
    node->host = mem_dup(host, len);
    node->port = port;
    cluster->nodes = mem_grow(cluster->nodes, (cluster->node_count + 1) * sizeof *cluster->nodes);
    cluster->nodes[cluster->node_count++] = node;
    return node;
}

static bool is_host(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING && strlen(r->str) == r->len;
}

static bool is_port(const redisReply *r)
{
    return r->type == REDIS_REPLY_INTEGER && r->integer > 0 && r->integer <= UINT16_MAX;
}

/* {host, port, id, ...}; a host that the node does not know is the one that was dialled. */
static cluster_node *read_node(redisc_cluster *cluster, const redisReply *r,
                               const cluster_node *asked)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2 || !is_port(r->element[1]))
        return NULL;
    const redisReply *host = r->element[0];
    int port = (int)r->element[1]->integer;
    bool told = is_host(host) && host->len > 0 && strcmp(host->str, "?") != 0;
    if (!told && host->type != REDIS_REPLY_NIL && !is_host(host))
        return NULL;
    return told ? cluster_node_of(cluster, host->str, host->len, port)
                : cluster_node_of(cluster, asked->host, strlen(asked->host), port);
}

static bool read_range(redisc_cluster *cluster, cluster_map *map, const redisReply *r,
                       const cluster_node *asked)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 3 ||
        r->element[0]->type != REDIS_REPLY_INTEGER || r->element[1]->type != REDIS_REPLY_INTEGER)
        return false;
    long long first = r->element[0]->integer, last = r->element[1]->integer;
    if (first < 0 || last < first || last >= CLUSTER_SLOTS)
        return false;
    cluster_shard *shard = &map->shards[map->shard_count];
    *shard = (cluster_shard){.primary = read_node(cluster, r->element[2], asked)};
    if (!shard->primary)
        return false;
    for (size_t i = 3; i < r->elements && shard->replica_count < CLUSTER_REPLICAS_MAX; i++) {
        cluster_node *replica = read_node(cluster, r->element[i], asked);
        if (replica)
            shard->replicas[shard->replica_count++] = replica;
    }
    for (long long slot = first; slot <= last; slot++)
        map->of[slot] = (uint16_t)map->shard_count;
    map->shard_count++;
    return true;
}

bool cluster_map_read(redisc_cluster *cluster, const redisReply *slots, const cluster_node *asked)
{
    if (slots->type != REDIS_REPLY_ARRAY || slots->elements > CLUSTER_SLOTS)
        return false;
    cluster_map map = {.shards = mem_zero((slots->elements + 1) * sizeof *map.shards)};
    memset(map.of, 0xff, sizeof map.of);
    for (size_t i = 0; i < slots->elements; i++)
        if (!read_range(cluster, &map, slots->element[i], asked)) {
            cluster_map_free(&map);
            return false;
        }
    cluster_map_free(&cluster->map);
    cluster->map = map;
    return true;
}

/* One slot, until the next refresh: the shard of its new primary, or a new one. */
void cluster_map_patch(redisc_cluster *cluster, int slot, cluster_node *primary)
{
    cluster_map *map = &cluster->map;
    size_t i = 0;
    while (i < map->shard_count && map->shards[i].primary != primary)
        i++;
    if (i == map->shard_count) {
        map->shards = mem_grow(map->shards, (i + 1) * sizeof *map->shards);
        map->shards[i] = (cluster_shard){.primary = primary};
        map->shard_count++;
    }
    rl_assert(i < CLUSTER_NOBODY);
    map->of[slot] = (uint16_t)i;
}

void cluster_map_free(cluster_map *map)
{
    free(map->shards);
    *map = (cluster_map){0};
}

/* The nodes of a shard in turns. Who did not answer of late is passed over while another one is left, so that
 * a frozen node does not cost every other read. */
static cluster_node *reader_of(redisc_cluster *cluster, const cluster_shard *shard)
{
    unsigned count = (unsigned)shard->replica_count + 1;
    unsigned turn = atomic_fetch_add(&cluster->turn, 1);
    int64_t since = clock_ns() - PASSED_OVER_NS;
    cluster_node *node = NULL;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (turn + i) % count;
        cluster_node *next = at == 0 ? shard->primary : shard->replicas[at - 1];
        if (next->failed_at <= since)
            return next;
        node = node ? node : next;
    }
    return node; /* nobody is left: by turn */
}

cluster_node *cluster_target(redisc_cluster *cluster, const cluster_command *cmd)
{
    if (cmd->to)
        return cmd->to;
    pthread_mutex_lock(&cluster->lock);
    cluster_node *node = NULL;
    if (cluster->map.of[cmd->slot] != CLUSTER_NOBODY && cluster->map.shard_count) {
        const cluster_shard *shard = &cluster->map.shards[cluster->map.of[cmd->slot]];
        node = shard->primary;
        if (cluster->opts.replicas && cmd->reads && !cmd->primary_only)
            node = reader_of(cluster, shard);
    }
    pthread_mutex_unlock(&cluster->lock);
    return node;
}

static void name_replicas(const cluster_shard *shard, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < shard->replica_count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s:%d", i ? "," : "",
                               shard->replicas[i]->host, shard->replicas[i]->port);
}

size_t cluster_ranges(redisc_cluster *cluster, cluster_range **list)
{
    size_t count = 0;
    *list = NULL;
    pthread_mutex_lock(&cluster->lock);
    const cluster_map *map = &cluster->map;
    for (int slot = 0; map->shard_count && slot < CLUSTER_SLOTS; slot++) {
        uint16_t of = map->of[slot];
        if (of == CLUSTER_NOBODY)
            continue;
        if (slot > 0 && map->of[slot - 1] == of) {
            (*list)[count - 1].last = slot;
            continue;
        }
        *list = mem_grow(*list, (count + 1) * sizeof **list);
        cluster_range *range = &(*list)[count++];
        const cluster_shard *shard = &map->shards[of];
        range->first = range->last = slot;
        snprintf(range->primary, sizeof range->primary, "%.70s:%d", shard->primary->host,
                 shard->primary->port);
        name_replicas(shard, range->replicas, sizeof range->replicas);
    }
    pthread_mutex_unlock(&cluster->lock);
    return count;
}
