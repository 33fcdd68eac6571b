/* The inside of the admin client, shared by the files of this folder only.
 *
 * Offers: the struct, one loop that runs any operation of librdkafka's Admin API under a deadline
 * with repeated tries, and small helpers.
 * Uses: kafka/admin. Thread: that of the running call. */
#ifndef RL_KAFKA_ADMIN_RUN_H
#define RL_KAFKA_ADMIN_RUN_H

#include "kafka/admin/client.h"

struct kafka_admin {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    wire_cluster *cluster;
    int wake_fd, patience_ms;
    kafka_stop stopped;
    uintptr_t ticket; /* sets the answer of this try apart from those that came too late */
};

typedef struct admin_op {
    rd_kafka_admin_op_t api;
    const char *what; /* "create topic" */
    void (*submit)(kafka_admin *admin, const rd_kafka_AdminOptions_t *options, const void *arg);
    /* of the only item, to repeat what wants repeating; may be NULL */
    rd_kafka_resp_err_t (*code)(rd_kafka_event_t *event);
    bool anywhere;  /* any broker takes the request and forwards it */
    bool committed; /* read_committed, where the operation knows isolation */
    bool stable;
} admin_op;

typedef struct admin_run {
    kafka_admin *admin;
    kafka_call *call;
    rl_deadline until;
    int lost; /* tries without an answer: they may have been carried out */
} admin_run;

admin_run admin_begin(kafka_admin *admin, kafka_call *call);
rl_err *admin_do(admin_run *run, const admin_op *op, const void *arg, rd_kafka_event_t **event);
/* Waits a little between two looks; CANCELLED when the call is, TIMEOUT (with this text) when
 * its time is up. */
rl_err *admin_pause(admin_run *run, int ms, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
wire_call admin_wire(admin_run *run);
/* The same for one try at a coordinator, which may be frozen and about to be replaced. */
wire_call admin_wire_try(admin_run *run);
/* True when it is worth to ask again: the coordinator is settling or silent, and there is time.
 * Otherwise *err stays, or says why there is not. */
bool admin_settling(admin_run *run, rl_err **err);

/* An item's own error; NULL for code 0. `text` may be NULL. */
rl_err *admin_item_err(rd_kafka_resp_err_t code, const char *what, const char *name,
                       const char *text);
kafka_item *admin_item_add(kafka_items *items, const char *name, int partition, int64_t offset,
                           rl_err *err);
/* Copies the partitions of a list. */
void admin_items_of_list(kafka_items *items, const rd_kafka_topic_partition_list_t *list,
                         const char *what);

#endif
