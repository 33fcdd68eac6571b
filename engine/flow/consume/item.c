/* What can be done to an item: it changes its state, fails, reaches a failpoint, is cleared. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "flow/consume/internal.h"

/* ---- states ---- */

#define TO(state) (1u << ITEM_##state)

/* A transaction that is halved looks at its known records again, so SEEN can become anything that
 * READY can. */
static bool may_follow(consume_state now, consume_state next)
{
    static const unsigned next_of[] = {
        [ITEM_NEW] = TO(READY) | TO(SKIPPED),
        [ITEM_READY] = TO(SEEN) | TO(APPLIED) | TO(SKIPPED) | TO(FAILED) | TO(DROPPED),
        [ITEM_SEEN] = TO(SEEN) | TO(APPLIED) | TO(FAILED) | TO(DROPPED),
        [ITEM_APPLIED] = TO(FAILED) | TO(DROPPED),
        [ITEM_SKIPPED] = TO(DROPPED),
        [ITEM_FAILED] = TO(NEW) | TO(SENT_ON) | TO(DROPPED),
        [ITEM_SENT_ON] = 0,
        [ITEM_DROPPED] = TO(DROPPED),
    };
    return next_of[now] & 1u << next;
}

void consume_item_become(consume_item *item, consume_state state)
{
    rl_assert(may_follow(item->state, state));
    item->state = state;
}

void consume_item_fail(consume_item *item, const char *error_class, rl_err *err)
{
    rl_assert(err && error_class);
    err_free(item->err);
    item->err = err;
    item->error_class = error_class;
    consume_item_become(item, ITEM_FAILED);
}

void consume_item_clear(consume_item *item)
{
    consume_unstuck(item);
    if (item->msg)
        rd_kafka_message_destroy(item->msg);
    err_free(item->err);
    *item = (consume_item){0};
}

/* ---- failpoints ---- */

typedef struct hit_text {
    char offset[24], partition[16], attempt[16], version[24], account[24], code[16];
    rl_buf key;
} hit_text;

static rl_err *error_of(fail_value *v)
{
    rl_err *err =
        v->kind == FAIL_V_INT
            ? err_new(RL_MYSQL, (int)v->i, "FAILPOINT", "failpoint: error %lld", (long long)v->i)
            : err_lab("FAILPOINT", "%s", v->text ? v->text : "failpoint");
    free(v->text);
    return err;
}

static fail_outcome item_hit(const consume_item *item, fail_point_id id, int code, hit_text *t,
                             fail_value *value)
{
    const rd_kafka_message_t *msg = item->msg;
    snprintf(t->code, sizeof t->code, "%d", code);
    snprintf(t->offset, sizeof t->offset, "%lld", (long long)msg->offset);
    snprintf(t->partition, sizeof t->partition, "%d", (int)msg->partition);
    snprintf(t->attempt, sizeof t->attempt, "%d", item->story.attempt + 1);
    snprintf(t->version, sizeof t->version, "%lld", (long long)item->event.version);
    snprintf(t->account, sizeof t->account, "%lld", (long long)item->event.legs[0].account);
    buf_add(&t->key, msg->key ? msg->key : "", msg->key_len);
    const fail_kv ctx[] = {{"id", item->event.id_text, false},
                           {"key", t->key.data, false},
                           {"topic", rd_kafka_topic_name(msg->rkt), false},
                           {"partition", t->partition, true},
                           {"offset", t->offset, true},
                           {"attempt", t->attempt, true},
                           {"version", t->version, true},
                           {"account", t->account, true},
                           {"member", item->part->consume->opts.member, false},
                           {"code", t->code, true}};
    int n = sizeof ctx / sizeof *ctx;
    return fail_hit(id, ctx, code ? n : n - 1, value);
}

static rl_err *hit_with(const consume_item *item, fail_point_id id, int code)
{
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return NULL;
    hit_text t = {.offset = ""};
    fail_value value;
    fail_outcome outcome = item_hit(item, id, code, &t, &value);
    buf_free(&t.key);
    if (outcome == FAIL_FAILED)
        return error_of(&value);
    if (outcome == FAIL_RETURNED)
        free(value.text);
    return NULL;
}

rl_err *consume_item_hit(const consume_item *item, fail_point_id id)
{
    return hit_with(item, id, 0);
}

void consume_item_conflict(const consume_item *item, int code)
{
    err_free(hit_with(item, FAIL_POINT_CONSUMER_CONFLICT, code));
}
