#include "redis/cluster/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/cond.h"
#include "redis/cluster/command.h"
#include "redis/cluster/internal.h"

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static void add_node(redisc_cluster *cluster, const char *text, size_t len)
{
    size_t host = len;
    while (host > 0 && text[host - 1] != ':')
        host--;
    bool six = host > 2 && text[0] == '[' && text[host - 2] == ']';
    if (six)
        cluster_node_of(cluster, text + 1, host - 3, atoi(text + host));
    else if (host > 1)
        cluster_node_of(cluster, text, host - 1, atoi(text + host));
    else if (len > 0)
        cluster_node_of(cluster, text, len, 6379);
}

static void add_nodes(redisc_cluster *cluster, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ", ");
        add_node(cluster, text, len);
        text += len;
        text += strspn(text, ", ");
    }
}

redisc_cluster *cluster_new(const cluster_opts *opts)
{
    redisc_cluster *cluster = mem_zero(sizeof *cluster);
    rl_assert(opts->pool > 0);
    cluster->opts = *opts;
    cluster->opts.nodes = NULL;
    cluster->opts.conn.user = copy(opts->conn.user);
    cluster->opts.conn.password = copy(opts->conn.password);
    cluster->opts.conn.client_name = copy(opts->conn.client_name);
    cluster->opts.conn.tls = redisc_tls_copy(&opts->conn.tls);
    pthread_mutex_init(&cluster->lock, NULL);
    cond_init(&cluster->changed);
    add_nodes(cluster, opts->nodes);
    return cluster;
}

rl_err *cluster_connect(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    cluster->cancelled = false;
    pthread_mutex_unlock(&cluster->lock);
    return cluster_refresh(cluster);
}

void cluster_cancel(redisc_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    cluster->cancelled = true;
    for (cluster_link *link = cluster->out; link; link = link->next)
        redisc_cancel(link->conn);
    pthread_cond_broadcast(&cluster->changed);
    pthread_mutex_unlock(&cluster->lock);
}

void cluster_free(redisc_cluster *cluster)
{
    if (!cluster)
        return;
    rl_assert(!cluster->out);
    for (size_t i = 0; i < cluster->node_count; i++) {
        cluster_pool_free(cluster->nodes[i]);
        free(cluster->nodes[i]->host);
        free(cluster->nodes[i]);
    }
    free(cluster->nodes);
    cluster_map_free(&cluster->map);
    free((char *)cluster->opts.conn.user);
    free((char *)cluster->opts.conn.password);
    free((char *)cluster->opts.conn.client_name);
    redisc_tls_free(&cluster->opts.conn.tls);
    pthread_cond_destroy(&cluster->changed);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}

cluster_stats cluster_stats_of(redisc_cluster *cluster)
{
    return (cluster_stats){
        .commands = atomic_load(&cluster->count.commands),
        .moved = atomic_load(&cluster->count.moved),
        .asked = atomic_load(&cluster->count.asked),
        .tryagain = atomic_load(&cluster->count.tryagain),
        .retries = atomic_load(&cluster->count.retries),
        .refreshes = atomic_load(&cluster->count.refreshes),
        .failures = atomic_load(&cluster->count.failures),
    };
}

/* ---- batches ---- */

void cluster_batch_add(cluster_batch *batch, int argc, const char *const *argv, const size_t *lens)
{
    rl_assert(argc > 0);
    if (batch->count == batch->cap) {
        batch->cap = batch->cap ? batch->cap * 2 : 4;
        batch->list = mem_grow(batch->list, batch->cap * sizeof *batch->list);
    }
    cluster_form form = cluster_command_form(argc, argv, lens);
    cluster_command *cmd = &batch->list[batch->count++];
    *cmd = (cluster_command){.argc = argc, .single = form.single, .reads = form.reads, .slot = -1};
    cmd->argv = mem_alloc((size_t)argc * sizeof *cmd->argv);
    cmd->lens = mem_alloc((size_t)argc * sizeof *cmd->lens);
    for (int i = 0; i < argc; i++) {
        cmd->argv[i] = mem_dup(argv[i], lens[i]);
        cmd->lens[i] = lens[i];
    }
    if (form.key > 0)
        cmd->slot = cluster_slot(argv[form.key], lens[form.key]);
}

static void command_free(cluster_command *cmd)
{
    for (int i = 0; i < cmd->argc; i++)
        free(cmd->argv[i]);
    free(cmd->argv);
    free(cmd->lens);
    freeReplyObject(cmd->reply);
    freeReplyObject(cmd->refusal);
    err_free(cmd->err);
}

void cluster_batch_free(cluster_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        command_free(&batch->list[i]);
    free(batch->list);
    *batch = (cluster_batch){0};
}
