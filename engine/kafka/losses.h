/* Connections that a client had and lost.
 *
 * Offers: a count of broker connections that were up and went down, exact and in time: librdkafka
 * reports each change from the broker's own thread, before it sends a request again elsewhere.
 * Transactions ask it whether a request that ends one may still be under way on a connection that
 * is gone.
 * Uses: librdkafka's interceptors. Thread: any (a mutex inside). The objects are kept for reuse
 * and never freed, since a client that is slow to go may still call. */
#ifndef RL_KAFKA_LOSSES_H
#define RL_KAFKA_LOSSES_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

typedef struct kafka_losses kafka_losses;

kafka_losses *kafka_losses_take(void);
void kafka_losses_give(kafka_losses *losses);
/* Before rd_kafka_new with this conf. */
void kafka_losses_watch(kafka_losses *losses, rd_kafka_conf_t *conf);
int64_t kafka_losses_count(const kafka_losses *losses);

#endif
