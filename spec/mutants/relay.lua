-- The relay: order, gaps, marks, acknowledgement, fence, isolation of what cannot be sent, leases.
return {

  -- ---- order ----

  { id = "relay-batch-backwards", mechanism = "a batch is sent in the order of its ids",
    file = "engine/flow/relay/send.c",
    before = [[
    for (int i = 0; i < batch->n; i++)
        send_row(]],
    after = [[
    for (int i = batch->n - 1; i >= 0; i--)
        send_row(]],
    run = "E-001", arms = { "lease" }, exit = 1, check = "reorder-apply" },
  { id = "relay-key-forgotten", mechanism = "a record carries its key",
    file = "engine/flow/relay/send.c",
    before = [[
.key = key.s,
                           .key_len = key.len,]],
    after = [[
.key = NULL,
                           .key_len = 0,]],
    run = "E-001", arms = { "lease" }, exit = 1, check = "reorder-apply" },
  { id = "relay-payload-of-neighbour", mechanism = "a record carries its own payload",
    file = "engine/flow/relay/send.c",
    before = "value = my_cell(result, row->at, COL_PAYLOAD);",
    after = "value = my_cell(result, 0, COL_PAYLOAD);",
    run = "E-003", arms = { "relay-crash-dedup" }, exit = 1, check = "conservation" },
  { id = "relay-id-header-forgotten", mechanism = "a record carries its event id",
    file = "engine/flow/relay/send.c",
    before = [[rd_kafka_header_add(headers, "event-id", 8, text, UUID_LEN);]],
    after = "",
    spec = "spec/live/service/relay_spec.lua", it = "writes the event's id and its headers" },
  { id = "relay-headers-dropped", mechanism = "a record carries the row's own headers",
    file = "engine/flow/relay/send.c",
    before = "(more.kind == MY_NULL || relay_headers(more.s, more.len, add_header, headers)))",
    after = "(more.kind == MY_NULL || relay_headers(more.s, 0, add_header, headers)))",
    spec = "spec/live/service/relay_spec.lua", it = "writes the event's id and its headers" },
  { id = "relay-key-to-another-partition", mechanism = "a key has one partition, whoever sends it",
    file = "engine/bind/flow/relay.c",
    before = [[{"partitioner", "murmur2_random"},]],
    after = [[{"partitioner", "consistent_random"},]],
    spec = "spec/live/service/relay_spec.lua", it = "sends a key to the partition" },
  { id = "relay-refused-is-overtaken", mechanism = "nothing is sent behind a row that failed",
    file = "engine/flow/relay/send.c",
    before = "relay->reset ? RELAY_NOT_SENT :",
    after = "relay->reset && relay->opts.batch < 0 ? RELAY_NOT_SENT :",
    spec = "spec/live/service/relay_wire_spec.lua", it = "lets nothing overtake a record that was refused" },

  -- ---- marks and acknowledgement ----

  { id = "relay-not-idempotent", mechanism = "what was appended is not appended again",
    file = "engine/bind/flow/relay.c",
    before = [[{"enable.idempotence", "true"},]],
    after = [[{"enable.idempotence", "false"},]],
    run = "E-003", arms = { "lost-response-idempotent" }, exit = 1, check = "duplicate-publish" },
  { id = "relay-acks-of-one", mechanism = "an acknowledgement is that of all replicas",
    file = "engine/bind/flow/relay.c",
    edits = {
      { [[{"acks", "all"},]], [[{"acks", "1"},]] },
      { [[{"enable.idempotence", "true"},]], [[{"enable.idempotence", "false"},]] },
    },
    spec = "spec/live/service/relay_wire_spec.lua", it = "asks for the acknowledgement of all replicas" },
  { id = "relay-aborted-is-acked", mechanism = "what a transaction took back was not sent",
    file = "engine/flow/relay/send.c",
    before = "batch->rows[i].state = ROW_FAILED; /* taken back",
    after = "batch->rows[i].state = ROW_ACKED; /* taken back",
    spec = "spec/live/service/relay_wire_spec.lua", it = "in a transaction without a commit" },
  { id = "relay-cursor-passes-what-failed", mechanism = "a cursor stops at what was not sent",
    file = "engine/flow/relay/batch.c",
    before = "int64_t open = batch->taken ? first_failed(batch) : batch->rows[0].id;",
    after = "int64_t open = batch->taken ? INT64_MAX : batch->rows[0].id;\n        (void)first_failed;",
    spec = "spec/live/service/relay_spec.lua", it = "passes nothing with its cursor that was not sent" },
  { id = "relay-cursor-forgets-what-failed", mechanism = "what failed is known until it is sent",
    file = "engine/flow/relay/batch.c",
    before = "if (batch->rows[i].state != ROW_FAILED)\n            continue;\n        relay->failed =",
    after = "if (batch->rows[i].state != ROW_POISON)\n            continue;\n        relay->failed =",
    spec = "spec/live/service/relay_spec.lua",
    it = "sends again what an armed error keeps from its mark: cursor", slow = true },
  { id = "relay-sends-what-flies", mechanism = "what is in flight is not read again",
    file = "engine/flow/relay/batch.c",
    before = "batch->rows[batch->n - 1].id && in_batch(batch, id))",
    after = "batch->rows[batch->n - 1].id && in_batch(batch, id) && !relay->first)",
    spec = "spec/live/service/relay_spec.lua", it = "sends nothing twice that is in flight" },

  -- ---- clean-up ----

  { id = "relay-cleans-up-what-waits", mechanism = "what was not sent is not deleted",
    file = "engine/flow/relay/keep.c",
    before = [["DELETE FROM outbox_event WHERE published_at < NOW(6) - INTERVAL %lld MICROSECOND "]],
    after = [["DELETE FROM outbox_event WHERE created_at < NOW(6) - INTERVAL %lld MICROSECOND "]],
    spec = "spec/live/service/relay_spec.lua", it = "cleans up what was sent" },
  { id = "relay-cleans-up-beyond-its-cursor", mechanism = "what was not sent is not deleted",
    file = "engine/flow/relay/keep.c",
    before = [["<= (SELECT MIN(position) FROM relay_lease) ORDER BY]],
    after = [["<= (SELECT 1000000 + MIN(position) FROM relay_lease) ORDER BY]],
    spec = "spec/live/service/relay_spec.lua", it = "cleans up what was sent" },
  { id = "relay-cleans-up-what-was-parked", mechanism = "a row that was parked stays for its owner",
    file = "engine/flow/relay/keep.c",
    before = [["AND parked_reason IS NULL ORDER BY published_at LIMIT %d",]],
    after = [["ORDER BY published_at LIMIT %d",]],
    spec = "spec/live/service/relay_spec.lua", it = "cleans up what was sent" },

  { id = "relay-mark-before-ack", mechanism = "a mark comes after the acknowledgement",
    file = "engine/flow/relay/read.c",
    before = [[
    d->idle = relay->opts.poll;
    relay_send(relay, batch);]],
    after = [[
    d->idle = relay->opts.poll;
    buf_reset(&d->sql);
    buf_printf(&d->sql, "UPDATE outbox_event SET published_at = NOW(6) WHERE id >= %lld AND id <= %lld",
               (long long)batch->rows[0].id, (long long)batch->rows[batch->n - 1].id);
    err_free(relay_exec(d->conn, &d->sql));
    relay_send(relay, batch);]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "lost" },
  { id = "relay-mark-before-ack-live", mechanism = "a mark comes after the acknowledgement",
    file = "engine/flow/relay/read.c",
    before = [[
    d->idle = relay->opts.poll;
    relay_send(relay, batch);]],
    after = [[
    d->idle = relay->opts.poll;
    buf_reset(&d->sql);
    buf_printf(&d->sql, "UPDATE outbox_event SET published_at = NOW(6) WHERE id >= %lld AND id <= %lld",
               (long long)batch->rows[0].id, (long long)batch->rows[batch->n - 1].id);
    err_free(relay_exec(d->conn, &d->sql));
    relay_send(relay, batch);]],
    spec = "spec/live/service/relay_spec.lua", it = "before a batch is sent" },
  { id = "relay-failed-report-is-ack", mechanism = "a failed report is no acknowledgement",
    file = "engine/flow/relay/send.c",
    before = [[
    if (msg->err) {
        flow_add(count, RELAY_N_retries, 1);]],
    after = [[
    if (msg->err && is_poison(msg->err)) {
        flow_add(count, RELAY_N_retries, 1);]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "lost" },
  { id = "relay-marks-what-failed", mechanism = "only what was acknowledged is marked",
    file = "engine/flow/relay/mark.c",
    before = "            if (row->state != ROW_ACKED || !fence_passes(f, row))",
    after = "            if (!fence_passes(f, row))",
    run = "E-002", arms = { "outbox" }, exit = 1, check = "lost" },
  { id = "relay-marks-what-failed-live", mechanism = "only what was acknowledged is marked",
    file = "engine/flow/relay/mark.c",
    before = "            if (row->state != ROW_ACKED || !fence_passes(f, row))",
    after = "            if (!fence_passes(f, row))",
    spec = "spec/live/service/relay_spec.lua", it = "sends again what an armed error keeps from its mark" },
  { id = "relay-never-marks", mechanism = "what was acknowledged is marked",
    file = "engine/flow/relay/mark.c",
    before = "            if (row->state != ROW_ACKED || !fence_passes(f, row))",
    after = "            if (row->state == ROW_ACKED || !fence_passes(f, row))",
    run = "E-002", arms = { "outbox" }, exit = 1, check = "drained" },
  { id = "relay-marks-by-between", mechanism = "marks are by id",
    file = "engine/flow/relay/mark.c",
    edits = {
      {
        "published_at = NOW(6) WHERE id IN (",
        "published_at = NOW(6) WHERE id >= LEAST(",
      },
      {
        [[
    buf_str(&sql, ")");
    rl_err *err = relay_exec(m->conn, &sql);
    buf_free(&sql);
    return err;
}

static rl_err *mark_rows]],
        [[
    buf_str(&sql, ",9e18) AND id <= GREATEST(0,");
    buf_add(&sql, ids->data, ids->len);
    buf_str(&sql, ")");
    rl_err *err = relay_exec(m->conn, &sql);
    buf_free(&sql);
    return err;
}

static rl_err *mark_rows]],
      },
    },
    run = "E-026", arms = { "status-flag" }, exit = 1, check = "lost" },
  { id = "relay-forgets-what-failed", mechanism = "after a failure all is read again",
    file = "engine/flow/relay/send.c",
    before = [[
    relay->rewind = true;
    flow_add(relay->transactional]],
    after = "    flow_add(relay->transactional",
    spec = "spec/live/service/relay_spec.lua", it = "sends again what an armed error keeps from its mark",
    slow = true },

  -- ---- gaps ----

  { id = "relay-late-ids-skipped", mechanism = "rows that commit behind a later id",
    file = "engine/flow/relay/read.c",
    before = "    return d->hole > d->gap.settled;",
    after = "    return d->gap.settled < 0;",
    run = "E-026", arms = { "status-flag" }, exit = 1, check = "lost" },
  { id = "relay-late-ids-skipped-live", mechanism = "rows that commit behind a later id",
    file = "engine/flow/relay/read.c",
    before = "    return d->hole > d->gap.settled;",
    after = "    return d->gap.settled < 0;",
    spec = "spec/live/service/relay_spec.lua", it = "finds rows that commit behind a later id", slow = true },
  { id = "relay-late-row-overtaken", mechanism = "what lies below goes first",
    file = "engine/flow/relay/read.c",
    before = [[
    err = late_ids(d, late);
    if (!err && !late->len)
        err = poll_next(d, batch);]],
    after = [[
    err = poll_next(d, batch);
    d->gap.settled = *batch ? 0 : d->gap.settled; /* else a hole settled by this poll is lost */
    if (!err && !*batch)
        err = late_ids(d, late);]],
    run = "E-026", arms = { "status-flag" }, exit = 1, check = "reorder-publish" },
  { id = "relay-gap-cut-by-one", mechanism = "a cursor stops at a hole that is not settled",
    file = "engine/flow/relay/plan.c",
    before = "ids[i] - 1 > settled",
    after = "ids[i] > settled + 2",
    unit = "test_relay", it = "a_cursor_stops_at_a_hole" },
  { id = "relay-gap-forgets-writers", mechanism = "a hole waits for the transaction that may fill it",
    file = "engine/flow/relay/gap.c",
    before = "if (gap->seen && gap->nwriters == 0) {",
    after = "if (gap->seen) {",
    spec = "spec/live/service/relay_spec.lua", it = "waits for the transaction that may fill it" },
  { id = "relay-gap-forgets-writers-story", mechanism = "a hole waits for the transaction that may fill it",
    file = "engine/flow/relay/gap.c",
    before = "if (gap->seen && gap->nwriters == 0) {",
    after = "if (gap->seen) {",
    run = "E-026", arms = { "stops-at-holes" }, exit = 1, check = "lost" },
  { id = "relay-gap-believes-an-old-list", mechanism = "only a fresh list of transactions settles a hole",
    file = "engine/flow/relay/gap.c",
    before = "    return false;\n}\n\nstatic bool was_writing",
    after = "    return true;\n}\n\nstatic bool was_writing",
    spec = "spec/live/service/relay_spec.lua", it = "list of transactions is an old one" },

  -- ---- fence and leases ----

  { id = "relay-no-fence-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/relay.lua",
    before = [[{ name = "fence", type = "bool", default = true,]],
    after = [[{ name = "fence", type = "bool", default = false,]],
    spec = "spec/live/service/relay_leases_spec.lua", it = "refuses the mark of a stale one" },

  { id = "relay-fence-dropped", mechanism = "the mark of a stale relay is refused",
    file = "engine/flow/relay/mark.c",
    before = "    return !f->on || f->tokens[row->shard] == row->batch->tokens[row->shard];",
    after = "    return !f->on || row->shard < RELAY_SHARDS;",
    run = "E-027", arms = { "token-only" }, exit = 2, check = "foreign-marks" },
  { id = "relay-fence-dropped-live", mechanism = "the mark of a stale relay is refused",
    file = "engine/flow/relay/mark.c",
    before = "    return !f->on || f->tokens[row->shard] == row->batch->tokens[row->shard];",
    after = "    return !f->on || row->shard < RELAY_SHARDS;",
    spec = "spec/live/service/relay_leases_spec.lua", it = "refuses the mark of a stale one" },
  { id = "relay-frozen-keeps-its-locks", mechanism = "a frozen relay's locks end with its session",
    file = "engine/flow/relay/db.c",
    before = "    if (!locks_leases(relay, conn))",
    after = "    if (conn || !locks_leases(relay, conn))",
    spec = "spec/live/service/relay_leases_spec.lua", it = "leaves its shards to others when it is frozen" },
  { id = "relay-marker-falls-silent", mechanism = "an idle marker keeps its session",
    file = "engine/flow/relay/mark.c",
    before = "    if (my_conn_broken(m->conn) ||\n",
    after = "    if (m->conn || my_conn_broken(m->conn) ||\n",
    spec = "spec/live/service/relay_leases_spec.lua", it = "keeps its sessions while it has nothing" },
  { id = "relay-reads-past-its-lease", mechanism = "nothing is claimed once the lease is over",
    file = "engine/flow/relay/batch.c",
    before = "!relay->rewind && clock_ns() < relay->lease_until_ns) {",
    after = "!relay->rewind) {",
    run = "E-027", arms = { "asks-the-clock" }, exit = 1, check = "duplicate-publish" },
  { id = "relay-token-stands-still", mechanism = "a lease's token grows with each owner",
    file = "engine/flow/relay/keep.c",
    edits = {
      { "token = token + 1, expires_at", "token = token, expires_at" },
      { "take_shard(relay, shard, lease->token + 1,", "take_shard(relay, shard, lease->token," },
    },
    spec = "spec/live/service/relay_leases_spec.lua", it = "refuses the mark of one that has its shards" },
  { id = "relay-token-is-not-written", mechanism = "a lease has the token under which rows are claimed",
    file = "engine/flow/relay/keep.c",
    before = "token = token + 1, expires_at",
    after = "token = token, expires_at",
    run = "E-003", arms = { "relay-crash-dedup" }, exit = 1, check = "duplicate-publish" },
  { id = "relay-takes-what-lives", mechanism = "a lease that lives is not taken",
    file = "engine/flow/relay/plan.c",
    before = "return !lease->mine && !lease->free && lease->live;",
    after = "return !lease->mine && !lease->free && lease->live && lease->token < 0;",
    unit = "test_relay", it = "what_lives_is_not_taken" },
  { id = "relay-share-rounds-down", mechanism = "every shard has an owner",
    file = "engine/flow/relay/plan.c",
    before = "return (RELAY_SHARDS + members - 1) / members;",
    after = "return RELAY_SHARDS / members;",
    unit = "test_relay", it = "shares_come_to_rest" },
  { id = "relay-drops-a-flying-shard", mechanism = "a shard goes when its rows have landed",
    file = "engine/flow/relay/plan.c",
    before = "return shard->flying ? STEP_LEAVE : STEP_DROP;",
    after = "return shard->flying < 0 ? STEP_LEAVE : STEP_DROP;",
    unit = "test_relay", it = "each_has_its_share" },
  { id = "relay-two-are-exclusive", mechanism = "with transactions one relay has all or none",
    file = "engine/flow/relay/plan.c",
    before = "bool may_take = !ending && !(exclusive && others_hold(leases));",
    after = "bool may_take = !ending && !(exclusive && ending && others_hold(leases));",
    unit = "test_relay", it = "exclusive_is_all_or_none" },
  { id = "relay-keeps-at-its-end", mechanism = "the end lets all go",
    file = "engine/flow/relay/plan.c",
    before = "int share = ending ? 0 : share_of(members, exclusive), held = 0;",
    after = "int share = share_of(members, exclusive), held = 0;",
    unit = "test_relay", it = "the_end_lets_all_go" },
  { id = "relay-lease-of-the-dead-lives-on", mechanism = "a dead relay's lease runs out",
    file = "engine/flow/relay/keep.c",
    before = "IFNULL(expires_at > NOW(3), 0)",
    after = "IFNULL(expires_at > NOW(3) - INTERVAL 1 HOUR, 0)",
    run = "E-003", arms = { "relay-crash-dedup" }, exit = 1, check = "drained" },
  { id = "relay-lease-runs-out-alive", mechanism = "a lease is renewed while its owner lives",
    file = "engine/flow/relay/keep.c",
    before = "rl_err *err = set_leases(k, steps, STEP_KEEP, STEP_LEAVE, text);",
    after = "rl_err *err = set_leases(k, steps, STEP_LEAVE, STEP_LEAVE, text);",
    spec = "spec/live/service/relay_leases_spec.lua", it = "keeps its leases while it lives" },
  { id = "relay-leases-kept-at-the-end", mechanism = "who ends lets its shards go",
    file = "engine/flow/relay/keep.c",
    before = [[
    rl_err *err = keeper_beat(k);
    buf_reset(&k->sql);]],
    after = [[
    rl_err *err = NULL;
    buf_reset(&k->sql);]],
    spec = "spec/live/service/relay_spec.lua", it = "finishes what it has on SIGTERM" },

  -- ---- what cannot be sent ----

  { id = "relay-parks-the-neighbours", mechanism = "only a record that was sent alone is to blame",
    file = "engine/flow/relay/send.c",
    before = "(is_poison(code) && row->batch->alone)) {",
    after = "is_poison(code)) {",
    spec = "spec/live/service/relay_spec.lua", it = "parks none that was refused for a neighbour's sake" },
  { id = "relay-alone-among-others", mechanism = "only a record that was sent alone is to blame",
    file = "engine/flow/relay/batch.c",
    before = "batch->alone = relay->careful_to && relay->nbatches == 0 && batch->n == 1;",
    after = "batch->alone = relay->nbatches == 0 && batch->n == 1;",
    spec = "spec/live/service/relay_spec.lua", it = "parks none that was refused for a neighbour's sake" },
  { id = "relay-bad-headers-are-sent", mechanism = "a row with wrong headers is parked",
    file = "engine/flow/relay/plan.c",
    before = [[
if (t != JSON_ARRAY || !header_pair(r, add, arg))
            return false;]],
    after = [[
if (t != JSON_ARRAY || !header_pair(r, add, arg))
            return true;]],
    unit = "test_relay", it = "headers_are_a_list_of_pairs" },
  { id = "relay-parks-nothing", mechanism = "a row that can never be sent is out of the way",
    file = "engine/flow/relay/mark.c",
    before = [[
            if (row->state != ROW_POISON || !fence_passes(f, row))
                continue;
            t->parked++;]],
    after = [[
            if (row->state != ROW_POISON || f->on || !fence_passes(f, row))
                continue;
            t->parked++;]],
    spec = "spec/live/service/relay_spec.lua", it = "parks one with wrong headers" },
  { id = "relay-share-rounds-too-far", mechanism = "a member keeps its share and no more",
    file = "engine/flow/relay/plan.c",
    before = "(RELAY_SHARDS + members - 1) / members",
    after = "(RELAY_SHARDS + members + 1) / members",
    unit = "test_relay", it = "each_has_its_share" },
  { id = "relay-limit-guessed", mechanism = "a topic's own limit is asked for",
    file = "engine/flow/relay/limit.c",
    before = "bool too_low = now < limit && !relay->limit_given;",
    after = "bool too_low = now < 0 && !relay->limit_given;",
    spec = "spec/live/service/relay_spec.lua", it = "sends what its topic takes" },
  { id = "relay-row-topic-forgotten", mechanism = "a row goes to the topic that it names",
    file = "engine/flow/relay/send.c",
    before = "    if (topic.kind != MY_BYTES)\n        return relay->opts.topic;",
    after = "    if (topic.kind != MY_BYTES || row->at >= 0)\n        return relay->opts.topic;",
    run = "E-015", arms = { "one-scope" }, exit = 1, check = "drained", slow = true },
  { id = "relay-waits-for-a-topic-that-is-gone", mechanism = "a row's own wrong topic holds up no other row",
    file = "engine/flow/relay/send.c",
    before = "if (!kafka_topic_can_be(topic)) {",
    after = "if (!*topic) {",
    spec = "spec/live/service/relay_spec.lua", it = "parks one that names a topic" },

  -- ---- what a judge from outside found ----

  { id = "relay-waits-for-readers", mechanism = "a transaction that only reads fills no hole",
    file = "engine/flow/relay/gap.c",
    before = "if (trx >= first_reader || relay_int(result, i, 1))", after = "if (relay_int(result, i, 1))",
    spec = "spec/live/service/relay_spec.lua", it = "waits for none that only reads" },
  { id = "relay-waits-for-whoever-writes", mechanism = "who began later fills no hole that was there",
    file = "engine/flow/relay/gap.c",
    before = "if (!gap->seen || was_writing(gap, (uint64_t)trx))",
    after = "if (!gap->seen || !was_writing(gap, 0))",
    spec = "spec/live/service/relay_spec.lua", it = "waits for none that only reads" },
  { id = "relay-last-batch-unmarked", mechanism = "what was claimed is marked before the end",
    file = "engine/flow/relay/mark.c",
    before = "bool left = relay->nbatches > 0;", after = "bool left = relay->nbatches > 1;",
    spec = "spec/live/service/relay_spec.lua", it = "finishes what it has on SIGTERM" },
  { id = "relay-cleans-up-too-early", mechanism = "a row stays for its time",
    file = "engine/flow/relay/keep.c",
    before = "(long long)(k->relay->opts.cleanup_age * 1e6), k->relay",
    after = "(long long)(k->relay->opts.cleanup_age * 1e3), k->relay",
    spec = "spec/live/service/relay_spec.lua", it = "cleans up what was sent" },
  { id = "relay-two-looks-two-snapshots", mechanism = "both looks see the same",
    file = "engine/flow/relay/read.c",
    before = "    if (!err)\n        err = relay_snapshot(d->conn);\n    if (err)",
    after = "    if (err)",
    spec = "spec/live/service/relay_wire_spec.lua", it = "lets no row overtake one that comes between" },
}
