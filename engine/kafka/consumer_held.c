/* Records that were fetched and given back unseen: the next poll returns them first, unless
 * their partition has been left or sought elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/consumer_internal.h"

void consumer_free_msgs(rd_kafka_message_t **msgs, int n)
{
    for (int i = 0; i < n; i++)
        rd_kafka_message_destroy(msgs[i]);
}

void consumer_batch_take(kafka_batch *out, kafka_consumer *consumer, rd_kafka_message_t **msgs,
                         int n, int generation)
{
    atomic_fetch_add(&consumer->refs, 1);
    *out = (kafka_batch){.owner = consumer, .msgs = msgs, .n = n, .generation = generation};
}

bool consumer_held_take(kafka_consumer *consumer, int max, kafka_batch *out)
{
    pthread_mutex_lock(&consumer->lock);
    int n = consumer->nheld < max ? consumer->nheld : max;
    if (n > 0) {
        rd_kafka_message_t **msgs = mem_alloc((size_t)n * sizeof *msgs);
        memcpy(msgs, consumer->held, (size_t)n * sizeof *msgs);
        memmove(consumer->held, consumer->held + n, (size_t)(consumer->nheld - n) * sizeof *msgs);
        consumer->nheld -= n;
        consumer_batch_take(out, consumer, msgs, n, consumer->held_generation);
    }
    pthread_mutex_unlock(&consumer->lock);
    return n > 0;
}

void consumer_held_put(kafka_consumer *consumer, const kafka_batch *batch)
{
    pthread_mutex_lock(&consumer->lock);
    size_t n = (size_t)batch->n, old = (size_t)consumer->nheld;
    consumer->held = mem_grow(consumer->held, (n + old + 1) * sizeof *consumer->held);
    memmove(consumer->held + n, consumer->held, old * sizeof *consumer->held);
    memcpy(consumer->held, batch->msgs, n * sizeof *consumer->held);
    consumer->nheld = (int)(n + old);
    consumer->held_generation = batch->generation;
    pthread_mutex_unlock(&consumer->lock);
}

static bool listed(const rd_kafka_message_t *msg, const rd_kafka_topic_partition_list_t *list)
{
    if (!list || !msg->rkt)
        return true;
    return rd_kafka_topic_partition_list_find(list, rd_kafka_topic_name(msg->rkt), msg->partition);
}

void consumer_held_drop(kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    pthread_mutex_lock(&consumer->lock);
    int kept = 0;
    for (int i = 0; i < consumer->nheld; i++) {
        if (listed(consumer->held[i], list))
            rd_kafka_message_destroy(consumer->held[i]);
        else
            consumer->held[kept++] = consumer->held[i];
    }
    consumer->nheld = kept;
    if (kept == 0) {
        free(consumer->held);
        consumer->held = NULL;
    }
    pthread_mutex_unlock(&consumer->lock);
}
