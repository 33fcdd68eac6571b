#include <stdlib.h>

#include "kafka/wire/api.h"

#define COORDINATOR_VERSION 3

typedef struct coordinator_ask {
    const char *id;
    wire_coordinator_kind kind;
} coordinator_ask;

static const char *const kinds[] = {"group", "transaction"};

static void write_coordinator(frame_writer *w, const void *arg)
{
    const coordinator_ask *ask = arg;
    frame_put_str(w, ask->id);
    frame_put_i8(w, (int8_t)ask->kind);
    frame_put_tags(w);
}

rl_err *wire_coordinator_parse(frame_reader *r, wire_coordinator_kind kind, const char *id,
                               wire_node *node)
{
    *node = (wire_node){0};
    frame_i32(r); /* throttle time */
    int code = frame_i16(r);
    frame_str(r);
    node->id = frame_i32(r);
    node->host = frame_dup(frame_str(r));
    node->port = frame_i32(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "FindCoordinator response");
    if (!err && !node->host)
        err = err_lab("MALFORMED", "FindCoordinator response without a host");
    if (!err)
        err = wire_code(code, "the coordinator of %s %s", kinds[kind], id);
    if (err) {
        free(node->host);
        *node = (wire_node){0};
    }
    return err;
}

rl_err *wire_coordinator(wire_cluster *cluster, const wire_call *call, wire_coordinator_kind kind,
                         const char *id, wire_node *node)
{
    coordinator_ask ask = {id, kind};
    wire_question q = {FRAME_FIND_COORDINATOR, COORDINATOR_VERSION, write_coordinator, &ask};
    frame_reader r;
    *node = (wire_node){0};
    rl_err *err = wire_ask(cluster, call, WIRE_ANY, &q, &r);
    if (!err)
        err = wire_coordinator_parse(&r, kind, id, node);
    if (!err)
        wire_cluster_learn(cluster, node->id, node->host, node->port);
    return err;
}

rl_err *wire_ask_coordinator(wire_cluster *cluster, const wire_call *call,
                             wire_coordinator_kind kind, const char *id,
                             const wire_question *question, frame_reader *r, int *broker)
{
    wire_node node;
    rl_err *err = wire_coordinator(cluster, call, kind, id, &node);
    *broker = err ? -1 : node.id;
    free(node.host);
    return err ? err : wire_ask(cluster, call, *broker, question, r);
}
