#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/units.h"
#include "flow/consume/internal.h"
#include "kafka/leaf.h"

enum { IDLE_MS = 100 };

static void clear_held(consume_part *part)
{
    for (int i = part->head; i < part->nheld; i++)
        consume_item_clear(&part->held[i]);
    part->head = part->nheld = 0;
}

void consume_part_rewind(consume_part *part)
{
    clear_held(part);
    part->due_ns = 0;
}

/* ---- coming and going ---- */

/* Under librdkafka's lock of the queue. */
static void on_records(rd_kafka_t *rk, void *arg)
{
    consume_part *part = arg;
    (void)rk;
    kafka_leaf_lock(&part->worker->lock);
    part->ready = true;
    pthread_cond_broadcast(&part->worker->change);
    kafka_leaf_unlock(&part->worker->lock);
}

static bool is_retry(const flow_consume *consume, const char *topic)
{
    for (int i = 0; i < consume->opts.ndelays; i++)
        if (strcmp(consume->opts.delays[i].topic, topic) == 0)
            return true;
    return false;
}

static consume_part *part_new(flow_consume *consume, const char *topic, int32_t partition)
{
    consume_part *part = mem_zero(sizeof *part);
    part->consume = consume;
    part->permit = (consume_permit){&consume->flow, consume->opts.drop_lost ? &part->lost : NULL};
    part->topic = mem_strdup(topic);
    part->partition = partition;
    part->retry = is_retry(consume, topic);
    part->must_seek = consume->opts.commit == CONSUME_MYSQL;
    part->db_next = -1;
    part->position = part->eof = -1;
    consume_track_open(&part->track);
    pthread_mutex_init(&part->lock, NULL);
    return part;
}

void consume_part_free(consume_part *part)
{
    rl_assert(atomic_load(&part->lost) && part->gone && !part->busy && part->outstanding == 0);
    rl_assert(kafka_may_call());
    clear_held(part);
    if (part->queue)
        rd_kafka_queue_destroy(part->queue);
    consume_track_free(&part->track);
    pthread_mutex_destroy(&part->lock);
    free(part->held);
    free(part->stuck_why);
    free(part->topic);
    free(part);
}

static int load_of(consume_worker *w)
{
    kafka_leaf_lock(&w->lock);
    int n = w->nparts;
    kafka_leaf_unlock(&w->lock);
    return n;
}

static consume_worker *least_busy(flow_consume *consume)
{
    consume_worker *best = &consume->workers[0];
    for (int i = 1, least = load_of(best); i < consume->opts.workers && least > 0; i++) {
        int n = load_of(&consume->workers[i]);
        if (n >= least)
            continue;
        least = n;
        best = &consume->workers[i];
    }
    return best;
}

/* The partition's own queue is taken off the consumer's before the assignment begins, so that
 * its worker can fetch from it. */
static void give_to_worker(consume_part *part)
{
    consume_worker *w = least_busy(part->consume);
    part->worker = w;
    part->held = mem_zero((size_t)part->consume->opts.fetch * sizeof *part->held);
    part->queue = rd_kafka_queue_get_partition(kafka_consumer_rk(part->consume->consumer),
                                               part->topic, part->partition);
    rd_kafka_queue_forward(part->queue, NULL);
    kafka_leaf_lock(&w->lock);
    part->next = w->parts;
    w->parts = part;
    w->nparts++;
    part->ready = true;
    kafka_leaf_unlock(&w->lock);
    rd_kafka_queue_cb_event_enable(part->queue, on_records, part);
}

void consume_parts_add(flow_consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        consume_part *part = part_new(consume, list->elems[i].topic, list->elems[i].partition);
        if (!consume_is_shared(consume))
            give_to_worker(part);
        pthread_mutex_lock(&consume->lock);
        consume->all = mem_grow(consume->all, (size_t)(consume->nall + 1) * sizeof(consume_part *));
        consume->all[consume->nall++] = part;
        pthread_mutex_unlock(&consume->lock);
    }
}

static consume_part *unlist_part(flow_consume *consume, const char *topic, int32_t partition)
{
    consume_part *part = NULL;
    pthread_mutex_lock(&consume->lock);
    for (int i = 0; i < consume->nall && !part; i++) {
        if (consume->all[i]->partition != partition || strcmp(consume->all[i]->topic, topic) != 0)
            continue;
        part = consume->all[i];
        consume->all[i] = consume->all[--consume->nall];
    }
    consume_stuck_tell(consume);
    pthread_mutex_unlock(&consume->lock);
    return part;
}

