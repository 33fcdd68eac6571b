#include "kafka/losses.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

enum { UP_MAX = 128 };

struct kafka_losses {
    kafka_losses *next;
    pthread_mutex_t lock;
    uint64_t up[UP_MAX]; /* the brokers with a connection, each by a hash of its number and name */
    int count;
    atomic_llong lost;
};

static struct {
    pthread_mutex_t lock;
    kafka_losses *first;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

kafka_losses *kafka_losses_take(void)
{
    pthread_mutex_lock(&spare.lock);
    kafka_losses *losses = spare.first;
    if (losses)
        spare.first = losses->next;
    pthread_mutex_unlock(&spare.lock);
    if (!losses) {
        losses = mem_zero(sizeof *losses);
        pthread_mutex_init(&losses->lock, NULL);
    }
    pthread_mutex_lock(&losses->lock);
    losses->count = 0;
    pthread_mutex_unlock(&losses->lock);
    atomic_store(&losses->lost, 0);
    return losses;
}

void kafka_losses_give(kafka_losses *losses)
{
    if (!losses)
        return;
    pthread_mutex_lock(&spare.lock);
    losses->next = spare.first;
    spare.first = losses;
    pthread_mutex_unlock(&spare.lock);
}

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ULL;
    return h;
}

static void note(kafka_losses *losses, uint64_t broker, bool up)
{
    int i = 0;
    while (i < losses->count && losses->up[i] != broker)
        i++;
    bool was = i < losses->count;
    if (up && !was && losses->count < UP_MAX)
        losses->up[losses->count++] = broker;
    if (up || !was)
        return;
    rl_assert(losses->count > 0);
    losses->up[i] = losses->up[--losses->count];
    atomic_fetch_add(&losses->lost, 1);
}

static rd_kafka_resp_err_t on_state(rd_kafka_t *rk, int32_t id, const char *secproto,
                                    const char *name, int port, const char *state, void *opaque)
{
    kafka_losses *losses = opaque;
    (void)rk;
    (void)secproto;
    uint64_t broker = mix(0xcbf29ce484222325ULL, name, strlen(name));
    broker = mix(mix(broker, &id, sizeof id), &port, sizeof port);
    pthread_mutex_lock(&losses->lock);
    note(losses, broker, strcmp(state, "UP") == 0);
    pthread_mutex_unlock(&losses->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque,
                                  char *errstr, size_t size)
{
    (void)conf;
    (void)errstr;
    (void)size;
    return rd_kafka_interceptor_add_on_broker_state_change(rk, "rlab-losses", on_state, opaque);
}

void kafka_losses_watch(kafka_losses *losses, rd_kafka_conf_t *conf)
{
    rd_kafka_conf_interceptor_add_on_new(conf, "rlab-losses", on_new, losses);
}

int64_t kafka_losses_count(const kafka_losses *losses)
{
    return losses ? atomic_load(&((kafka_losses *)losses)->lost) : 0;
}
