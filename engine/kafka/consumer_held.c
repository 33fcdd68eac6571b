/* Records that were fetched and given back unseen: the next poll returns them first, unless
 * their partition has been left or sought elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/consumer_events.h"

void consumer_free_msgs(rd_kafka_message_t **msgs, int n)
{
    for (int i = 0; i < n; i++)
        rd_kafka_message_destroy(msgs[i]);
}

void consumer_batch_take(kafka_batch *out, kafka_consumer *c, rd_kafka_message_t **msgs, int n,
                         int generation)
{
    atomic_fetch_add(&c->refs, 1);
    *out = (kafka_batch){.owner = c, .msgs = msgs, .n = n, .generation = generation};
}

bool consumer_held_take(kafka_consumer *c, int max, kafka_batch *out)
{
    pthread_mutex_lock(&c->lock);
    int n = c->nheld < max ? c->nheld : max;
    if (n > 0) {
        rd_kafka_message_t **msgs = mem_alloc((size_t)n * sizeof *msgs);
        memcpy(msgs, c->held, (size_t)n * sizeof *msgs);
        memmove(c->held, c->held + n, (size_t)(c->nheld - n) * sizeof *msgs);
        c->nheld -= n;
        consumer_batch_take(out, c, msgs, n, c->held_generation);
    }
    pthread_mutex_unlock(&c->lock);
    return n > 0;
}

void kafka_consumer_unread(kafka_consumer *c, kafka_batch *batch)
{
    pthread_mutex_lock(&c->lock);
    size_t n = (size_t)batch->n, old = (size_t)c->nheld;
    c->held = mem_grow(c->held, (n + old + 1) * sizeof *c->held);
    memmove(c->held + n, c->held, old * sizeof *c->held);
    memcpy(c->held, batch->msgs, n * sizeof *c->held);
    c->nheld = (int)(n + old);
    c->held_generation = batch->generation;
    pthread_mutex_unlock(&c->lock);
    batch->n = 0;
    kafka_batch_free(batch);
}

static bool listed(const rd_kafka_message_t *msg, const rd_kafka_topic_partition_list_t *list)
{
    if (!list || !msg->rkt)
        return true;
    return rd_kafka_topic_partition_list_find(list, rd_kafka_topic_name(msg->rkt), msg->partition);
}

void consumer_held_drop(kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    pthread_mutex_lock(&c->lock);
    int kept = 0;
    for (int i = 0; i < c->nheld; i++) {
        if (listed(c->held[i], list))
            rd_kafka_message_destroy(c->held[i]);
        else
            c->held[kept++] = c->held[i];
    }
    c->nheld = kept;
    if (kept == 0) {
        free(c->held);
        c->held = NULL;
    }
    pthread_mutex_unlock(&c->lock);
}
