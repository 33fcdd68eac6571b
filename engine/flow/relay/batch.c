/* Batches in flight: what is claimed, what became of it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "flow/relay/internal.h"

static int compare_ids(const void *a, const void *b)
{
    int64_t x = ((const relay_failed *)a)->id, y = ((const relay_failed *)b)->id;
    return (x > y) - (x < y);
}

static bool in_batch(const relay_batch *b, int64_t id)
{
    int low = 0, high = b->n - 1;
    while (low <= high) {
        int mid = (low + high) / 2;
        if (b->rows[mid].id == id)
            return true;
        if (b->rows[mid].id < id)
            low = mid + 1;
        else
            high = mid - 1;
    }
    return false;
}

bool relay_in_flight(const relay *r, int64_t id)
{
    for (const relay_batch *b = r->first; b; b = b->next)
        if (id >= b->rows[0].id && id <= b->rows[b->n - 1].id && in_batch(b, id))
            return true;
    return false;
}

/* Cursor: a row that failed is taken again, and then known no more. */
static bool take_failed(relay *r, int64_t id)
{
    const relay_failed wanted = {.id = id};
    relay_failed *found =
        r->nfailed ? bsearch(&wanted, r->failed, (size_t)r->nfailed, sizeof wanted, compare_ids)
                   : NULL;
    if (!found)
        return false;
    size_t behind = (size_t)(r->failed + r->nfailed - found - 1);
    memmove(found, found + 1, behind * sizeof *found);
    r->nfailed--;
    return true;
}

void relay_forget_failed(relay *r, int shard)
{
    int n = 0;
    for (int i = 0; i < r->nfailed; i++)
        if (r->failed[i].shard != shard)
            r->failed[n++] = r->failed[i];
    r->nfailed = n;
}

static bool wanted(relay *r, int64_t id, int64_t shard)
{
    if (shard < 0 || shard >= RELAY_SHARDS || r->shards[shard].hold != HOLD_MINE)
        return false;
    if (relay_in_flight(r, id))
        return false;
    if (r->o.mark != RELAY_CURSOR || take_failed(r, id))
        return true;
    return id > r->shards[shard].read_to;
}

static void fill(relay *r, relay_batch *b, int max)
{
    my_result *result = b->result;
    for (size_t i = 0; i < result->nrows && b->n < max; i++) {
        int64_t id = relay_int(result, i, COL_ID), shard = relay_int(result, i, COL_SHARD);
        if (!relay_int(result, i, COL_UNSENT) || !wanted(r, id, shard))
            continue;
        b->rows[b->n++] = (relay_row){
            .batch = b, .id = id, .shard = (uint16_t)shard, .state = ROW_FLYING, .at = (uint32_t)i};
        r->shards[shard].flying++;
    }
}

static void remember_cursor(relay *r, const my_result *result)
{
    if (r->o.mark != RELAY_CURSOR || result->nrows == 0)
        return;
    int64_t last = relay_int(result, result->nrows - 1, COL_ID);
    if (last > r->read_to)
        r->read_to = last;
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (r->shards[s].hold == HOLD_MINE && last > r->shards[s].read_to)
            r->shards[s].read_to = last;
}

static void put_in_flight(relay *r, relay_batch *b)
{
    b->number = ++r->batch_numbers;
    b->began_ns = clock_ns();
    b->alone = r->nbatches == 0 && b->n == 1;
    for (int s = 0; s < RELAY_SHARDS; s++)
        b->tokens[s] = r->shards[s].token;
    atomic_store(&b->flying, b->n + 1);
    *(r->last ? &r->last->next : &r->first) = b;
    r->last = b;
    r->nbatches++;
    flow_add(r->reader_n, RELAY_N_in_flight, 1);
}

relay_batch *relay_claim(relay *r, my_result *result, int max)
{
    relay_batch *b = mem_zero(sizeof *b);
    b->result = result;
    b->rows = mem_alloc((result->nrows + 1) * sizeof *b->rows);
    pthread_mutex_lock(&r->lock);
    if (!r->reset && !r->rewind && clock_ns() < r->lease_until_ns) {
        fill(r, b, max);
        remember_cursor(r, result);
    } else {
        r->rewind = true; /* they were read for nothing and must be read again */
    }
    if (b->n > 0)
        put_in_flight(r, b);
    pthread_mutex_unlock(&r->lock);
    if (b->n > 0)
        return b;
    relay_batch_free(b);
    return NULL;
}

