#include "kafka/wire/parts.h"

#include <string.h>

#include "base/assert.h"

void *wire_read_array(frame_reader *r, size_t size, size_t least, int *count)
{
    rl_assert(size > 0 && least > 0);
    int32_t n = frame_array(r);
    if (n > 0 && (size_t)n > (r->len - r->pos) / least)
        r->bad = true;
    *count = n > 0 && !r->bad ? n : 0;
    return *count ? mem_zero((size_t)n * size) : NULL;
}

wire_ids wire_read_ids(frame_reader *r)
{
    wire_ids ids;
    ids.id = wire_read_array(r, sizeof *ids.id, 4, &ids.count);
    for (int i = 0; i < ids.count; i++)
        ids.id[i] = frame_i32(r);
    return ids;
}

void wire_read_one(frame_reader *r)
{
    if (frame_array(r) != 1)
        r->bad = true;
}

frame_slice wire_read_topic(frame_reader *r)
{
    frame_slice name = frame_str(r);
    if (name.len <= WIRE_TOPIC_MAX)
        return name;
    r->bad = true;
    return (frame_slice){0};
}

void wire_write_place(frame_writer *w, const char *topic, int partition)
{
    frame_put_array(w, 1);
    frame_put_str(w, topic);
    frame_put_array(w, 1);
    frame_put_i32(w, partition);
}

void wire_read_place(frame_reader *r, const char *topic, int partition)
{
    wire_read_one(r);
    frame_slice name = frame_str(r);
    wire_read_one(r);
    int number = frame_i32(r);
    if (name.len != strlen(topic) || memcmp(name.data, topic, name.len) != 0 || number != partition)
        r->bad = true;
}
