#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "flow/consume/internal.h"

enum { SHARED_ROOM = 1024, IDLE_MS = 100 };

static consume_part *part_of(flow_consume *consume, const rd_kafka_message_t *msg)
{
    const char *topic = rd_kafka_topic_name(msg->rkt);
    for (int i = 0; i < consume->nall; i++)
        if (consume->all[i]->partition == msg->partition &&
            strcmp(consume->all[i]->topic, topic) == 0)
            return consume->all[i];
    return NULL;
}

static void shared_add(flow_consume *consume, rd_kafka_message_t *msg, consume_part *part)
{
    consume_shared *shared = &consume->shared;
    rl_assert(flow_lock_held(&shared->lock) && shared->n <= shared->cap);
    if (shared->n == shared->cap) {
        int cap = shared->cap ? shared->cap * 2 : SHARED_ROOM;
        consume_item *ring = mem_zero((size_t)cap * sizeof *ring);
        for (int i = 0; i < shared->n; i++)
            ring[i] = shared->ring[(shared->head + i) % shared->cap];
        free(shared->ring);
        shared->ring = ring;
        shared->head = 0;
        shared->cap = cap;
    }
    shared->ring[(shared->head + shared->n++) % shared->cap] =
        (consume_item){.msg = msg, .part = part};
    consume_track_begin(&part->track, msg->offset);
    part->outstanding++;
}

/* Pausing throws away what was fetched ahead, so it is for the case that the workers are far
 * behind. */
static void pause_or_resume(flow_consume *consume)
{
    rd_kafka_topic_partition_list_t *all;
    pthread_mutex_lock(&consume->shared.lock);
    bool full = consume->shared.n >= SHARED_ROOM, low = consume->shared.n < SHARED_ROOM / 2;
    pthread_mutex_unlock(&consume->shared.lock);
    if (consume->shared.paused ? !low : !full)
        return;
    rl_err *err = kafka_consumer_assignment(consume->consumer, &all);
    if (!err) {
        err = full ? kafka_consumer_pause(consume->consumer, all)
                   : kafka_consumer_resume(consume->consumer, all);
        rd_kafka_topic_partition_list_destroy(all);
    }
    err_free(err);
    consume->shared.paused = full;
}

void consume_shared_put(flow_consume *consume, kafka_batch *batch)
{
    int left = 0;
    for (int i = 0; i < batch->n; i++) {
        rd_kafka_message_t *msg = batch->msgs[i];
        consume_part *part = msg->err ? NULL : part_of(consume, msg);
        if (!part) {
            batch->msgs[left++] = msg;
            continue;
        }
        pthread_mutex_lock(&consume->shared.lock);
        shared_add(consume, msg, part);
        pthread_cond_signal(&consume->shared.change);
        pthread_mutex_unlock(&consume->shared.lock);
    }
    batch->n = left;
    pause_or_resume(consume);
}

bool consume_shared_take(flow_consume *consume, consume_item *item)
{
    consume_shared *shared = &consume->shared;
    rl_deadline until = deadline_in_ms(IDLE_MS);
    pthread_mutex_lock(&shared->lock);
    if (shared->n == 0)
        cond_wait_until(&shared->change, &shared->lock, until);
    bool some = shared->n > 0;
    if (some) {
        *item = shared->ring[shared->head];
        shared->head = (shared->head + 1) % shared->cap;
        shared->n--;
    }
    pthread_mutex_unlock(&shared->lock);
    return some;
}

/* A record that was dropped stays begun, so that the lowest unfinished offset stays before it.
 * Stored under the lock, or an older worker could overtake and store an older offset last. */
void consume_shared_done(consume_worker *w, consume_item *item)
{
    flow_consume *consume = w->consume;
    consume_part *part = item->part;
    pthread_mutex_lock(&consume->shared.lock);
    rl_assert(part->outstanding > 0);
    if (item->state != ITEM_DROPPED)
        consume_track_done(&part->track, item->msg->offset);
    int64_t next = consume->opts.commit == CONSUME_POOL_MAX ? part->track.high : part->track.low;
    if (next >= 0 && next != atomic_load(&part->position))
        consume_offset_after(w, part, item->msg, next);
    bool last = --part->outstanding == 0 && part->gone;
    pthread_mutex_unlock(&consume->shared.lock);
    consume_item_clear(item);
    if (last)
        consume_part_free(part);
}

/* The parts are freed after it by consume_parts_clear. */
void consume_shared_clear(flow_consume *consume)
{
    consume_shared *shared = &consume->shared;
    for (; shared->n; shared->n--, shared->head = (shared->head + 1) % shared->cap) {
        consume_part *part = shared->ring[shared->head].part;
        consume_item_clear(&shared->ring[shared->head]);
        if (--part->outstanding == 0 && part->gone)
            consume_part_free(part);
    }
    free(shared->ring);
    *shared = (consume_shared){.lock = shared->lock, .change = shared->change};
}
