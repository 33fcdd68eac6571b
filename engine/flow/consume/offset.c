/* When offsets are stored or committed, and where. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "flow/consume/internal.h"

enum { COMMIT_MS = 5000, SEEK_MS = 5000, COMMIT_TRIES = 5 };

/* The client does not ask for the log's begin by itself, nor for its end before the first fetch. */
int64_t consume_offsets_left(int64_t position, int64_t low, int64_t high)
{
    int64_t from = position > low ? position : low;
    if (from < 0 || high < 0)
        return -1;
    return high > from ? high - from : 0;
}

static rd_kafka_topic_partition_list_t *offset_list(const consume_part *part,
                                                    const rd_kafka_message_t *last, int64_t next)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_add(list, part->topic, part->partition);
    place->offset = next;
    int32_t epoch = last ? rd_kafka_message_leader_epoch(last) : -1;
    if (epoch >= 0)
        rd_kafka_topic_partition_set_leader_epoch(place, epoch);
    return list;
}

static void report_commit_error(consume_worker *w, const consume_part *part, rl_err *err)
{
    flow_field fields[] = {{"topic", part->topic, 0}, {"partition", NULL, part->partition}};
    flow_emit(&w->consume->flow, "commit-failed", err, fields, 2);
}

/* After a refusal nothing is done: the partition is not ours any more, and its new owner stores its
 * own offsets. */
static void store_offset(consume_worker *w, consume_part *part, const rd_kafka_message_t *last,
                         int64_t next)
{
    rd_kafka_topic_partition_list_t *list = offset_list(part, last, next);
    rl_err *err = kafka_consumer_store(w->consume->consumer, list);
    if (err)
        consume_count(w, CONSUME_N_store_refused, 1);
    err_free(err);
    rd_kafka_topic_partition_list_destroy(list);
}

static void commit_offset(consume_worker *w, consume_part *part, const rd_kafka_message_t *last,
                          int64_t next)
{
    rd_kafka_topic_partition_list_t *list = offset_list(part, last, next);
    rl_err *err = NULL;
    for (int i = 0; i < COMMIT_TRIES; i++) {
        err = kafka_consumer_commit(w->consume->consumer, list, COMMIT_MS, NULL);
        if (!err || !err->retriable || !consume_may_repeat(&part->permit))
            break;
        if (i + 1 < COMMIT_TRIES)
            err_free(err);
        consume_pause(w, i);
    }
    if (err)
        report_commit_error(w, part, err);
    else
        consume_count(w, CONSUME_N_commits, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

void consume_offset_before(consume_worker *w, consume_part *part, const consume_item *last)
{
    commit_offset(w, part, last->msg, last->msg->offset + 1);
}

void consume_offset_after(consume_worker *w, consume_part *part, const rd_kafka_message_t *last,
                          int64_t next)
{
    rl_err *err;
    rl_assert(next >= 0 && (!last || last->partition == part->partition));
    atomic_store(&part->position, next);
    switch (w->consume->opts.commit) {
    case CONSUME_AFTER_WORK:
    case CONSUME_POOL_MAX:
    case CONSUME_POOL_MIN:
        store_offset(w, part, last, next);
        return;
    case CONSUME_SYNC_AFTER_WORK:
        if (consume_may_begin(&part->permit))
            commit_offset(w, part, last, next);
        return;
    case CONSUME_MYSQL:
        if (part->must_seek || part->db_next >= next)
            return;
        err = consume_tx_offset(w, part, next);
        part->must_seek = err != NULL;
        err_free(err);
        return;
    case CONSUME_BEFORE_WORK:
    case CONSUME_AUTO:
        return;
    }
}

/* ---- CONSUME_MYSQL: where to begin ---- */

static rl_err *seek_stored(consume_worker *w, consume_part *part)
{
    int64_t next;
    rl_err *err = consume_tx_load(w, part, &next);
    if (err)
        return err;
    part->db_next = next;
    if (next < 0 && atomic_load(&part->position) < 0)
        return NULL;
    rd_kafka_topic_partition_list_t *list = offset_list(part, NULL, next < 0 ? 0 : next);
    consume_part_rewind(part);
    err = kafka_consumer_seek(w->consume->consumer, list, SEEK_MS);
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

bool consume_offset_seek(consume_worker *w, consume_part *part)
{
    for (int turn = 0; consume_may_repeat(&part->permit) && consume_db(w, &part->permit); turn++) {
        rl_err *err = seek_stored(w, part);
        if (!err) {
            part->must_seek = false;
            return true;
        }
        if (err->domain == RL_MYSQL)
            consume_db_failed(w, err);
        err_free(err);
        consume_pause(w, turn);
    }
    return false;
}
