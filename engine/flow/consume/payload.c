/* From a record's value to its event: JSON as it is, or Avro, whose writer's schema the registry has. */
#include <string.h>

#include "base/assert.h"
#include "flow/consume/internal.h"

rl_err *consume_payload_open(flow_consume *consume)
{
    const flow_consume_opts *opts = &consume->opts;
    if (!opts->reader_schema)
        return NULL;
    registry_opts registry = {.url = opts->registry, .timeout = opts->registry_timeout, .tries = 1};
    rl_err *err = avro_form_new(opts->reader_schema, strlen(opts->reader_schema), &consume->reader);
    return err ? err : registry_schemas_new(&registry, &consume->schemas);
}

void consume_payload_stop(flow_consume *consume)
{
    if (consume->schemas)
        registry_schemas_stop(consume->schemas);
}

void consume_payload_close(flow_consume *consume)
{
    registry_schemas_free(consume->schemas);
    avro_form_free(consume->reader);
}

/* ---- Avro ---- */

/* The partition went to another member, which may find the registry well: it is no need of ours now. */
static rl_err *given_up(consume_worker *w, rl_err *err)
{
    if (!flow_stopping(&w->consume->flow))
        flow_up(&w->consume->flow, "registry");
    err_free(err);
    return err_lab("DROPPED", "the registry is not asked again");
}

/* Until the registry answers: what it is to blame for is no fault of the record. */
static rl_err *avro_to_json(consume_worker *w, const consume_item *item)
{
    const rd_kafka_message_t *msg = item->msg;
    for (int turn = 0;; turn++) {
        buf_reset(&w->json);
        rl_err *err = registry_schemas_decode(w->consume->schemas, w->consume->reader, msg->payload,
                                              msg->len, &w->json);
        if (!err || registry_blames_record(err)) {
            flow_up(&w->consume->flow, "registry");
            return err;
        }
        flow_down(&w->consume->flow, "registry", err);
        if (!consume_may_repeat(&item->part->permit))
            return given_up(w, err);
        err_free(err);
        consume_pause(w, turn);
    }
}

static rl_err *undecodable(rl_err *why)
{
    if (err_is(why, RL_LAB, "DROPPED"))
        return why;
    rl_err *err = err_lab("UNDECODABLE", "%s", why->msg);
    err_free(why);
    return err;
}

/* The headers are read also where the value cannot be. */
rl_err *consume_payload_decode(consume_worker *w, consume_item *item)
{
    const flow_consume *consume = w->consume;
    const consume_reading reading = {consume->group, consume->opts.amount,
                                     consume->opts.missing_zero};
    consume_value value = {item->msg->payload, item->msg->len};
    rl_err *why = NULL;
    if (consume->schemas && value.json) {
        why = avro_to_json(w, item);
        value = why ? (consume_value){NULL, 0} : (consume_value){w->json.data, w->json.len};
    }
    rl_err *err = consume_decode(item->msg, &reading, value, &item->event, &item->story);
    if (!why)
        return err;
    err_free(err);
    return undecodable(why);
}
