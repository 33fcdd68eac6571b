-- Faults: failpoints, and the proxy's rules. The stack's own proxy is not broken: a judge of these has one in
-- its own process.
return {
  { id = "failpoint-one-hit-late", mechanism = "#40 is the fortieth hit",
    file = "engine/fault/point/registry.c",
    before = "if (state->seen < t->kth || state->seen >= t->kth + window)",
    after = "if (state->seen <= t->kth || state->seen > t->kth + window)",
    spec = "spec/unit/bind/fail_spec.lua", it = "fires at the K-th hit" },
  { id = "failpoint-condition-ignored", mechanism = "`if` decides",
    file = "engine/fault/point/registry.c",
    before = [[
        if (!cond_holds(&t->conds[i], ctx, n))
            return false;]],
    after = [[
        if (!cond_holds(&t->conds[i], ctx, n) && n > 100)
            return false;]],
    spec = "spec/unit/bind/fail_spec.lua", it = "counts only what its condition fits" },
  { id = "failpoint-count-without-end", mechanism = "N* is N hits",
    file = "engine/fault/point/registry.c",
    before = "} else if (t->count && state->fired >= t->count) {",
    after = "} else if (t->count && state->fired > t->count) {",
    spec = "spec/unit/bind/fail_spec.lua", it = "fires at the K-th hit" },
  { id = "failpoint-acts-unlogged", mechanism = "each firing is logged before it acts",
    file = "engine/fault/point/registry.c",
    before = "    const fail_term *t = term < 0 ? NULL : &p->expr.terms[term];",
    after = [[
    const fail_term *t = term < 0 ? NULL : &p->expr.terms[term];
    if (t)
        return;]],
    spec = "spec/unit/bind/fail_spec.lua", it = "is armed by the environment and logs" },
  { id = "failpoint-barrier-lets-one-through", mechanism = "a barrier waits for all",
    file = "engine/fault/point/registry.c",
    before = "if (++b->arrived < t->number)",
    after = "if (++b->arrived < t->number - 1)",
    unit = "test_failpoint", it = "threads_pause_and_meet" },
  { id = "proxy-rule-one-late", mechanism = "nth is the nth match",
    file = "engine/fault/proxy/rule.c",
    before = "if (rule->matched < rule->spec.nth)",
    after = "if (rule->matched <= rule->spec.nth)",
    spec = "spec/live/lab/proxy_spec.lua", it = "acts on Redis commands inside a pipeline" },
  { id = "proxy-rule-never-spent", mechanism = "times is how often",
    file = "engine/fault/proxy/match.c",
    before = "(spec->action != PROXY_COUNT && spec->times > 0 && rule->taken >= spec->times)",
    after = "(spec->action != PROXY_COUNT && spec->times > 0 && rule->taken > spec->times)",
    spec = "spec/live/lab/proxy_spec.lua", it = "delays a statement, once" },
  { id = "proxy-rule-for-everybody", mechanism = "a rule is for one client",
    file = "engine/fault/proxy/match.c",
    before = [[
           text_begins(msg->client.data, msg->client.len, spec->client_id) &&
           (!*spec->topic]],
    after = "           (!*spec->topic",
    unit = "test_proxy_pipe", it = "a_rule_is_for_its_client" },
  { id = "proxy-drop-passes", mechanism = "what is dropped does not arrive",
    file = "engine/fault/proxy/rule.c",
    before = "        return PROTO_DROP;",
    after = "        return PROTO_PASS;",
    unit = "test_proxy_pipe", it = "a_rule_drops_the_nth" },
  { id = "proxy-duplicate-sends-once", mechanism = "what is doubled arrives twice",
    file = "engine/fault/proxy/rule.c",
    before = "        return PROTO_TWICE;",
    after = "        return PROTO_PASS;",
    spec = "spec/live/lab/proxy_spec.lua", it = "acts on Redis commands inside a pipeline" },
  { id = "proxy-lost-answer-comes", mechanism = "an answer that is to be lost is",
    file = "engine/fault/proxy/rule.c",
    before = [[
        pending->wanted = true;
        pending->rule = rule->id;]],
    after = "        pending->wanted = true;",
    spec = "spec/live/lab/proxy_spec.lua", it = "a commit whose answer is lost has happened" },
  { id = "proxy-cut-before-passes", mechanism = "a request that is cut off does not arrive",
    file = "engine/fault/proxy/rule.c",
    before = [[
        conn_cut(conn);
        return PROTO_STOP;
    case PROXY_DELAY:]],
    after = [[
        return PROTO_PASS;
    case PROXY_DELAY:]],
    spec = "spec/live/lab/proxy_spec.lua", it = "cut-before loses a Redis command" },
  { id = "proxy-black-hole-leaks", mechanism = "a black hole swallows the request that it acts on",
    file = "engine/fault/proxy/rule.c",
    before = [[
    rule->bytes += (int64_t)msg->len;
    return PROTO_STOP;]],
    after = [[
    rule->bytes += (int64_t)msg->len;
    return PROTO_PASS;]],
    spec = "spec/live/lab/proxy_spec.lua", it = "black-hole swallows a Redis command" },
  { id = "proxy-delay-cut-short", mechanism = "a delay is as long as it says",
    file = "engine/fault/proxy/rule.c",
    before = "conn_hold(conn, rule, msg, *pending, rule->spec.delay, false);",
    after = "conn_hold(conn, rule, msg, *pending, rule->spec.delay / 10, false);",
    spec = "spec/live/lab/proxy_spec.lua", it = "delays a statement, once" },
  { id = "proxy-chance-is-certain", mechanism = "a chance is drawn",
    file = "engine/fault/proxy/rule.c",
    before = "if (rule->spec.chance < 1 && rng_double(&rule->rng) >= rule->spec.chance)",
    after = "if (rule->spec.chance < 1 && rng_double(&rule->rng) < 0)",
    spec = "spec/live/lab/proxy_spec.lua", it = "draws chances from its seed" },
  { id = "proxy-chance-without-seed", mechanism = "chances follow the seed",
    file = "engine/fault/proxy/rule.c",
    before = "rng_split(&proxy->rng, label.data, label.len, &rule->rng);",
    after = "rng_init(&rule->rng, (uint64_t)clock_ns());",
    spec = "spec/live/lab/proxy_spec.lua", it = "draws chances from its seed" },
  { id = "proxy-two-rules-act", mechanism = "one rule acts on a request",
    file = "engine/fault/proxy/rule.c",
    before = [[
        } else if (acted) {
            rule->matched++;
        } else if (rule_takes(rule)) {]],
    after = "        } else if (rule_takes(rule) || acted) {",
    spec = "spec/live/lab/proxy_spec.lua", it = "lets the first rule that fits act" },
  { id = "proxy-statement-ignored", mechanism = "a statement is meant by its beginning",
    file = "engine/fault/proxy/match.c",
    before = "(!*spec->statement || begins_like(msg->text, spec->statement)) &&",
    after = [[(!*spec->statement || !begins_like(msg->text, "?")) &&]],
    spec = "spec/live/lab/proxy_spec.lua", it = "counts statements by their text" },
  { id = "proxy-param-ignored", mechanism = "a prepared statement is meant by its parameter",
    file = "engine/fault/proxy/match.c",
    before = "(!*spec->param || proto_has_param(msg, spec->param));",
    after = "(!*spec->param || msg->len > 0);",
    spec = "spec/live/lab/proxy_spec.lua", it = "counts statements by their text" },
  { id = "proxy-contains-ignored", mechanism = "a rule is for the requests that it names",
    file = "engine/fault/proxy/match.c",
    before = [[
           (!*spec->contains ||
            memmem(msg->data, msg->len, spec->contains, strlen(spec->contains))) &&
           (!*spec->param]],
    after = "           (!*spec->param",
    spec = "spec/live/lab/proxy_spec.lua", it = "counts the requests that a rule names" },
  { id = "proxy-counts-to-one", mechanism = "every request that fits is counted",
    file = "engine/fault/proxy/rule.c",
    before = [[
            rule->matched++;
        } else if (acted)]],
    after = [[
            rule->matched = 1;
        } else if (acted)]],
    spec = "spec/live/lab/proxy_spec.lua", it = "counts the requests that a rule names" },
  { id = "wire-log-forgets", mechanism = "the log has every request and its answer",
    file = "engine/fault/proxy/watch.c",
    before = "ROWS_MAX = 1 << 17,",
    after = "ROWS_MAX = 1 << 5,",
    spec = "spec/live/lab/proxy_spec.lua", it = "counts the requests that a rule names" },
  { id = "toxic-latency-too-short", mechanism = "latency is in milliseconds",
    file = "engine/fault/proxy/toxic.c",
    before = "chunk->at + ms * MS);",
    after = "chunk->at + ms * MS / 10);",
    spec = "spec/unit/service/proxy_spec.lua", it = "latency holds an answer back" },
  { id = "toxic-bandwidth-too-wide", mechanism = "bandwidth is in kilobytes a second",
    file = "engine/fault/proxy/toxic.c",
    before = "int64_t rate = stage->toxic->value[0] * 1000;",
    after = "int64_t rate = stage->toxic->value[0] * 1024 * 8;",
    spec = "spec/unit/service/proxy_spec.lua", it = "bandwidth lets so many kilobytes" },
  { id = "toxic-limit-lets-all-through", mechanism = "limit_data breaks after so many bytes",
    file = "engine/fault/proxy/toxic.c",
    before = "int64_t left = stage->toxic->value[0] - stage->passed;",
    after = "int64_t left = INT32_MAX - stage->passed;",
    spec = "spec/unit/service/proxy_spec.lua", it = "timeout swallows, reset_peer and limit_data break" },
  { id = "toxic-strikes-all", mechanism = "toxicity is a share of the connections",
    file = "engine/fault/proxy/toxic.c",
    before = "return rng_double(rng) < toxic->toxicity;",
    after = "return rng_double(rng) < 1 && toxic->toxicity > 0;",
    spec = "spec/unit/service/proxy_spec.lua", it = "toxicity strikes the same connections" },
}
