/* Batches in flight: what is claimed, what became of it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "flow/relay/internal.h"

static int compare_ids(const void *a, const void *b)
{
    int64_t x = ((const relay_failed *)a)->id, y = ((const relay_failed *)b)->id;
    return (x > y) - (x < y);
}

static bool in_batch(const relay_batch *batch, int64_t id)
{
    int low = 0, high = batch->n - 1;
    while (low <= high) {
        int mid = (low + high) / 2;
        if (batch->rows[mid].id == id)
            return true;
        if (batch->rows[mid].id < id)
            low = mid + 1;
        else
            high = mid - 1;
    }
    return false;
}

bool relay_in_flight(flow_relay *relay, int64_t id)
{
    rl_assert(flow_lock_held(&relay->lock));
    for (const relay_batch *batch = relay->first; batch; batch = batch->next)
        if (id >= batch->rows[0].id && id <= batch->rows[batch->n - 1].id && in_batch(batch, id))
            return true;
    return false;
}

/* Cursor: a row that failed is taken again, and then known no more. */
static bool take_failed(flow_relay *relay, int64_t id)
{
    const relay_failed wanted = {.id = id};
    relay_failed *found = relay->nfailed ? bsearch(&wanted, relay->failed, (size_t)relay->nfailed,
                                                   sizeof wanted, compare_ids)
                                         : NULL;
    if (!found)
        return false;
    size_t behind = (size_t)(relay->failed + relay->nfailed - found - 1);
    memmove(found, found + 1, behind * sizeof *found);
    relay->nfailed--;
    return true;
}

void relay_forget_failed(flow_relay *relay, int shard)
{
    int n = 0;
    rl_assert(flow_lock_held(&relay->lock) && shard >= 0 && shard < RELAY_SHARDS);
    for (int i = 0; i < relay->nfailed; i++)
        if (relay->failed[i].shard != shard)
            relay->failed[n++] = relay->failed[i];
    relay->nfailed = n;
}

static bool row_wanted(flow_relay *relay, int64_t id, int64_t shard)
{
    if (shard < 0 || shard >= RELAY_SHARDS || relay->shards[shard].hold != HOLD_MINE)
        return false;
    if (relay_in_flight(relay, id))
        return false;
    if (relay->opts.mark != RELAY_CURSOR || take_failed(relay, id))
        return true;
    return id > relay->shards[shard].read_to;
}

static void batch_fill(flow_relay *relay, relay_batch *batch, int max)
{
    my_result *result = batch->result;
    for (size_t i = 0; i < result->nrows && batch->n < max; i++) {
        int64_t id = relay_int(result, i, COL_ID), shard = relay_int(result, i, COL_SHARD);
        if (!relay_int(result, i, COL_UNSENT) || !row_wanted(relay, id, shard))
            continue;
        rl_assert(batch->n == 0 || id > batch->rows[batch->n - 1].id); /* the search counts on it */
        batch->rows[batch->n++] = (relay_row){.batch = batch,
                                              .id = id,
                                              .shard = (uint16_t)shard,
                                              .state = ROW_FLYING,
                                              .at = (uint32_t)i};
        relay->shards[shard].flying++;
    }
}

static void remember_cursor(flow_relay *relay, const my_result *result)
{
    if (relay->opts.mark != RELAY_CURSOR || result->nrows == 0)
        return;
    int64_t last = relay_int(result, result->nrows - 1, COL_ID);
    if (last > relay->read_to)
        relay->read_to = last;
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (relay->shards[s].hold == HOLD_MINE && last > relay->shards[s].read_to)
            relay->shards[s].read_to = last;
}

static void put_in_flight(flow_relay *relay, relay_batch *batch)
{
    batch->number = ++relay->batch_numbers;
    batch->began_ns = clock_ns();
    batch->alone = relay->careful_to && relay->nbatches == 0 && batch->n == 1;
    for (int s = 0; s < RELAY_SHARDS; s++)
        batch->tokens[s] = relay->shards[s].token;
    atomic_store(&batch->flying, batch->n + 1);
    *(relay->last ? &relay->last->next : &relay->first) = batch;
    relay->last = batch;
    relay->nbatches++;
    rl_assert(batch->n > 0 && relay->nbatches <= relay->opts.in_flight);
    flow_add(relay->reader_count, RELAY_N_in_flight, 1);
}

relay_batch *relay_claim(flow_relay *relay, my_result *result, int max)
{
    relay_batch *batch = mem_zero(sizeof *batch);
    batch->result = result;
    batch->rows = mem_alloc((result->nrows + 1) * sizeof *batch->rows);
    pthread_mutex_lock(&relay->lock);
    if (!relay->reset && !relay->rewind && clock_ns() < relay->lease_until_ns) {
        batch_fill(relay, batch, max);
        remember_cursor(relay, result);
    } else {
        relay->rewind = true; /* they were read for nothing and must be read again */
    }
    if (batch->n > 0)
        put_in_flight(relay, batch);
    pthread_mutex_unlock(&relay->lock);
    if (batch->n > 0)
        return batch;
    relay_batch_free(batch);
    return NULL;
}

