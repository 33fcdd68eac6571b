/* Connections that a client had and lost.
 *
 * Offers: a count of broker connections that were up and went down, exact and in time: librdkafka
 * tells of each change from the broker's own thread, before it sends a request again elsewhere.
 * Transactions ask it whether a request that ends one may still be under way on a connection that
 * is gone.
 * Uses: librdkafka's interceptors. Thread: any (a mutex inside). The objects are kept for reuse
 * and never freed, since a client that is slow to go may still call. */
#ifndef RL_KAFKA_LINKS_H
#define RL_KAFKA_LINKS_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

typedef struct kafka_links kafka_links;

kafka_links *kafka_links_take(void);
void kafka_links_give(kafka_links *links);
/* Before rd_kafka_new with this conf. */
void kafka_links_watch(kafka_links *links, rd_kafka_conf_t *conf);
int64_t kafka_links_lost(const kafka_links *links);

#endif