/* From here on nothing is fetched for it: the queue may soon hold records of a later assignment
 * of the same partition. */
static void part_lose(consume_part *part)
{
    rl_assert(kafka_may_call());
    if (part->queue)
        rd_kafka_queue_cb_event_enable(part->queue, NULL, NULL);
    pthread_mutex_lock(&part->lock);
    atomic_store(&part->lost, true);
    pthread_mutex_unlock(&part->lock);
}

/* What is under way is waited for, so that its offset can still be committed. */
static void part_hand_over(consume_part *part, rl_deadline until)
{
    consume_worker *w = part->worker;
    kafka_leaf_lock(&w->lock);
    bool in_time = true;
    while (part->busy && in_time)
        in_time = cond_wait_until(&w->change, &w->lock, until);
    part->gone = true;
    pthread_cond_broadcast(&w->change);
    kafka_leaf_unlock(&w->lock);
}

static void free_unless_used(flow_consume *consume, consume_part *part)
{
    pthread_mutex_lock(&consume->shared.lock);
    bool idle = part->outstanding == 0;
    part->gone = true;
    pthread_mutex_unlock(&consume->shared.lock);
    if (idle)
        consume_part_free(part);
}

void consume_parts_remove(flow_consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    rl_deadline until = deadline_in_ms(units_ms(consume->opts.revoke_wait));
    consume_part **parts = mem_zero((size_t)(list->cnt + 1) * sizeof(consume_part *));
    for (int i = 0; i < list->cnt; i++) {
        parts[i] = unlist_part(consume, list->elems[i].topic, list->elems[i].partition);
        if (parts[i])
            part_lose(parts[i]);
    }
    for (int i = 0; i < list->cnt; i++) {
        if (parts[i] && parts[i]->worker)
            part_hand_over(parts[i], until);
        else if (parts[i])
            free_unless_used(consume, parts[i]);
    }
    free(parts);
}

/* The wrong practice: what is held is done although the partition has gone. */
static bool part_finishes(const consume_part *part)
{
    return !part->permit.lost && part->head < part->nheld && consume_may_repeat(&part->permit);
}

/* Under the worker's lock; they are freed without it, as librdkafka's lock of the queue comes
 * before ours. */
static consume_part *take_gone(consume_worker *w)
{
    rl_assert(flow_lock_held(&w->lock));
    consume_part *gone = NULL;
    for (consume_part **p = &w->parts, *part; (part = *p);) {
        if (!part->gone || part->busy || part_finishes(part)) {
            p = &part->next;
            continue;
        }
        *p = part->next;
        w->nparts--;
        if (w->served == part)
            w->served = NULL;
        part->next = gone;
        gone = part;
    }
    return gone;
}

static void free_parts(consume_part *part)
{
    while (part) {
        consume_part *next = part->next;
        consume_part_free(part);
        part = next;
    }
}

void consume_parts_clear(flow_consume *consume)
{
    pthread_mutex_lock(&consume->lock);
    for (int i = 0; i < consume->nall; i++) {
        part_lose(consume->all[i]);
        consume->all[i]->gone = true;
        if (!consume->all[i]->worker)
            consume_part_free(consume->all[i]);
    }
    consume->nall = 0;
    pthread_mutex_unlock(&consume->lock);
    for (int i = 0; i < consume->opts.workers; i++) {
        consume_worker *w = &consume->workers[i];
        kafka_leaf_lock(&w->lock);
        consume_part *gone = take_gone(w);
        kafka_leaf_unlock(&w->lock);
        rl_assert(!w->parts && w->nparts == 0);
        free_parts(gone);
    }
}

/* ---- what a worker does next ---- */

static bool part_has_work(const consume_part *part, int64_t now)
{
    if (part->busy || (part->gone && !part_finishes(part)))
        return false;
    if (part->due_ns)
        return part->due_ns <= now;
    return part->ready || part->head < part->nheld;
}

/* In turn, beginning behind the one that was served last. */
static consume_part *pick_part(consume_worker *w, int64_t now)
{
    rl_assert(flow_lock_held(&w->lock));
    consume_part *first = w->served && w->served->next ? w->served->next : w->parts, *part = first;
    while (part) {
        if (part_has_work(part, now))
            return part;
        part = part->next ? part->next : w->parts;
        if (part == first)
            break;
    }
    return NULL;
}

static int wait_ms(const consume_worker *w, int64_t now)
{
    int64_t least = IDLE_MS;
    for (const consume_part *part = w->parts; part; part = part->next) {
        int64_t ms = (part->due_ns - now + 999999) / 1000000;
        if (part->due_ns && ms < least)
            least = ms;
    }
    return least > 0 ? (int)least : 0;
}

