/* Records that hold up their partition until something outside changes: health is DOWN meanwhile, and says
 * which record it is and why. */
#include <stdlib.h>

#include "base/assert.h"
#include "flow/consume/internal.h"

static void tell(flow_consume *consume, const char *first, int others)
{
    rl_err *err =
        others ? err_lab("STUCK", "%s; and %d more", first, others) : err_lab("STUCK", "%s", first);
    flow_down(&consume->flow, "partition", err);
    err_free(err);
}

void consume_stuck_tell(flow_consume *consume)
{
    rl_assert(flow_lock_held(&consume->lock));
    const char *first = NULL;
    int n = 0;
    for (int i = 0; i < consume->nall; i++) {
        if (!consume->all[i]->nstuck)
            continue;
        first = first ? first : consume->all[i]->stuck_why;
        n++;
    }
    if (first)
        tell(consume, first, n - 1);
    else if (flow_is_down(&consume->flow, "partition"))
        flow_up(&consume->flow, "partition");
}

void consume_stuck(consume_item *item, const rl_err *why)
{
    consume_part *part = item->part;
    flow_consume *consume = part->consume;
    rl_buf text = {0};
    buf_printf(&text, "%s[%d] stands still at offset %lld: %s", part->topic, (int)part->partition,
               (long long)item->msg->offset, why->msg);
    pthread_mutex_lock(&consume->lock);
    if (!item->stuck)
        part->nstuck++;
    item->stuck = true;
    free(part->stuck_why);
    part->stuck_why = text.data;
    consume_stuck_tell(consume);
    pthread_mutex_unlock(&consume->lock);
}

void consume_unstuck(consume_item *item)
{
    if (!item->stuck)
        return;
    flow_consume *consume = item->part->consume;
    pthread_mutex_lock(&consume->lock);
    rl_assert(item->part->nstuck > 0);
    item->part->nstuck--;
    item->stuck = false;
    consume_stuck_tell(consume);
    pthread_mutex_unlock(&consume->lock);
}
