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

static rl_err *in_slices(kafka_producer *p, txn_call call, const char *what, int timeout_ms,
                         const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    bool watched = kafka_producer_watched(p);
    rd_kafka_t *rk = kafka_producer_rk(p);
    for (;;) {
        if (kafka_producer_stopped(p, stop))
            return kafka_producer_cancelled(what);
        if (!watched)
            kafka_producer_drain(p, 0, DRAIN_ALL);
        int64_t began = clock_ms();
        int slice = kafka_slice(until, watched ? KAFKA_SLICE_MS : SELF_SLICE_MS);
        rd_kafka_error_t *error = call(rk, slice);
        if (slice == 0 || !may_go_on(error, began, slice))
            return kafka_err_take(rk, error, what);
        rd_kafka_error_destroy(error);
    }
}

rl_err *kafka_txn_init(kafka_producer *p, int timeout_ms, const kafka_stop *stop)
{
    return in_slices(p, rd_kafka_init_transactions, "init_transactions", timeout_ms, stop);
}

rl_err *kafka_txn_begin(kafka_producer *p)
{
    rd_kafka_t *rk = kafka_producer_rk(p);
    rl_err *err = kafka_err_take(rk, rd_kafka_begin_transaction(rk), "begin");
    if (!err)
        kafka_producer_set_transaction(p, true);
    return err;
}

rl_err *kafka_txn_offsets(kafka_producer *p, const rd_kafka_topic_partition_list_t *offsets,
                          const rd_kafka_consumer_group_metadata_t *group, int timeout_ms)
{
    rd_kafka_t *rk = kafka_producer_rk(p);
    return kafka_err_take(rk, rd_kafka_send_offsets_to_transaction(rk, offsets, group, timeout_ms),
                          "send_offsets");
}

/* commit or abort, with an eye on the connections meanwhile. */
static rl_err *end(kafka_producer *p, txn_call call, const char *what, int timeout_ms,
                   const kafka_stop *stop)
{
    int64_t lost = kafka_producer_lost(p);
    rl_err *err = in_slices(p, call, what, timeout_ms, stop);
    if (kafka_producer_lost(p) != lost)
        kafka_producer_set_end_uncertain(p);
    return err;
}

/* A fatal error ends the transaction as well, by the coordinator's hand. */
static rl_err *ended(kafka_producer *p, rl_err *err)
{
    if (!err || err->fatal)
        kafka_producer_set_transaction(p, false);
    return err;
}

rl_err *kafka_txn_commit(kafka_producer *p, int timeout_ms, const kafka_stop *stop)
{
    return ended(p, end(p, rd_kafka_commit_transaction, "commit", timeout_ms, stop));
}

rl_err *kafka_txn_abort(kafka_producer *p, int timeout_ms, const kafka_stop *stop)
{
    return ended(p, end(p, rd_kafka_abort_transaction, "abort", timeout_ms, stop));
}
