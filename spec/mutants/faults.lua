-- Faults: failpoints, and the proxy's rules.
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
}
