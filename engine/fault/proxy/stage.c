/* A toxic's queue on one direction of one connection: chunks that wait until they are due. */
#include <stdlib.h>

#include "base/assert.h"
#include "fault/proxy/internal.h"

void stage_put(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk, int64_t due)
{
    rl_assert(chunk->from <= chunk->len);
    chunk->next = NULL;
    chunk->due = stage->last && stage->last->due > due ? stage->last->due : due;
    if (stage->last)
        stage->last->next = chunk;
    else
        stage->first = chunk;
    stage->last = chunk;
    st->staged += sizeof *chunk + chunk->len - chunk->from;
}

proxy_chunk *stage_take(proxy_stream *st, proxy_stage *stage)
{
    rl_assert(stage->first);
    proxy_chunk *chunk = stage->first;
    stage->first = chunk->next;
    if (!stage->first)
        stage->last = NULL;
    rl_assert(st->staged >= sizeof *chunk + chunk->len - chunk->from);
    st->staged -= sizeof *chunk + chunk->len - chunk->from;
    return chunk;
}

int64_t stage_due(const proxy_stream *st)
{
    int64_t due = INT64_MAX;
    for (const proxy_stage *stage = st->stages; stage; stage = stage->next) {
        if (stage->first && stage->first->due < due)
            due = stage->first->due;
        if (stage->due > 1 && stage->due < due)
            due = stage->due;
    }
    return due;
}

void stage_free(proxy_stage *stage)
{
    while (stage->first) {
        proxy_chunk *chunk = stage->first;
        stage->first = chunk->next;
        free(chunk);
    }
    free(stage);
}

void stage_free_all(proxy_stream *st)
{
    while (st->stages) {
        proxy_stage *stage = st->stages;
        st->stages = stage->next;
        stage_free(stage);
    }
}
