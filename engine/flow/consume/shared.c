#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flow/consume/internal.h"

enum { POOL_ROOM = 1024, IDLE_NS = 100000000 };

static consume_lane *lane_of(consume *c, const rd_kafka_message_t *msg)
{
    const char *topic = rd_kafka_topic_name(msg->rkt);
    for (int i = 0; i < c->nall; i++)
        if (c->all[i]->partition == msg->partition && strcmp(c->all[i]->topic, topic) == 0)
            return c->all[i];
    return NULL;
}

static void put(consume *c, rd_kafka_message_t *msg, consume_lane *lane)
{
    consume_pool *p = &c->pool;
    if (p->n == p->cap) {
        int cap = p->cap ? p->cap * 2 : POOL_ROOM;
        consume_item *ring = mem_zero((size_t)cap * sizeof *ring);
        for (int i = 0; i < p->n; i++)
            ring[i] = p->ring[(p->head + i) % p->cap];
        free(p->ring);
        p->ring = ring;
        p->head = 0;
        p->cap = cap;
    }
    p->ring[(p->head + p->n++) % p->cap] = (consume_item){.msg = msg, .lane = lane};
    consume_track_begin(&lane->track, msg->offset);
    lane->outstanding++;
}

/* Pausing throws away what was fetched ahead, so it is for the case that the workers are far
 * behind. */
static void pause_or_resume(consume *c)
{
    rd_kafka_topic_partition_list_t *all;
    pthread_mutex_lock(&c->pool.lock);
    bool full = c->pool.n >= POOL_ROOM, low = c->pool.n < POOL_ROOM / 2;
    pthread_mutex_unlock(&c->pool.lock);
    if (c->pool.paused ? !low : !full)
        return;
    rl_err *err = kafka_consumer_assignment(c->consumer, &all);
    if (!err) {
        err =
            full ? kafka_consumer_pause(c->consumer, all) : kafka_consumer_resume(c->consumer, all);
        rd_kafka_topic_partition_list_destroy(all);
    }
    err_free(err);
    c->pool.paused = full;
}

void consume_pool_put(consume *c, kafka_batch *batch)
{
    int left = 0;
    for (int i = 0; i < batch->n; i++) {
        rd_kafka_message_t *msg = batch->msgs[i];
        consume_lane *lane = msg->err ? NULL : lane_of(c, msg);
        if (!lane) {
            batch->msgs[left++] = msg;
            continue;
        }
        pthread_mutex_lock(&c->pool.lock);
        put(c, msg, lane);
        pthread_cond_signal(&c->pool.change);
        pthread_mutex_unlock(&c->pool.lock);
    }
    batch->n = left;
    pause_or_resume(c);
}

bool consume_pool_take(consume *c, consume_item *item)
{
    consume_pool *p = &c->pool;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IDLE_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&p->lock);
    if (p->n == 0)
        pthread_cond_timedwait(&p->change, &p->lock, &until);
    bool some = p->n > 0;
    if (some) {
        *item = p->ring[p->head];
        p->head = (p->head + 1) % p->cap;
        p->n--;
    }
    pthread_mutex_unlock(&p->lock);
    return some;
}

/* A record that was dropped stays begun, so that the lowest unfinished offset stays before it.
 * Stored under the lock, or an older worker could overtake and store an older offset last. */
void consume_pool_done(consume_worker *w, consume_item *item)
{
    consume *c = w->c;
    consume_lane *lane = item->lane;
    pthread_mutex_lock(&c->pool.lock);
    if (item->state != ITEM_DROPPED)
        consume_track_done(&lane->track, item->msg->offset);
    int64_t next = c->o.commit == CONSUME_POOL_MAX ? lane->track.high : lane->track.low;
    if (next >= 0 && next != atomic_load(&lane->position))
        consume_offset_after(w, lane, item->msg, next);
    bool last = --lane->outstanding == 0 && lane->gone;
    pthread_mutex_unlock(&c->pool.lock);
    consume_item_clear(item);
    if (last)
        consume_lane_free(lane);
}

/* The lanes are freed after it by consume_lanes_clear. */
void consume_pool_clear(consume *c)
{
    consume_pool *p = &c->pool;
    for (; p->n; p->n--, p->head = (p->head + 1) % p->cap) {
        consume_lane *lane = p->ring[p->head].lane;
        consume_item_clear(&p->ring[p->head]);
        if (--lane->outstanding == 0 && lane->gone)
            consume_lane_free(lane);
    }
    free(p->ring);
    *p = (consume_pool){.lock = p->lock, .change = p->change};
}
