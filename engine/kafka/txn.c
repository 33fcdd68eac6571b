#include "kafka/txn.h"

#include "base/clock.h"

enum { SELF_SLICE_MS = 20, DRAIN_ALL = 1 << 30 };

typedef rd_kafka_error_t *(*txn_call)(rd_kafka_t *rk, int timeout_ms);

/* A slice that only ran out of its time is gone on with; whatever came back early is the
 * caller's to judge. */
static bool may_go_on(const rd_kafka_error_t *error, int64_t began_ms, int slice)
{
    if (!error || !rd_kafka_error_is_retriable(error))
        return false;
    return rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__TIMED_OUT ||
           clock_ms() - began_ms >= slice;
}

static rl_err *in_slices(kafka_producer *producer, txn_call call, const char *what, int timeout_ms,
                         const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    bool watched = kafka_producer_watched(producer);
    rd_kafka_t *rk = kafka_producer_rk(producer);
    for (;;) {
        if (kafka_producer_stopped(producer, stop))
            return kafka_producer_cancelled(what);
        if (!watched)
            kafka_producer_drain(producer, 0, DRAIN_ALL);
        int64_t began = clock_ms();
        int slice = kafka_slice(until, watched ? KAFKA_SLICE_MS : SELF_SLICE_MS);
        rd_kafka_error_t *error = call(rk, slice);
        if (slice == 0 || !may_go_on(error, began, slice))
            return kafka_err_take(rk, error, what);
        rd_kafka_error_destroy(error);
    }
}

rl_err *kafka_txn_init(kafka_producer *producer, int timeout_ms, const kafka_stop *stop)
{
    return in_slices(producer, rd_kafka_init_transactions, "init_transactions", timeout_ms, stop);
}

rl_err *kafka_txn_begin(kafka_producer *producer)
{
    rd_kafka_t *rk = kafka_producer_rk(producer);
    rl_err *err = kafka_err_take(rk, rd_kafka_begin_transaction(rk), "begin");
    if (!err)
        kafka_producer_set_transaction(producer, true);
    return err;
}

rl_err *kafka_txn_offsets(kafka_producer *producer, const rd_kafka_topic_partition_list_t *offsets,
                          const rd_kafka_consumer_group_metadata_t *group, int timeout_ms)
{
    rd_kafka_t *rk = kafka_producer_rk(producer);
    return kafka_err_take(rk, rd_kafka_send_offsets_to_transaction(rk, offsets, group, timeout_ms),
                          "send_offsets");
}

/* commit or abort, with an eye on the connections meanwhile. */
static rl_err *txn_end(kafka_producer *producer, txn_call call, const char *what, int timeout_ms,
                       const kafka_stop *stop)
{
    int64_t lost = kafka_producer_lost(producer);
    rl_err *err = in_slices(producer, call, what, timeout_ms, stop);
    if (kafka_producer_lost(producer) != lost)
        kafka_producer_set_end_uncertain(producer);
    return err;
}

/* A fatal error ends the transaction as well, by the coordinator's hand. */
static rl_err *txn_ended(kafka_producer *producer, rl_err *err)
{
    if (!err || err->fatal)
        kafka_producer_set_transaction(producer, false);
    return err;
}

rl_err *kafka_txn_commit(kafka_producer *producer, int timeout_ms, const kafka_stop *stop)
{
    return txn_ended(producer,
                     txn_end(producer, rd_kafka_commit_transaction, "commit", timeout_ms, stop));
}

rl_err *kafka_txn_abort(kafka_producer *producer, int timeout_ms, const kafka_stop *stop)
{
    return txn_ended(producer,
                     txn_end(producer, rd_kafka_abort_transaction, "abort", timeout_ms, stop));
}
