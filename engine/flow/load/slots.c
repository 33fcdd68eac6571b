#include <stdlib.h>

#include "base/assert.h"
#include "flow/load/internal.h"

void load_slots_open(flow_load *l)
{
    load_slots *slots = &l->slots;
    size_t n = (size_t)l->o.in_flight;
    slots->memory = mem_zero(n * l->driver->slot_size);
    slots->free = mem_zero(n * sizeof *slots->free);
    for (int i = l->o.in_flight - 1; i >= 0; i--) {
        load_request *r = load_slot(l, i);
        r->slot = i;
        load_slot_give(l, r);
    }
}

void load_slots_close(flow_load *l)
{
    for (int i = 0; i < l->o.in_flight; i++)
        buf_free(&load_slot(l, i)->id);
    free(l->slots.memory);
    free(l->slots.free);
    l->slots = (load_slots){0};
}

load_request *load_slot(flow_load *l, int i)
{
    rl_assert(i >= 0 && i < l->o.in_flight);
    return (load_request *)(void *)(l->slots.memory + (size_t)i * l->driver->slot_size);
}

load_request *load_slot_take(flow_load *l, int reader)
{
    load_slots *slots = &l->slots;
    if (reader < 0)
        return slots->nfree ? slots->free[--slots->nfree] : NULL;
    load_request *r = load_slot(l, reader);
    return r->open ? NULL : r;
}

/* A reader's slot is its own, and free whenever it is not open. */
void load_slot_give(flow_load *l, load_request *r)
{
    if (l->o.readers)
        return;
    rl_assert(l->slots.nfree < l->o.in_flight);
    l->slots.free[l->slots.nfree++] = r;
}
