/* Which offsets of a partition are done, when several workers do them.
 *
 * Offers: consume_track, offsets begun in rising order and done in any; the offset to go on from is
 * the lowest unfinished one (right), or one behind the highest finished one (what a naive pool
 * commits: it passes what is still under way).
 * Uses: base/buf. Thread: plain memory, one owner at a time. */
#ifndef RL_FLOW_CONSUME_TRACK_H
#define RL_FLOW_CONSUME_TRACK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct consume_track {
    int64_t *begun; /* a ring of offsets; done ones are marked in `done` */
    bool *done;
    int head, n, cap;
    int64_t low, high; /* go on from there; -1: nothing done yet */
} consume_track;

void consume_track_open(consume_track *track);
void consume_track_free(consume_track *track);
void consume_track_begin(consume_track *track, int64_t offset);
void consume_track_done(consume_track *track, int64_t offset);

#endif
