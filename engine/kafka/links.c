#include "kafka/links.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

enum { UP_MAX = 128 };

struct kafka_links {
    kafka_links *next;
    pthread_mutex_t lock;
    uint64_t up[UP_MAX]; /* the brokers with a connection, each by a hash of its number and name */
    int count;
    atomic_llong lost;
};

static struct {
    pthread_mutex_t lock;
    kafka_links *free;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

kafka_links *kafka_links_take(void)
{
    pthread_mutex_lock(&pool.lock);
    kafka_links *links = pool.free;
    if (links)
        pool.free = links->next;
    pthread_mutex_unlock(&pool.lock);
    if (!links) {
        links = mem_zero(sizeof *links);
        pthread_mutex_init(&links->lock, NULL);
    }
    pthread_mutex_lock(&links->lock);
    links->count = 0;
    pthread_mutex_unlock(&links->lock);
    atomic_store(&links->lost, 0);
    return links;
}

void kafka_links_give(kafka_links *links)
{
    if (!links)
        return;
    pthread_mutex_lock(&pool.lock);
    links->next = pool.free;
    pool.free = links;
    pthread_mutex_unlock(&pool.lock);
}

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ULL;
    return h;
}

static void note(kafka_links *links, uint64_t broker, bool up)
{
    int i = 0;
    while (i < links->count && links->up[i] != broker)
        i++;
    bool was = i < links->count;
    if (up && !was && links->count < UP_MAX)
        links->up[links->count++] = broker;
    if (up || !was)
        return;
    links->up[i] = links->up[--links->count];
    atomic_fetch_add(&links->lost, 1);
}

static rd_kafka_resp_err_t on_state(rd_kafka_t *rk, int32_t id, const char *secproto,
                                    const char *name, int port, const char *state, void *opaque)
{
    kafka_links *links = opaque;
    (void)rk;
    (void)secproto;
    uint64_t broker = mix(0xcbf29ce484222325ULL, name, strlen(name));
    broker = mix(mix(broker, &id, sizeof id), &port, sizeof port);
    pthread_mutex_lock(&links->lock);
    note(links, broker, strcmp(state, "UP") == 0);
    pthread_mutex_unlock(&links->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque,
                                  char *errstr, size_t size)
{
    (void)conf;
    (void)errstr;
    (void)size;
    return rd_kafka_interceptor_add_on_broker_state_change(rk, "rlab-links", on_state, opaque);
}

void kafka_links_watch(kafka_links *links, rd_kafka_conf_t *conf)
{
    rd_kafka_conf_interceptor_add_on_new(conf, "rlab-links", on_new, links);
}

int64_t kafka_links_lost(const kafka_links *links)
{
    return links ? atomic_load(&((kafka_links *)links)->lost) : 0;
}
