#include "flow/consume/track.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"

enum { RING_FIRST = 64 };

void consume_track_open(consume_track *track)
{
    *track = (consume_track){.low = -1, .high = -1};
}

void consume_track_free(consume_track *track)
{
    free(track->begun);
    free(track->done);
    consume_track_open(track);
}

static int track_at(const consume_track *track, int i)
{
    return (track->head + i) & (track->cap - 1);
}

static void track_grow(consume_track *track)
{
    int cap = track->cap ? track->cap * 2 : RING_FIRST;
    int64_t *begun = mem_alloc((size_t)cap * sizeof *begun);
    bool *done = mem_alloc((size_t)cap * sizeof *done);
    for (int i = 0; i < track->n; i++) {
        begun[i] = track->begun[track_at(track, i)];
        done[i] = track->done[track_at(track, i)];
    }
    free(track->begun);
    free(track->done);
    track->begun = begun;
    track->done = done;
    track->head = 0;
    track->cap = cap;
}

void consume_track_begin(consume_track *track, int64_t offset)
{
    if (track->n == track->cap)
        track_grow(track);
    int i = track_at(track, track->n++);
    track->begun[i] = offset;
    track->done[i] = false;
}

static void track_mark(consume_track *track, int64_t offset)
{
    for (int low = 0, high = track->n - 1; low <= high;) {
        int middle = (low + high) / 2, i = track_at(track, middle);
        if (track->begun[i] == offset) {
            track->done[i] = true;
            return;
        }
        if (track->begun[i] < offset)
            low = middle + 1;
        else
            high = middle - 1;
    }
}

void consume_track_done(consume_track *track, int64_t offset)
{
    track_mark(track, offset);
    if (offset + 1 > track->high)
        track->high = offset + 1;
    for (; track->n && track->done[track->head];
         track->n--, track->head = (track->head + 1) & (track->cap - 1))
        track->low = track->begun[track->head] + 1;
    rl_assert(track->low <= track->high && track->n >= 0 && track->n <= track->cap);
}
