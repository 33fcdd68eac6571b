#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"
#include "flow/consume/internal.h"

enum { IDLE_MS = 100 };

/* ---- items ---- */

void consume_item_clear(consume_item *item)
{
    if (item->msg)
        rd_kafka_message_destroy(item->msg);
    err_free(item->err);
    *item = (consume_item){0};
}

static void clear_held(consume_lane *lane)
{
    for (int i = lane->head; i < lane->nheld; i++)
        consume_item_clear(&lane->held[i]);
    lane->head = lane->nheld = 0;
}

void consume_lane_rewind(consume_lane *lane)
{
    clear_held(lane);
    lane->due_ns = 0;
}

bool consume_lane_drops(const consume_lane *lane)
{
    return lane->c->o.drop_lost && atomic_load(&lane->lost);
}

/* ---- coming and going ---- */

/* Under librdkafka's lock of the queue. */
static void on_records(rd_kafka_t *rk, void *arg)
{
    consume_lane *lane = arg;
    (void)rk;
    pthread_mutex_lock(&lane->worker->lock);
    lane->ready = true;
    pthread_cond_broadcast(&lane->worker->change);
    pthread_mutex_unlock(&lane->worker->lock);
}

static bool is_retry(const consume *c, const char *topic)
{
    for (int i = 0; i < c->o.ndelays; i++)
        if (strcmp(c->o.delays[i].topic, topic) == 0)
            return true;
    return false;
}

static consume_lane *lane_new(consume *c, const char *topic, int32_t partition)
{
    consume_lane *lane = mem_zero(sizeof *lane);
    lane->c = c;
    lane->topic = mem_strdup(topic);
    lane->partition = partition;
    lane->retry = is_retry(c, topic);
    lane->must_seek = c->o.commit == CONSUME_MYSQL;
    lane->db_next = -1;
    lane->position = lane->eof = -1;
    consume_track_open(&lane->track);
    pthread_mutex_init(&lane->lock, NULL);
    return lane;
}

void consume_lane_free(consume_lane *lane)
{
    clear_held(lane);
    if (lane->queue)
        rd_kafka_queue_destroy(lane->queue);
    consume_track_free(&lane->track);
    pthread_mutex_destroy(&lane->lock);
    free(lane->held);
    free(lane->topic);
    free(lane);
}

static int load_of(consume_worker *w)
{
    pthread_mutex_lock(&w->lock);
    int n = w->nlanes;
    pthread_mutex_unlock(&w->lock);
    return n;
}

static consume_worker *least_busy(consume *c)
{
    consume_worker *best = &c->workers[0];
    for (int i = 1, least = load_of(best); i < c->o.workers && least > 0; i++) {
        int n = load_of(&c->workers[i]);
        if (n >= least)
            continue;
        least = n;
        best = &c->workers[i];
    }
    return best;
}

/* The partition's own queue is taken off the consumer's before the assignment begins, so that
 * its worker can fetch from it. */
static void give_to_worker(consume_lane *lane)
{
    consume_worker *w = least_busy(lane->c);
    lane->worker = w;
    lane->held = mem_zero((size_t)lane->c->o.fetch * sizeof *lane->held);
    lane->queue = rd_kafka_queue_get_partition(kafka_consumer_rk(lane->c->consumer), lane->topic,
                                               lane->partition);
    rd_kafka_queue_forward(lane->queue, NULL);
    pthread_mutex_lock(&w->lock);
    lane->next = w->lanes;
    w->lanes = lane;
    w->nlanes++;
    lane->ready = true;
    pthread_mutex_unlock(&w->lock);
    rd_kafka_queue_cb_event_enable(lane->queue, on_records, lane);
}

void consume_lanes_add(consume *c, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        consume_lane *lane = lane_new(c, list->elems[i].topic, list->elems[i].partition);
        if (!consume_pools(c))
            give_to_worker(lane);
        pthread_mutex_lock(&c->lock);
        c->all = mem_grow(c->all, (size_t)(c->nall + 1) * sizeof(consume_lane *));
        c->all[c->nall++] = lane;
        pthread_mutex_unlock(&c->lock);
    }
}

