/* A toxic's queue on one direction of one connection: chunks that wait until they are due. */
#include <stdlib.h>

#include "fault/proxy/internal.h"

void stage_put(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk, int64_t due)
{
    chunk->next = NULL;
    chunk->due = stage->last && stage->last->due > due ? stage->last->due : due;
    if (stage->last)
        stage->last->next = chunk;
    else
        stage->first = chunk;
    stage->last = chunk;
    st->staged += chunk->len - chunk->from;
}

proxy_chunk *stage_take(proxy_stream *st, proxy_stage *stage)
{
    proxy_chunk *chunk = stage->first;
    stage->first = chunk->next;
    if (!stage->first)
        stage->last = NULL;
    st->staged -= chunk->len - chunk->from;
    return chunk;
}

int64_t stage_due(const proxy_stream *st)
{
    int64_t due = INT64_MAX;
    for (const proxy_stage *s = st->stages; s; s = s->next) {
        if (s->first && s->first->due < due)
            due = s->first->due;
        if (s->due > 1 && s->due < due)
            due = s->due;
    }
    return due;
}

void stage_free(proxy_stage *s)
{
    while (s->first) {
        proxy_chunk *chunk = s->first;
        s->first = chunk->next;
        free(chunk);
    }
    free(s);
}

void stage_free_all(proxy_stream *st)
{
    while (st->stages) {
        proxy_stage *s = st->stages;
        st->stages = s->next;
        stage_free(s);
    }
}
