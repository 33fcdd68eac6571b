/* A batch is shown to the owner, who answers what is to become of its records. The worker waits
 * meanwhile, so the owner may look at them; what the owner keeps is a number, so that a worker that
 * is aborted can take its batch back at any time. */

#include "base/assert.h"
#include "base/cond.h"
#include "flow/consume/internal.h"

typedef struct consume_ask {
    struct consume_ask *next;
    int64_t number;
    consume_item **list;
    int n;
    bool taken, done;
    rl_err *wrong; /* what was answered is no answer */
} consume_ask_t;

static void announce(consume_worker *w, int64_t number)
{
    flow_emit(&w->consume->flow, "batch", NULL, &(flow_field){"number", NULL, number}, 1);
}

static void link_ask(flow_consume *consume, consume_ask_t *a)
{
    pthread_mutex_lock(&consume->lock);
    a->number = ++consume->ask_number;
    consume_ask_t **p = &consume->asks;
    while (*p)
        p = &(*p)->next;
    *p = a;
    pthread_mutex_unlock(&consume->lock);
}

static void unlink_ask(flow_consume *consume, const consume_ask_t *a)
{
    rl_assert(flow_lock_held(&consume->lock));
    consume_ask_t **p = &consume->asks;
    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
}

/* The announcement may be lost where events are many: once more after a second. */
static void wait_for_answer(consume_worker *w, consume_ask_t *a)
{
    flow_consume *consume = w->consume;
    pthread_mutex_lock(&consume->lock);
    while (!a->done && !flow_aborted(&consume->flow)) {
        bool in_time = cond_wait_until(&consume->ask_change, &consume->lock, deadline_in(1));
        bool again = !in_time && !a->taken && !a->done;
        if (!again)
            continue;
        pthread_mutex_unlock(&consume->lock);
        announce(w, a->number);
        pthread_mutex_lock(&consume->lock);
    }
    unlink_ask(consume, a);
    pthread_mutex_unlock(&consume->lock);
}

static void ask_once(consume_worker *w, consume_ask_t *a)
{
    a->taken = a->done = false;
    err_free(a->wrong);
    a->wrong = NULL;
    link_ask(w->consume, a);
    announce(w, a->number);
    wait_for_answer(w, a);
}

/* Nothing is done with what has no answer, and nothing is passed over: it is shown again until it has one. */
void consume_ask(consume_worker *w, consume_item **list, int n)
{
    consume_ask_t a = {.list = list, .n = n};
    rl_assert(n > 0 && list[0]->state == ITEM_READY);
    ask_once(w, &a);
    for (int turn = 0; a.wrong && consume_may_repeat(&list[0]->part->permit); turn++) {
        consume_stuck(list[0], a.wrong);
        consume_pause(w, turn);
        ask_once(w, &a);
    }
    bool answered = a.done && !a.wrong;
    if (answered)
        consume_unstuck(list[0]);
    for (int i = 0; !answered && i < n; i++)
        consume_item_become(list[i], ITEM_DROPPED);
    err_free(a.wrong);
}

/* ---- the owner's side ---- */

static flow_consume_view view_of(const consume_item *item)
{
    const rd_kafka_message_t *msg = item->msg;
    const consume_event *event = &item->event;
    rd_kafka_headers_t *headers;
    return (flow_consume_view){.topic = rd_kafka_topic_name(msg->rkt),
                               .key = msg->key,
                               .value = msg->payload,
                               .key_len = msg->key_len,
                               .value_len = msg->len,
                               .partition = msg->partition,
                               .offset = msg->offset,
                               .timestamp = rd_kafka_message_timestamp(msg, NULL),
                               .headers = rd_kafka_message_headers(msg, &headers) ? NULL : headers,
                               .attempt = item->story.attempt + 1,
                               .event_id = event->id_text,
                               .account = event->legs[0].account,
                               .amount = event->legs[0].amount,
                               .balance = event->balance,
                               .version = event->version};
}

int64_t flow_consume_ask_take(flow_consume *consume, int *n)
{
    pthread_mutex_lock(&consume->lock);
    consume_ask_t *a = consume->asks;
    while (a && a->taken)
        a = a->next;
    if (a)
        a->taken = true;
    int64_t number = a ? a->number : 0;
    *n = a ? a->n : 0;
    pthread_mutex_unlock(&consume->lock);
    return number;
}

static consume_ask_t *find_ask(flow_consume *consume, int64_t number)
{
    rl_assert(flow_lock_held(&consume->lock));
    consume_ask_t *a = consume->asks;
    while (a && a->number != number)
        a = a->next;
    return a;
}

bool flow_consume_ask_look(flow_consume *consume, int64_t number, int i,
                           void (*see)(void *arg, const flow_consume_view *record), void *arg)
{
    pthread_mutex_lock(&consume->lock);
    const consume_ask_t *a = find_ask(consume, number);
    bool there = a && !a->done && i >= 0 && i < a->n;
    if (there) {
        flow_consume_view v = view_of(a->list[i]);
        see(arg, &v);
    }
    pthread_mutex_unlock(&consume->lock);
    return there;
}

void flow_consume_ask_verdict(flow_consume *consume, int64_t number, int64_t i,
                              flow_consume_verdict verdict, const char *why)
{
    pthread_mutex_lock(&consume->lock);
    const consume_ask_t *a = find_ask(consume, number);
    consume_item *item = a && !a->done && i >= 0 && i < a->n ? a->list[i] : NULL;
    if (item && item->state == ITEM_READY && verdict == CONSUME_SKIP)
        consume_item_become(item, ITEM_SKIPPED);
    else if (item && item->state == ITEM_READY && verdict == CONSUME_REFUSE)
        consume_item_fail(item, "handler", err_lab("HANDLER", "%s", why));
    pthread_mutex_unlock(&consume->lock);
}

static void end_ask(flow_consume *consume, int64_t number, const char *wrong)
{
    pthread_mutex_lock(&consume->lock);
    consume_ask_t *a = find_ask(consume, number);
    if (a && !a->done) {
        a->done = true;
        a->wrong = wrong ? err_lab("WRONG_RESULT", "%s", wrong) : NULL;
    }
    pthread_cond_broadcast(&consume->ask_change);
    pthread_mutex_unlock(&consume->lock);
}

void flow_consume_ask_done(flow_consume *consume, int64_t number)
{
    end_ask(consume, number, NULL);
}

void flow_consume_ask_again(flow_consume *consume, int64_t number, const char *why)
{
    end_ask(consume, number, why);
}