/* A wake-up that was missed costs no more than the wait. */
static void look_again(consume_worker *w)
{
    for (consume_part *part = w->parts; part; part = part->next)
        part->ready = true;
}

consume_part *consume_part_take(consume_worker *w)
{
    kafka_leaf_lock(&w->lock);
    consume_part *gone = take_gone(w);
    consume_part *part = pick_part(w, clock_ns());
    if (!part && consume_may_repeat(&w->permit)) {
        rl_deadline until = deadline_in_ms(wait_ms(w, clock_ns()));
        if (!cond_wait_until(&w->change, &w->lock, until))
            look_again(w);
        part = pick_part(w, clock_ns());
    }
    if (part) {
        part->busy = true;
        w->served = part;
    }
    kafka_leaf_unlock(&w->lock);
    free_parts(gone);
    return part;
}

void consume_part_give_back(consume_worker *w, consume_part *part)
{
    kafka_leaf_lock(&w->lock);
    rl_assert(part->busy && part->worker == w);
    part->busy = false;
    if (part->gone || atomic_load(&part->lost))
        pthread_cond_broadcast(&w->change);
    kafka_leaf_unlock(&w->lock);
}

/* ---- records ---- */

static void set_ready(consume_part *part, bool ready)
{
    kafka_leaf_lock(&part->worker->lock);
    part->ready = ready;
    kafka_leaf_unlock(&part->worker->lock);
}

static int part_fetch(consume_part *part, rd_kafka_message_t **msgs, int room)
{
    rl_assert(kafka_may_call());
    pthread_mutex_lock(&part->lock);
    ssize_t n = atomic_load(&part->lost)
                    ? 0
                    : rd_kafka_consume_batch_queue(part->queue, 0, msgs, (size_t)room);
    pthread_mutex_unlock(&part->lock);
    return n > 0 ? (int)n : 0;
}

static void part_keep(consume_part *part, rd_kafka_message_t *msg)
{
    if (!msg->err) {
        rl_assert(part->nheld < part->consume->opts.fetch);
        part->held[part->nheld++] = (consume_item){.msg = msg, .part = part};
        return;
    }
    if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        atomic_store(&part->eof, msg->offset);
    else
        kafka_notes_error(kafka_consumer_notes(part->consume->consumer),
                          kafka_err(NULL, msg->err, "%s[%d]", part->topic, (int)part->partition));
    rd_kafka_message_destroy(msg);
}

/* `ready` is cleared before the queue is looked at, as a record may come right after. */
static void part_fill(consume_part *part)
{
    rl_assert(part->busy && part->head == part->nheld);
    int room = part->consume->opts.fetch;
    rd_kafka_message_t **msgs = mem_alloc((size_t)room * sizeof *msgs);
    part->head = part->nheld = 0;
    set_ready(part, false);
    int n = part_fetch(part, msgs, room);
    if (n == room)
        set_ready(part, true);
    for (int i = 0; i < n; i++)
        part_keep(part, msgs[i]);
    free(msgs);
    consume_count(part->worker, CONSUME_N_polled, part->nheld);
}

/* How long the item must wait, in ms; its due time is read from its headers once. */
static int64_t wait_of(consume_part *part, consume_item *item)
{
    if (!item->story.read)
        consume_story_read(item->msg, part->consume->group, &item->story);
    rl_assert(item->story.due_ms >= 0 && item->story.due_ms <= CONSUME_DUE_MAX_MS);
    return item->story.due_ms ? item->story.due_ms - clock_unix_ms() : 0;
}

consume_item *consume_part_batch(consume_part *part, int *n)
{
    if (part->head == part->nheld)
        part_fill(part);
    int max = part->nheld - part->head;
    int64_t wait = 0;
    max = max < part->consume->opts.batch ? max : part->consume->opts.batch;
    consume_item *items = part->held + part->head;
    *n = part->retry ? 0 : max;
    while (*n < max && (wait = wait_of(part, &items[*n])) <= 0)
        ++*n;
    part->due_ns = *n == 0 && max > 0 ? clock_ns() + wait * 1000000 : 0;
    atomic_store(&part->wake_ns, part->due_ns);
    return items;
}

void consume_part_advance(consume_part *part, int n)
{
    rl_assert(n >= 0 && n <= part->nheld - part->head);
    for (int i = 0; i < n; i++)
        consume_item_clear(&part->held[part->head++]);
}
