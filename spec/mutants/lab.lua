-- The lab: census, drain, kills and hits as proofs, clients with their profile.
return {
  { id = "lab-census-partition-0", mechanism = "the reader reads every partition",
    file = "lua/rlab/lab/census.lua",
    before = [[
for _, p in ipairs(must(lab.run.admin:topic(topic)).partitions) do
    local now]],
    after = [[
for _, p in ipairs { must(lab.run.admin:topic(topic)).partitions[1] } do
    local now]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "orphan-row" },
  { id = "lab-census-stops-early", mechanism = "a reader that stopped before the end proves nothing",
    file = "lua/rlab/lab/census.lua",
    before = [[
    return all_ended(ends, #parts)
]],
    after = [[
    return #records > 0
]],
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 3, reason = "the independent reader" },
  { id = "lab-census-forgets-a-record", mechanism = "the reader keeps every record",
    file = "lua/rlab/lab/census.lua",
    before = "records[#records + 1] = keep(record, opts.headers)",
    after = "records[#records + (record.offset == 4 and 0 or 1)] = keep(record, opts.headers)",
    run = "E-012", arms = { "ids" }, exit = 1, check = "log-all" },
  { id = "lab-census-reads-uncommitted", mechanism = "two censuses, by isolation",
    file = "lua/rlab/lab/census.lua",
    before = [[["isolation.level"] = isolation,]],
    after = [[["isolation.level"] = "read_uncommitted",]],
    run = "E-012", arms = { "ids" }, exit = 1, check = "log-committed" },
  { id = "lab-effects-cut-short", mechanism = "the census reads every effect",
    file = "lua/rlab/lab/stores.lua",
    before = "FROM effect_log ORDER BY seq]]",
    after = "FROM effect_log ORDER BY seq LIMIT 20]]",
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 1, check = "lost-effect" },
  { id = "lab-drain-does-not-wait", mechanism = "quiescent is quiescent",
    file = "lua/rlab/lab/workload.lua",
    before = "    return left == 0, left\n",
    after = "    return true, left\n",
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 1, check = "conservation" },
  { id = "lab-ledger-of-the-plan", mechanism = "what is published is in the ledger",
    file = "lua/rlab/lab/workload.lua",
    before = "  for i, event in ipairs(list) do messages[i] = message_of(topic, event, opts.partition) end",
    after = [[
  for i in ipairs(list) do
    messages[i] = message_of(topic, list[i % 7 == 0 and 1 or i], opts.partition)
  end]],
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 1, check = "duplicate-publish" },
  { id = "lab-kill-is-none", mechanism = "a crash is a real SIGKILL",
    file = "engine/fault/point/registry.c",
    before = [[
    kill(getpid(), SIGKILL);
    for (;;)
        pause();]],
    after = "    return;",
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 3, reason = "did not end" },
  { id = "lab-hits-unlogged", mechanism = "a fault without evidence proves nothing",
    file = "engine/fault/point/registry.c",
    before = "    const fail_term *t = term < 0 ? NULL : &p->expr.terms[term];",
    after = [[
    const fail_term *t = term < 0 ? NULL : &p->expr.terms[term];
    if (t)
        return;]],
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 3, reason = "no proof" },
  { id = "lab-hit-is-another", mechanism = "the hit that is proved is the hit that was asked for",
    file = "engine/fault/point/registry.c",
    before = "if (state->seen < t->kth || state->seen >= t->kth + window)",
    after = "if (state->seen <= t->kth || state->seen > t->kth + window)",
    run = "E-003", arms = { "relay-crash-dedup" }, exit = 3, reason = "hit" },
  { id = "lab-replaces-no-producer", mechanism = "kafka.transactional replaces a producer in doubt",
    file = "lua/rlab/kafka/transactional.lua",
    before = "(self.dead or p:end_uncertain())",
    after = "self.dead",
    run = "E-028", arms = { "kafka.transactional" }, exit = 1, check = "all-or-nothing-commit" },
  { id = "lab-acks-of-one", mechanism = "the standard profile is acks=all",
    file = "lua/rlab/story/acks.lua",
    before = "row.std and { message_timeout_ms = 10000, linger_ms = 0 }",
    after = [[
row.std and { message_timeout_ms = 10000, linger_ms = 0, acks = 1, enable_idempotence = false }]],
    run = "E-009", exit = 1, check = "lost", slow = true },
  { id = "lab-writer-of-another-id", mechanism = "a writer that is restarted has its own id again",
    file = "lua/rlab/story/writer.lua",
    before = [[lab:start("writer", { transactional_id = id, timeout_ms]],
    after = [[lab:start("writer", { transactional_id = id .. "x", timeout_ms]],
    run = "E-007", arms = { "stable-id" }, exit = 1, check = "unseen-p0" },
  { id = "lab-plan-without-seed", mechanism = "arms of one seed get the same work",
    file = "lua/rlab/lab/workload.lua",
    before = [[local rng, list = lab.rng:split(word or "cmd"), {}]],
    after = [[local rng, list = require("rlab.rng").new(require("rlab.clock").ns()), {}]],
    spec = "spec/unit/lab/log_spec.lua", it = "are the same for one seed" },
}
