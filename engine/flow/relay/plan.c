#include "flow/relay/plan.h"

#include <string.h>

#include "base/assert.h"
#include "base/json.h"

/* ---- leases ---- */

static int share_of(int members, bool exclusive)
{
    if (exclusive || members < 2)
        return RELAY_SHARDS;
    return (RELAY_SHARDS + members - 1) / members;
}

static bool somebody_else(const relay_lease *lease)
{
    return !lease->mine && !lease->free && lease->live;
}

static bool others_hold(const relay_lease leases[RELAY_SHARDS])
{
    for (int s = 0; s < RELAY_SHARDS; s++)
        if (somebody_else(&leases[s]))
            return true;
    return false;
}

static relay_step let_go(const relay_shard *shard)
{
    return shard->flying ? STEP_LEAVE : STEP_DROP;
}

void relay_plan(const relay_lease leases[RELAY_SHARDS], const relay_shard shards[RELAY_SHARDS],
                int members, bool exclusive, bool ending, relay_step steps[RELAY_SHARDS])
{
    int share = ending ? 0 : share_of(members, exclusive), held = 0;
    bool may_take = !ending && !(exclusive && others_hold(leases));
    for (int s = 0; s < RELAY_SHARDS; s++) {
        steps[s] = STEP_NONE;
        if (!leases[s].mine)
            continue;
        steps[s] = held < share ? STEP_KEEP : let_go(&shards[s]);
        held++;
    }
    for (int s = 0; s < RELAY_SHARDS && may_take && held < share; s++) {
        if (leases[s].mine || somebody_else(&leases[s]))
            continue;
        steps[s] = STEP_TAKE;
        held++;
    }
    rl_assert(held <= RELAY_SHARDS);
}

/* ---- gaps ---- */

int relay_gap_cut(const int64_t *ids, int n, int64_t after, int64_t settled)
{
    for (int i = 0; i < n; i++) {
        rl_assert(ids[i] > after);
        if (ids[i] != after + 1 && ids[i] - 1 > settled)
            return i;
        after = ids[i];
    }
    return n;
}

/* ---- headers ---- */

static bool header_pair(json_reader *r, relay_header_fn add, void *arg)
{
    rl_buf name = {0};
    bool ok = json_next(r) == JSON_STRING;
    if (ok) {
        buf_add(&name, r->str.data, r->str.len);
        json_token value = json_next(r);
        ok = value == JSON_STRING || value == JSON_NULL;
        if (ok)
            add(arg, name.data ? name.data : "", name.len,
                value == JSON_NULL ? NULL
                : r->str.data      ? r->str.data
                                   : "",
                value == JSON_NULL ? 0 : r->str.len);
    }
    buf_free(&name);
    return ok && json_next(r) == JSON_ARRAY_END;
}

static bool header_list(json_reader *r, relay_header_fn add, void *arg)
{
    if (json_next(r) != JSON_ARRAY)
        return false;
    for (;;) {
        json_token t = json_next(r);
        if (t == JSON_ARRAY_END)
            return json_next(r) == JSON_END;
        if (t != JSON_ARRAY || !header_pair(r, add, arg))
            return false;
    }
}

bool relay_headers(const char *json, size_t len, relay_header_fn add, void *arg)
{
    json_reader j;
    if (len == 0)
        return true;
    json_open(&j, json, len);
    bool ok = header_list(&j, add, arg);
    json_close(&j);
    return ok;
}