static void leave(relay *r, relay_batch *b)
{
    if (atomic_fetch_sub(&b->flying, 1) != 1)
        return;
    flow_hdr_record(&r->hdrs[RELAY_HDR_ACK], clock_ns() - b->began_ns, 1);
    pthread_mutex_lock(&r->lock);
    b->done = true;
    relay_signal(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_row_done(relay *r, relay_row *row, relay_state state, int err)
{
    assert(row->state == ROW_FLYING);
    row->state = (uint8_t)state;
    row->err = err;
    leave(r, row->batch);
}

void relay_batch_sent(relay *r, relay_batch *b)
{
    leave(r, b);
}

/* An array, since the list goes on to hold them until they are marked. */
relay_batch **relay_take_done(relay *r, int *n)
{
    relay_batch **done = NULL;
    *n = 0;
    pthread_mutex_lock(&r->lock);
    for (relay_batch *b = r->first; b; b = b->next) {
        if (!b->done)
            continue;
        b->taken = true;
        done = mem_grow(done, (size_t)(*n + 1) * sizeof *done);
        done[(*n)++] = b;
    }
    pthread_mutex_unlock(&r->lock);
    return done;
}

static void keep_failed(relay *r, const relay_batch *b)
{
    for (int i = 0; i < b->n; i++) {
        if (b->rows[i].state != ROW_FAILED)
            continue;
        r->failed = mem_grow(r->failed, (size_t)(r->nfailed + 1) * sizeof *r->failed);
        r->failed[r->nfailed++] = (relay_failed){.id = b->rows[i].id, .shard = b->rows[i].shard};
    }
}

static void unlink_batch(relay *r, relay_batch *gone)
{
    relay_batch **p = &r->first, *before = NULL;
    while (*p != gone) {
        before = *p;
        p = &(*p)->next;
    }
    *p = gone->next;
    if (r->last == gone)
        r->last = before;
    r->nbatches--;
    flow_add(r->marker_n, RELAY_N_in_flight, -1);
    for (int i = 0; i < gone->n; i++)
        r->shards[gone->rows[i].shard].flying--;
}

void relay_settle(relay *r, relay_batch **done, int n)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < n; i++) {
        unlink_batch(r, done[i]);
        if (r->o.mark == RELAY_CURSOR)
            keep_failed(r, done[i]);
    }
    if (r->nfailed)
        qsort(r->failed, (size_t)r->nfailed, sizeof *r->failed, compare_ids);
    relay_signal(r);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < n; i++)
        relay_batch_free(done[i]);
}

static int64_t first_failed(const relay_batch *b)
{
    for (int i = 0; i < b->n; i++)
        if (b->rows[i].state == ROW_FAILED)
            return b->rows[i].id;
    return INT64_MAX;
}

/* The first row that is not acknowledged, or was not even read. */
static int64_t first_open(const relay *r)
{
    int64_t next = r->nfailed ? r->failed[0].id : INT64_MAX;
    if (r->read_to + 1 < next)
        next = r->read_to + 1;
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (r->shards[s].hold == HOLD_MINE && r->shards[s].read_to + 1 < next)
            next = r->shards[s].read_to + 1;
    for (const relay_batch *b = r->first; b; b = b->next) {
        int64_t open = b->taken ? first_failed(b) : b->rows[0].id;
        if (open < next)
            next = open;
    }
    return next;
}

void relay_position(relay *r, relay_marks *marks)
{
    pthread_mutex_lock(&r->lock);
    int64_t position = first_open(r) - 1;
    marks->position = position;
    for (int s = 0; s < RELAY_SHARDS; s++) {
        const relay_shard *shard = &r->shards[s];
        marks->tokens[s] = shard->token;
        marks->upto[s] = shard->hold == HOLD_NONE    ? -1
                         : shard->read_to < position ? shard->read_to
                                                     : position;
    }
    pthread_mutex_unlock(&r->lock);
}

void relay_batch_free(relay_batch *b)
{
    my_result_free(b->result);
    free(b->rows);
    free(b);
}
