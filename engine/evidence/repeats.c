#include "evidence/repeats.h"

#include <string.h>

#include "evidence/pages.h"

enum { FIRST_ROOM = 16 };

static size_t list_size(const rl_repeats *r)
{
    return sizeof *r->entry * (size_t)r->room;
}

static size_t copies_size(const rl_repeats *r)
{
    return sizeof *r->copies * (size_t)r->copies_room;
}

static uint32_t more_room(uint32_t room)
{
    return room ? room / 2 : FIRST_ROOM;
}

size_t repeats_growth(const rl_repeats *r, uint32_t ids, uint32_t open)
{
    size_t more = 0;
    if (r->n + open >= r->room)
        more += more_room(r->room) * 2 * sizeof *r->entry;
    if (ids + open >= r->copies_room)
        more += more_room(r->copies_room) * sizeof *r->copies;
    return more;
}

static void grow_list(rl_repeats *r)
{
    size_t had = list_size(r);
    r->room += more_room(r->room);
    r->entry = pages_grow(r->entry, had, list_size(r));
    r->id = pages_grow(r->id, had, list_size(r));
}

static void grow_copies(rl_repeats *r)
{
    size_t had = copies_size(r);
    r->copies_room += more_room(r->copies_room);
    r->copies = pages_grow(r->copies, had, copies_size(r));
}

void repeats_make_room(rl_repeats *r, uint32_t ids, uint32_t open)
{
    if (r->n + open >= r->room)
        grow_list(r);
    if (ids + open >= r->copies_room)
        grow_copies(r);
}

void repeats_note(rl_repeats *r, uint32_t entry, uint32_t id)
{
    if (id >= r->copies_n) {
        uint32_t upto = id + id / 2 + 1 < r->copies_room ? id + id / 2 + 1 : r->copies_room;
        memset(r->copies + r->copies_n, 0, sizeof *r->copies * (upto - r->copies_n));
        r->copies_n = upto;
    }
    r->copies[id]++;
    r->entry[r->n] = entry;
    r->id[r->n++] = id;
}

/* ---- reading ---- */

size_t repeats_count(const rl_repeats *r, uint32_t id)
{
    return 1 + (size_t)(id < r->copies_n ? r->copies[id] : 0);
}

/* How many repeats lie before the first one whose entry (less the repeats before it, where first
 * copies are counted) is at least `at`. */
static uint32_t repeats_before(const rl_repeats *r, uint64_t at, bool first_copies)
{
    uint32_t low = 0, high = r->n;
    while (low < high) {
        uint32_t k = low + (high - low) / 2;
        if (r->entry[k] - (first_copies ? k : 0) < at)
            low = k + 1;
        else
            high = k;
    }
    return low;
}

size_t repeats_first(const rl_repeats *r, uint32_t id)
{
    return (size_t)id + repeats_before(r, (uint64_t)id + 1, true);
}

uint32_t repeats_id(const rl_repeats *r, uint32_t entry)
{
    repeats_walk w = {entry, repeats_before(r, entry, false)};
    return repeats_walk_id(r, &w);
}

bool repeats_at(const rl_repeats *r, const repeats_walk *w)
{
    return w->repeat < r->n && r->entry[w->repeat] == w->entry;
}

uint32_t repeats_walk_id(const rl_repeats *r, const repeats_walk *w)
{
    return repeats_at(r, w) ? r->id[w->repeat] : w->entry - w->repeat;
}

void repeats_next(const rl_repeats *r, repeats_walk *w)
{
    w->repeat += repeats_at(r, w);
    w->entry++;
}

size_t repeats_memory(const rl_repeats *r)
{
    return 2 * list_size(r) + copies_size(r);
}

void repeats_free(rl_repeats *r)
{
    pages_free(r->entry, list_size(r));
    pages_free(r->id, list_size(r));
    pages_free(r->copies, copies_size(r));
    *r = (rl_repeats){0};
}
