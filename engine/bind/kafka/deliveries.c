#include "bind/kafka/deliveries.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"

void delivery_set_unref(delivery_set *set)
{
    int before = atomic_fetch_sub(&set->refs, 1);
    rl_assert(before > 0);
    if (before == 1)
        free(set);
}

void delivery_set_unlink(delivery_set *set)
{
    if (!set->linked)
        return;
    if (set->prev)
        set->prev->next = set->next;
    else
        set->home->first = set->next;
    if (set->next)
        set->next->prev = set->prev;
    set->linked = false;
}

static void set_ended(delivery_set *set)
{
    delivery_set_unlink(set);
    while (set->waits)
        timed_wake(&set->waits->timed);
}

void delivery_end(delivery_slot *slot, const kafka_report *report)
{
    rl_assert(slot->set->pending > 0);
    slot->report = *report;
    slot->set->failed += report->code != RD_KAFKA_RESP_ERR_NO_ERROR;
    if (--slot->set->pending == 0)
        set_ended(slot->set);
}

static void slot_reported(report_target *target, const rd_kafka_message_t *msg)
{
    delivery_slot *slot = (delivery_slot *)target;
    kafka_report report = kafka_report_of(msg);
    delivery_end(slot, &report);
    delivery_set_unref(slot->set);
}

static void slot_drop(report_target *target)
{
    delivery_set_unref(((delivery_slot *)target)->set);
}

delivery_set *delivery_set_new(set_link *home, int n)
{
    delivery_set *set = mem_zero(sizeof *set + (size_t)n * sizeof(delivery_slot));
    atomic_init(&set->refs, 1);
    set->n = set->pending = n;
    set->home = home;
    for (int i = 0; i < n; i++) {
        set->slots[i].target = (report_target){.reported = slot_reported, .drop = slot_drop};
        set->slots[i].set = set;
        set->slots[i].report =
            kafka_report_none(RD_KAFKA_RESP_ERR__IN_PROGRESS, RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
    }
    set->linked = n > 0;
    if (!set->linked)
        return set;
    set->next = home->first;
    if (set->next)
        set->next->prev = set;
    home->first = set;
    return set;
}

void kafka_sets_close(set_link *sets)
{
    const kafka_report closed =
        kafka_report_none(RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED);
    while (sets->first) {
        delivery_set *set = sets->first;
        for (int i = 0; i < set->n && set->pending > 0; i++)
            if (set->slots[i].report.code == RD_KAFKA_RESP_ERR__IN_PROGRESS)
                delivery_end(&set->slots[i], &closed);
    }
}