static consume_lane *unlist(consume *c, const char *topic, int32_t partition)
{
    consume_lane *lane = NULL;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->nall && !lane; i++) {
        if (c->all[i]->partition != partition || strcmp(c->all[i]->topic, topic) != 0)
            continue;
        lane = c->all[i];
        c->all[i] = c->all[--c->nall];
    }
    pthread_mutex_unlock(&c->lock);
    return lane;
}

/* From here on nothing is fetched for it: the queue may soon hold records of a later assignment
 * of the same partition. */
static void lose(consume_lane *lane)
{
    if (lane->queue)
        rd_kafka_queue_cb_event_enable(lane->queue, NULL, NULL);
    pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->lost, true);
    pthread_mutex_unlock(&lane->lock);
}

static struct timespec in_ms(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + (int64_t)ms * 1000000;
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* What is under way is waited for, so that its offset can still be committed. */
static void hand_over(consume_lane *lane, const struct timespec *until)
{
    consume_worker *w = lane->worker;
    pthread_mutex_lock(&w->lock);
    int rc = 0;
    while (lane->busy && rc == 0)
        rc = pthread_cond_timedwait(&w->change, &w->lock, until);
    lane->gone = true;
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->lock);
}

static void free_unless_used(consume *c, consume_lane *lane)
{
    pthread_mutex_lock(&c->pool.lock);
    bool idle = lane->outstanding == 0;
    lane->gone = true;
    pthread_mutex_unlock(&c->pool.lock);
    if (idle)
        consume_lane_free(lane);
}

void consume_lanes_remove(consume *c, const rd_kafka_topic_partition_list_t *list)
{
    struct timespec until = in_ms(units_ms(c->o.revoke_wait));
    consume_lane **lanes = mem_zero((size_t)(list->cnt + 1) * sizeof(consume_lane *));
    for (int i = 0; i < list->cnt; i++) {
        lanes[i] = unlist(c, list->elems[i].topic, list->elems[i].partition);
        if (lanes[i])
            lose(lanes[i]);
    }
    for (int i = 0; i < list->cnt; i++) {
        if (lanes[i] && lanes[i]->worker)
            hand_over(lanes[i], &until);
        else if (lanes[i])
            free_unless_used(c, lanes[i]);
    }
    free(lanes);
}

/* The wrong practice: what is held is done although the partition has gone. */
static bool finishes(const consume_lane *lane)
{
    return !lane->c->o.drop_lost && lane->head < lane->nheld && !flow_stopping(&lane->c->flow);
}

/* Under the worker's lock; they are freed without it, as librdkafka's lock of the queue comes
 * before ours. */
static consume_lane *take_gone(consume_worker *w)
{
    consume_lane *gone = NULL;
    for (consume_lane **p = &w->lanes, *lane; (lane = *p);) {
        if (!lane->gone || lane->busy || finishes(lane)) {
            p = &lane->next;
            continue;
        }
        *p = lane->next;
        w->nlanes--;
        if (w->served == lane)
            w->served = NULL;
        lane->next = gone;
        gone = lane;
    }
    return gone;
}

static void free_list(consume_lane *lane)
{
    while (lane) {
        consume_lane *next = lane->next;
        consume_lane_free(lane);
        lane = next;
    }
}

void consume_lanes_clear(consume *c)
{
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->nall; i++) {
        lose(c->all[i]);
        c->all[i]->gone = true;
        if (!c->all[i]->worker)
            consume_lane_free(c->all[i]);
    }
    c->nall = 0;
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->o.workers; i++)
        free_list(take_gone(&c->workers[i]));
}

/* ---- what a worker does next ---- */

static bool has_work(const consume_lane *lane, int64_t now)
{
    if (lane->busy || (lane->gone && !finishes(lane)))
        return false;
    if (lane->due_ns)
        return lane->due_ns <= now;
    return lane->ready || lane->head < lane->nheld;
}

/* In turn, beginning behind the one that was served last. */
static consume_lane *pick(consume_worker *w, int64_t now)
{
    consume_lane *first = w->served && w->served->next ? w->served->next : w->lanes, *lane = first;
    while (lane) {
        if (has_work(lane, now))
            return lane;
        lane = lane->next ? lane->next : w->lanes;
        if (lane == first)
            break;
    }
    return NULL;
}

