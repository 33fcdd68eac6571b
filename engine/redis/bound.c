/* Bounds on what a server may make us keep: a reply's elements, depth and bytes. */
#include "redis/internal.h"

static size_t depth_of(const redisReadTask *task)
{
    size_t depth = 0;
    for (; task; task = task->parent)
        depth++;
    return depth;
}

/* Called before the array is made, with what the server announces. */
static void *count_array(const redisReadTask *task, size_t elements)
{
    redisc_conn *conn = task->privdata;
    if (depth_of(task) > REDISC_DEPTH_MAX)
        conn->beyond = "a reply that is nested too deep";
    else if (elements > REDISC_ELEMENTS_MAX - conn->elements)
        conn->beyond = "a reply of too many elements";
    if (conn->beyond)
        return NULL;
    conn->elements += elements;
    return conn->make_array(task, elements);
}

void redisc_bound_replies(redisc_conn *conn)
{
    redisReader *reader = conn->ctx->reader;
    conn->objects = *reader->fn;
    conn->make_array = conn->objects.createArray;
    conn->objects.createArray = count_array;
    reader->fn = &conn->objects;
    reader->privdata = conn;
    reader->maxelements = REDISC_ELEMENTS_MAX;
    conn->elements = conn->bytes = 0;
    conn->beyond = NULL;
}

bool redisc_within_bytes(redisc_conn *conn, size_t come)
{
    conn->bytes += come;
    if (conn->bytes > REDISC_BYTES_MAX)
        conn->beyond = "a reply of more than 512 MiB";
    return !conn->beyond;
}

/* What lies in the buffer already is the next one's. */
void redisc_reply_ended(redisc_conn *conn)
{
    conn->elements = 0;
    conn->bytes = conn->ctx->reader->len - conn->ctx->reader->pos;
}

size_t redisc_weight(const redisReply *reply)
{
    size_t sum = sizeof *reply + reply->len;
    for (size_t i = 0; i < reply->elements; i++)
        sum += sizeof reply + redisc_weight(reply->element[i]);
    return sum;
}
