#include "flow/consume/track.h"

#include <stdlib.h>

#include "base/buf.h"

enum { RING_FIRST = 64 };

void consume_track_open(consume_track *t)
{
    *t = (consume_track){.low = -1, .high = -1};
}

void consume_track_free(consume_track *t)
{
    free(t->begun);
    free(t->done);
    consume_track_open(t);
}

static int at(const consume_track *t, int i)
{
    return (t->head + i) & (t->cap - 1);
}

static void grow(consume_track *t)
{
    int cap = t->cap ? t->cap * 2 : RING_FIRST;
    int64_t *begun = mem_alloc((size_t)cap * sizeof *begun);
    bool *done = mem_alloc((size_t)cap * sizeof *done);
    for (int i = 0; i < t->n; i++) {
        begun[i] = t->begun[at(t, i)];
        done[i] = t->done[at(t, i)];
    }
    free(t->begun);
    free(t->done);
    t->begun = begun;
    t->done = done;
    t->head = 0;
    t->cap = cap;
}

void consume_track_begin(consume_track *t, int64_t offset)
{
    if (t->n == t->cap)
        grow(t);
    int i = at(t, t->n++);
    t->begun[i] = offset;
    t->done[i] = false;
}

static void mark(consume_track *t, int64_t offset)
{
    for (int low = 0, high = t->n - 1; low <= high;) {
        int middle = (low + high) / 2, i = at(t, middle);
        if (t->begun[i] == offset) {
            t->done[i] = true;
            return;
        }
        if (t->begun[i] < offset)
            low = middle + 1;
        else
            high = middle - 1;
    }
}

void consume_track_done(consume_track *t, int64_t offset)
{
    mark(t, offset);
    if (offset + 1 > t->high)
        t->high = offset + 1;
    for (; t->n && t->done[t->head]; t->n--, t->head = (t->head + 1) & (t->cap - 1))
        t->low = t->begun[t->head] + 1;
}