static int wait_ms(const consume_worker *w, int64_t now)
{
    int64_t least = IDLE_MS;
    for (const consume_lane *lane = w->lanes; lane; lane = lane->next) {
        int64_t ms = (lane->due_ns - now + 999999) / 1000000;
        if (lane->due_ns && ms < least)
            least = ms;
    }
    return least > 0 ? (int)least : 0;
}

/* A wake-up that was missed costs no more than the wait. */
static void look_again(consume_worker *w)
{
    for (consume_lane *lane = w->lanes; lane; lane = lane->next)
        lane->ready = true;
}

consume_lane *consume_lane_take(consume_worker *w)
{
    pthread_mutex_lock(&w->lock);
    consume_lane *gone = take_gone(w);
    consume_lane *lane = pick(w, clock_ns());
    if (!lane && !flow_stopping(&w->c->flow)) {
        struct timespec until = in_ms(wait_ms(w, clock_ns()));
        if (pthread_cond_timedwait(&w->change, &w->lock, &until) != 0)
            look_again(w);
        lane = pick(w, clock_ns());
    }
    if (lane) {
        lane->busy = true;
        w->served = lane;
    }
    pthread_mutex_unlock(&w->lock);
    free_list(gone);
    return lane;
}

void consume_lane_give_back(consume_worker *w, consume_lane *lane)
{
    pthread_mutex_lock(&w->lock);
    lane->busy = false;
    if (lane->gone || atomic_load(&lane->lost))
        pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->lock);
}

/* ---- records ---- */

static void set_ready(consume_lane *lane, bool ready)
{
    pthread_mutex_lock(&lane->worker->lock);
    lane->ready = ready;
    pthread_mutex_unlock(&lane->worker->lock);
}

static int fetch(consume_lane *lane, rd_kafka_message_t **msgs, int room)
{
    pthread_mutex_lock(&lane->lock);
    ssize_t n = atomic_load(&lane->lost)
                    ? 0
                    : rd_kafka_consume_batch_queue(lane->queue, 0, msgs, (size_t)room);
    pthread_mutex_unlock(&lane->lock);
    return n > 0 ? (int)n : 0;
}

static void keep(consume_lane *lane, rd_kafka_message_t *msg)
{
    if (!msg->err) {
        lane->held[lane->nheld++] = (consume_item){.msg = msg, .lane = lane};
        return;
    }
    if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        atomic_store(&lane->eof, msg->offset);
    else
        kafka_notes_error(kafka_consumer_notes(lane->c->consumer),
                          kafka_err(NULL, msg->err, "%s[%d]", lane->topic, (int)lane->partition));
    rd_kafka_message_destroy(msg);
}

/* Not ready is said before the queue is looked at, as a record may come right after. */
static void fill(consume_lane *lane)
{
    int room = lane->c->o.fetch;
    rd_kafka_message_t **msgs = mem_alloc((size_t)room * sizeof *msgs);
    lane->head = lane->nheld = 0;
    set_ready(lane, false);
    int n = fetch(lane, msgs, room);
    if (n == room)
        set_ready(lane, true);
    for (int i = 0; i < n; i++)
        keep(lane, msgs[i]);
    free(msgs);
    consume_count(lane->worker, CONSUME_N_polled, lane->nheld);
}

/* How long the item must wait, in ms; its due time is read from its headers once. */
static int64_t wait_of(consume_lane *lane, consume_item *item)
{
    if (!item->story.read)
        consume_story_read(item->msg, lane->c->group, &item->story);
    return item->story.due_ms ? item->story.due_ms - clock_unix_ms() : 0;
}

consume_item *consume_lane_batch(consume_lane *lane, int *n)
{
    if (lane->head == lane->nheld)
        fill(lane);
    int max = lane->nheld - lane->head;
    int64_t wait = 0;
    max = max < lane->c->o.batch ? max : lane->c->o.batch;
    consume_item *items = lane->held + lane->head;
    *n = lane->retry ? 0 : max;
    while (*n < max && (wait = wait_of(lane, &items[*n])) <= 0)
        ++*n;
    lane->due_ns = *n == 0 && max > 0 ? clock_ns() + wait * 1000000 : 0;
    atomic_store(&lane->wake_ns, lane->due_ns);
    return items;
}

void consume_lane_advance(consume_lane *lane, int n)
{
    for (int i = 0; i < n; i++)
        consume_item_clear(&lane->held[lane->head++]);
}
