#include <stdlib.h>

#include "base/assert.h"
#include "flow/load/internal.h"

void load_slots_open(flow_load *load)
{
    load_slots *slots = &load->slots;
    size_t n = (size_t)load->opts.in_flight;
    slots->memory = mem_zero(n * load->driver->slot_size);
    slots->free = mem_zero(n * sizeof *slots->free);
    for (int i = load->opts.in_flight - 1; i >= 0; i--) {
        load_request *r = load_slot(load, i);
        r->slot = i;
        load_slot_give(load, r);
    }
}

void load_slots_close(flow_load *load)
{
    for (int i = 0; i < load->opts.in_flight; i++)
        buf_free(&load_slot(load, i)->id);
    free(load->slots.memory);
    free(load->slots.free);
    load->slots = (load_slots){0};
}

load_request *load_slot(flow_load *load, int i)
{
    rl_assert(i >= 0 && i < load->opts.in_flight);
    return (load_request *)(void *)(load->slots.memory + (size_t)i * load->driver->slot_size);
}

load_request *load_slot_take(flow_load *load, int reader)
{
    load_slots *slots = &load->slots;
    if (reader < 0)
        return slots->nfree ? slots->free[--slots->nfree] : NULL;
    load_request *r = load_slot(load, reader);
    return r->open ? NULL : r;
}

/* A reader's slot is its own, and free whenever it is not open. */
void load_slot_give(flow_load *load, load_request *r)
{
    if (load->opts.readers)
        return;
    rl_assert(load->slots.nfree < load->opts.in_flight);
    load->slots.free[load->slots.nfree++] = r;
}