static void batch_leave(flow_relay *relay, relay_batch *batch)
{
    int before = atomic_fetch_sub(&batch->flying, 1);
    rl_assert(before >= 1);
    if (before != 1)
        return;
    flow_hdr_record(&relay->hdrs[RELAY_HDR_ACK], clock_ns() - batch->began_ns, 1);
    pthread_mutex_lock(&relay->lock);
    batch->done = true;
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
}

void relay_row_done(flow_relay *relay, relay_row *row, relay_state state, int err)
{
    rl_assert(row->state == ROW_FLYING && state != ROW_FLYING);
    row->state = (uint8_t)state;
    row->err = err;
    batch_leave(relay, row->batch);
}

void relay_batch_sent(flow_relay *relay, relay_batch *batch)
{
    batch_leave(relay, batch);
}

/* An array, since the list goes on to hold them until they are marked. */
relay_batch **relay_take_done(flow_relay *relay, int *n)
{
    relay_batch **done = NULL;
    *n = 0;
    pthread_mutex_lock(&relay->lock);
    for (relay_batch *batch = relay->first; batch; batch = batch->next) {
        if (!batch->done)
            continue;
        batch->taken = true;
        done = mem_grow(done, (size_t)(*n + 1) * sizeof *done);
        done[(*n)++] = batch;
    }
    pthread_mutex_unlock(&relay->lock);
    return done;
}

static void keep_failed(flow_relay *relay, const relay_batch *batch)
{
    for (int i = 0; i < batch->n; i++) {
        if (batch->rows[i].state != ROW_FAILED)
            continue;
        relay->failed =
            mem_grow(relay->failed, (size_t)(relay->nfailed + 1) * sizeof *relay->failed);
        relay->failed[relay->nfailed++] =
            (relay_failed){.id = batch->rows[i].id, .shard = batch->rows[i].shard};
    }
}

static void unlink_batch(flow_relay *relay, relay_batch *gone)
{
    relay_batch **p = &relay->first, *before = NULL;
    rl_assert(gone->done && gone->taken && atomic_load(&gone->flying) == 0);
    while (*p != gone) {
        before = *p;
        p = &(*p)->next;
    }
    *p = gone->next;
    if (relay->last == gone)
        relay->last = before;
    relay->nbatches--;
    flow_add(relay->marker_count, RELAY_N_in_flight, -1);
    for (int i = 0; i < gone->n; i++) {
        int left = --relay->shards[gone->rows[i].shard].flying;
        rl_assert(left >= 0);
    }
    rl_assert(relay->nbatches >= 0 && (relay->nbatches == 0) == !relay->first);
}

void relay_settle(flow_relay *relay, relay_batch **done, int n)
{
    pthread_mutex_lock(&relay->lock);
    for (int i = 0; i < n; i++) {
        unlink_batch(relay, done[i]);
        if (relay->opts.mark == RELAY_CURSOR)
            keep_failed(relay, done[i]);
    }
    if (relay->nfailed)
        qsort(relay->failed, (size_t)relay->nfailed, sizeof *relay->failed, compare_ids);
    relay_signal(relay);
    pthread_mutex_unlock(&relay->lock);
    for (int i = 0; i < n; i++)
        relay_batch_free(done[i]);
}

static int64_t first_failed(const relay_batch *batch)
{
    for (int i = 0; i < batch->n; i++)
        if (batch->rows[i].state == ROW_FAILED)
            return batch->rows[i].id;
    return INT64_MAX;
}

/* The first row that is not acknowledged, or was not even read. */
static int64_t first_open(const flow_relay *relay)
{
    int64_t next = relay->nfailed ? relay->failed[0].id : INT64_MAX;
    if (relay->read_to + 1 < next)
        next = relay->read_to + 1;
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (relay->shards[s].hold == HOLD_MINE && relay->shards[s].read_to + 1 < next)
            next = relay->shards[s].read_to + 1;
    for (const relay_batch *batch = relay->first; batch; batch = batch->next) {
        int64_t open = batch->taken ? first_failed(batch) : batch->rows[0].id;
        if (open < next)
            next = open;
    }
    return next;
}

void relay_position(flow_relay *relay, relay_marks *marks)
{
    pthread_mutex_lock(&relay->lock);
    int64_t position = first_open(relay) - 1;
    marks->position = position;
    for (int s = 0; s < RELAY_SHARDS; s++) {
        const relay_shard *shard = &relay->shards[s];
        marks->tokens[s] = shard->token;
        marks->upto[s] = shard->hold == HOLD_NONE    ? -1
                         : shard->read_to < position ? shard->read_to
                                                     : position;
    }
    pthread_mutex_unlock(&relay->lock);
}

void relay_batch_free(relay_batch *batch)
{
    my_result_free(batch->result);
    free(batch->rows);
    free(batch);
}
