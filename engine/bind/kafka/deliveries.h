/* Deliveries: what becomes of many records at once.
 *
 * Offers: the opaque that each record carries (report_target) and the delivery set, one slot a record. A
 * set is plain counted memory, owned by its userdata and by each record in flight: reports may come
 * after the script has dropped it, and after the producer was closed they come on another thread, which
 * only counts down.
 * Uses: bind/kafka/values, bind/task/timed. Thread: the Lua thread, except report_target.drop. */
#ifndef RL_BIND_KAFKA_DELIVERIES_H
#define RL_BIND_KAFKA_DELIVERIES_H

#include <stdatomic.h>

#include "bind/kafka/values.h"
#include "bind/task/timed.h"

/* The opaque of a record: first member of what waits for it. */
typedef struct report_target {
    void (*reported)(struct report_target *target, const rd_kafka_message_t *msg); /* loop thread */
    void (*drop)(struct report_target *target); /* any thread: no report will be read */
} report_target;

typedef struct delivery_set delivery_set;

/* Where the producer remembers the sets that still wait, so that closing it ends their waits. */
typedef struct set_link {
    delivery_set *first;
} set_link;

typedef struct delivery_slot {
    report_target target; /* first */
    delivery_set *set;
    kafka_report report;
} delivery_slot;

typedef struct delivery_wait {
    rl_timed timed; /* first */
    delivery_set *set;
    struct delivery_wait *next;
} delivery_wait;

struct delivery_set {
    atomic_int refs;
    bool linked;
    delivery_set *prev, *next; /* in the producer's list while reports are missing */
    set_link *home;
    delivery_wait *waits;
    int n, pending, failed;
    delivery_slot slots[];
};

delivery_set *delivery_set_new(set_link *home, int n);
void delivery_set_unref(delivery_set *set);
void delivery_set_unlink(delivery_set *set); /* nobody waits for it any more */
void delivery_end(delivery_slot *slot, const kafka_report *report); /* loop thread, once a slot */
void kafka_sets_close(set_link *sets); /* the producer goes: what has no report gets CLOSED */

#endif
