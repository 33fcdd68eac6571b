-- The consumer: dedup inside the transaction, rollback, the offset rule of each commit mode, partitions that
-- are lost, invalidation on every path.
return {

  -- ---- dedup ----

  { id = "consumer-dedup-outside", mechanism = "the dedup row is written with the effect",
    file = "engine/flow/consume/tx.c",
    before = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);]],
    after = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);
        add_text(t, STEP_START, "COMMIT");
        add_text(t, STEP_START, "START TRANSACTION");]],
    run = "E-003", arms = { "dedup-in-transaction" }, exit = 1, check = "lost-effect" },
  { id = "consumer-dedup-outside-and-stored", mechanism = "the dedup row is written with the effect",
    file = "engine/flow/consume/tx.c",
    before = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);]],
    after = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);
        add_text(t, STEP_START, "COMMIT");
        add_text(t, STEP_START, "START TRANSACTION");]],
    run = "E-004", arms = { "store-after-work", "offset-in-mysql" }, exit = 1, check = "lost-effect" },
  { id = "consumer-statement-by-statement", mechanism = "effect and dedup row commit together",
    file = "engine/flow/consume/tx.c",
    before = [[
    if (whole)
        add_text(t, STEP_START, "START TRANSACTION");]],
    after = [[
    if (whole && !t->n)
        add_text(t, STEP_START, "START TRANSACTION");]],
    run = "E-003", arms = { "dedup-in-transaction" }, exit = 1, check = "lost-effect" },
  { id = "consumer-dedup-outside-live", mechanism = "the dedup row is written with the effect",
    file = "engine/flow/consume/tx.c",
    before = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);]],
    after = [[
        consume_sql_dedup(t->w, t->list, t->n);
        end_step(t, STEP_DEDUP, at);
        add_text(t, STEP_START, "COMMIT");
        add_text(t, STEP_START, "START TRANSACTION");]],
    spec = "spec/live/service/consumer_spec.lua", it = "at consumer.in_tx, with a cache" },
  { id = "consumer-dedup-after-offset-reset", mechanism = "what was applied is known again",
    file = "engine/flow/consume/tx.c",
    before = "dedup == CONSUME_DEDUP_PROCESSED || dedup",
    after = "(dedup == CONSUME_DEDUP_PROCESSED && t->n < 0) || dedup",
    run = "E-003", arms = { "offset-reset-dedup" }, exit = 1, check = "duplicate-effect" },
  { id = "consumer-dedup-off-at-crash", mechanism = "what was applied before the crash is known",
    file = "engine/flow/consume/tx.c",
    before = "dedup == CONSUME_DEDUP_PROCESSED || dedup",
    after = "(dedup == CONSUME_DEDUP_PROCESSED && t->n < 0) || dedup",
    run = "E-003", arms = { "consumer-crash-dedup" }, exit = 1, check = "duplicate-effect" },
  { id = "consumer-dedup-by-place", mechanism = "an event is known by its own id",
    file = "engine/flow/consume/sql.c",
    before = [[
if (w->consume->opts.dedup != CONSUME_DEDUP_POSITION)
        return item->event.id;]],
    after = [[
if (w->consume->opts.dedup == CONSUME_DEDUP_REDIS)
        return item->event.id;]],
    run = "E-003", arms = { "relay-crash-dedup" }, exit = 1, check = "duplicate-effect" },
  { id = "consumer-seen-batch-is-dropped", mechanism = "of a batch only what is known is left out",
    file = "engine/flow/consume/tx.c",
    before = [[
        if (!is_known(t->w, result, t->list[i]))
            continue;]],
    after = [[
        if (!result->nrows)
            continue;]],
    spec = "spec/live/service/consumer_spec.lua", it = "leaves out of a batch what is known" },
  { id = "consumer-twins-unseen", mechanism = "an event that is twice in a batch is applied once",
    file = "engine/flow/consume/tx.c",
    before = "dedup == CONSUME_DEDUP_PROCESSED && t->n > 1)",
    after = "dedup == CONSUME_DEDUP_PROCESSED && t->n < 1)",
    spec = "spec/live/service/consumer_log_spec.lua", it = "that comes twice in one batch", slow = true },
  { id = "consumer-reads-uncommitted", mechanism = "what a transaction took back is not applied",
    file = "engine/bind/flow/consume.c",
    before = [[default_to(L, "auto.offset.reset", "earliest");]],
    after = [[default_to(L, "isolation.level", "read_uncommitted");
    default_to(L, "auto.offset.reset", "earliest");]],
    spec = "spec/live/service/consumer_log_spec.lua", it = "applies nothing that a transaction took back" },
  { id = "consumer-begins-at-the-end", mechanism = "a new group begins at the beginning",
    file = "engine/bind/flow/consume.c",
    before = [[default_to(L, "auto.offset.reset", "earliest");]],
    after = [[default_to(L, "auto.offset.reset", "latest");]],
    run = "E-003", arms = { "offset-reset-dedup" }, exit = 1, check = "applied" },

  -- ---- the transaction ----

  { id = "consumer-outage-parks-records", mechanism = "while MySQL is out a record waits",
    file = "engine/flow/consume/tx.c",
    before = "    if (mysql_is_out(err)) {",
    after = "    if (mysql_is_out(err) && t->n < 0) {",
    spec = "spec/live/service/consumer_faults_spec.lua", it = "a frozen one is waited for", slow = true },
  { id = "consumer-locks-in-any-order", mechanism = "accounts are locked in the order of their ids",
    file = "engine/flow/consume/tx.c",
    before = "    consume_sums_sort(sums);\n",
    after = "",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "locked in the order of their ids" },
  { id = "consumer-version-goes-back", mechanism = "a view has the highest version",
    file = "engine/flow/consume/sql.c",
    before = "version = GREATEST(account_view.version, new.version),",
    after = "version = new.version,",
    spec = "spec/live/service/consumer_log_spec.lua", it = "does not take a view back" },

  { id = "consumer-goes-on-without-rollback", mechanism = "after 1205 and 1213 all is rolled back",
    file = "engine/flow/consume/tx.c",
    before = [[        err_free(my_exec(w->db, "ROLLBACK"));]],
    after = [[        err_free(my_exec(w->db, "DO 0"));]],
    run = "E-019", arms = { "retries-the-whole" }, exit = 1, check = "conservation" },
  { id = "consumer-goes-on-without-rollback-live", mechanism = "after 1205 and 1213 all is rolled back",
    file = "engine/flow/consume/tx.c",
    before = [[        err_free(my_exec(w->db, "ROLLBACK"));]],
    after = [[        err_free(my_exec(w->db, "DO 0"));]],
    spec = "spec/live/service/consumer_conflicts_spec.lua",
    it = "costs another try of the whole transaction" },
  { id = "consumer-conflict-is-final", mechanism = "a conflict is tried again",
    file = "engine/flow/consume/tx.c",
    before = "(err->code == DEADLOCK || err->code == LOCK_WAIT || err->code == NOWAIT)",
    after = "(err->code == NOWAIT)",
    run = "E-019", arms = { "retries-the-whole" }, exit = 1, check = "parked" },
  { id = "consumer-lock-wait-is-final", mechanism = "a lock wait is tried again",
    file = "engine/flow/consume/tx.c",
    before = "(err->code == DEADLOCK || err->code == LOCK_WAIT || err->code == NOWAIT)",
    after = "(err->code == DEADLOCK || err->code == NOWAIT)",
    run = "E-019", arms = { "locks-in-order" }, exit = 1, check = "parked" },
  { id = "consumer-has-one-try", mechanism = "a transaction has several tries",
    file = "engine/flow/consume/tx.c",
    before = "n->tries + 1 < w->consume->opts.tries) {",
    after = "n->tries + 1 < w->consume->opts.tries - 4) {",
    run = "E-019", arms = { "retries-the-whole" }, exit = 1, check = "parked" },
  { id = "consumer-repeats-inside", mechanism = "a conflict ends the transaction",
    file = "engine/flow/consume/tx.c",
    before = "return how == CONSUME_RESTART || how == CONSUME_REPEAT_STATEMENT;",
    after = "return how == CONSUME_RESTART || how == CONSUME_REPEAT_STATEMENT || err->code == DEADLOCK;",
    run = "E-019", arms = { "retries-the-whole" }, exit = 1, check = "leg-lost" },
  { id = "consumer-locks-as-the-event-says", mechanism = "accounts are locked in one order",
    file = "engine/flow/consume/tx.c",
    before = "    if (t->w->consume->opts.lock_in_order) {",
    after = "    if (t->w->consume->opts.lock_in_order && t->n > 1) {",
    run = "E-019", arms = { "locks-in-order" }, exit = 1, check = "deadlocks" },
  { id = "consumer-keeps-its-locks", mechanism = "what waits in vain gives back what it has",
    file = "engine/flow/consume/tx.c",
    before = "    flow_consume_on_conflict how = conflict_policy(t->w, err);",
    after = [[
    flow_consume_on_conflict how = err->domain == RL_MYSQL && err->code == LOCK_WAIT
                                       ? CONSUME_REPEAT_STATEMENT
                                       : conflict_policy(t->w, err);]],
    run = "E-019", arms = { "retries-the-whole" }, exit = 1, check = "deposit-goes-on" },
  { id = "consumer-conflict-is-final-live", mechanism = "a conflict is tried again",
    file = "engine/flow/consume/tx.c",
    before = "(err->code == DEADLOCK || err->code == LOCK_WAIT || err->code == NOWAIT)",
    after = "(err->code == NOWAIT)",
    spec = "spec/live/service/consumer_conflicts_spec.lua",
    it = "costs another try of the whole transaction" },
  { id = "consumer-view-overwritten", mechanism = "amounts are added",
    file = "engine/flow/consume/sql.c",
    before = "UPDATE balance = account_view.balance + new.balance,",
    after = "UPDATE balance = new.balance,",
    run = "E-004", arms = { "store-after-work" }, exit = 1, check = "conservation" },
  { id = "consumer-withdrawals-forgotten", mechanism = "amounts have a sign",
    file = "engine/flow/consume/sql.c",
    before = [[p = put_int(PUT(p, ","), sums[i].amount);]],
    after = [[p = put_int(PUT(p, ","), sums[i].amount < 0 ? 0 : sums[i].amount);]],
    run = "E-004", arms = { "offset-in-mysql" }, exit = 1, check = "conservation" },
  { id = "consumer-last-effect-missing", mechanism = "each event of a batch has its effect",
    file = "engine/flow/consume/tx.c",
    before = "consume_sql_effects(t->w, t->list, t->n);",
    after = "consume_sql_effects(t->w, t->list, t->n > 1 ? t->n - 1 : 1);",
    run = "E-003", arms = { "offset-reset-dedup" }, exit = 1, check = "lost-effect" },
  { id = "consumer-one-leg-of-a-transfer", mechanism = "a transfer has two legs",
    file = "engine/flow/consume/event.c",
    before = "event->nlegs = f->transfer ? 2 : 1;",
    after = "event->nlegs = 1;",
    unit = "test_consume", it = "a_transfer_has_two_legs" },
  { id = "consumer-sum-wraps", mechanism = "a sum beyond 64 bits is refused",
    file = "engine/flow/consume/sums.c",
    before = [[
        return false;
    }
    sum->entries++;]],
    after = [[
        return true;
    }
    sum->entries++;]],
    unit = "test_consume", it = "a_sum_beyond_64_bits_is_refused" },
  { id = "consumer-sum-keeps-first-version", mechanism = "a view has the highest version",
    file = "engine/flow/consume/sums.c",
    before = "    if (version >= sum->version) {",
    after = "    if (version < sum->version) {",
    unit = "test_consume", it = "sums_are_per_account_and_in_order" },

  -- ---- offsets ----

  { id = "consumer-stores-before-work", mechanism = "after-work: the offset is stored behind the effect",
    file = "engine/flow/consume/flow.c",
    before = [[
    int done = consume_work(w, part, items, n);
    if (done)]],
    after = [[
    consume_offset_after(w, part, items[n - 1].msg, items[n - 1].msg->offset + 1);
    int done = consume_work(w, part, items, n);
    if (done < 0)]],
    run = "E-004", arms = { "store-after-work" }, exit = 1, check = "lost-effect" },
  { id = "consumer-handed-over-is-stored", mechanism = "librdkafka stores no offset by itself",
    file = "engine/bind/flow/consume.c",
    before = [[opts->commit == CONSUME_AUTO ? "true" : "false"]],
    after = [[opts->commit != CONSUME_MYSQL ? "true" : "false"]],
    run = "E-004", arms = { "store-after-work" }, exit = 1, check = "lost-effect" },
  { id = "consumer-commits-before-work", mechanism = "sync-after-work: the commit follows the effect",
    file = "engine/flow/consume/flow.c",
    before = [[
    int done = consume_work(w, part, items, n);
    if (done)]],
    after = [[
    consume_offset_after(w, part, items[n - 1].msg, items[n - 1].msg->offset + 1);
    int done = consume_work(w, part, items, n);
    if (done < 0)]],
    run = "E-003", arms = { "dedup-in-transaction" }, exit = 1, check = "lost-effect" },
  { id = "consumer-mysql-offset-goes-first", mechanism = "mysql: the offset is in the effect's transaction",
    file = "engine/flow/consume/tx.c",
    edits = {
      {
        [[
    buf_reset(&t->w->sql);
    t->nsteps = 0;]],
        [[
    buf_reset(&t->w->sql);
    t->nsteps = 0;
    if (t->next >= 0) {
        size_t here = begin_step(t);
        consume_sql_offset(t->w, t->part, t->next);
        end_step(t, STEP_OFFSET, here);
    }]],
      },
      {
        [[
    size_t at = begin_step(t);
    if (t->next >= 0) {]],
        [[
    size_t at = begin_step(t);
    if (t->next < -1) {]],
      },
    },
    run = "E-004", arms = { "offset-in-mysql" }, exit = 1, check = "lost-effect" },
  { id = "consumer-mysql-offset-two-behind", mechanism = "mysql: the offset is the next record's",
    file = "engine/flow/consume/tx.c",
    before = "t.next = list[n - 1]->msg->offset + 1;",
    after = "t.next = list[n - 1]->msg->offset + 2;",
    run = "E-004", arms = { "offset-in-mysql" }, exit = 1, check = "lost-effect" },
  { id = "consumer-dropped-is-passed", mechanism = "an offset does not pass what was dropped",
    file = "engine/flow/consume/work.c",
    before = "items[done].state != ITEM_DROPPED && items[done].state != ITEM_NEW)",
    after = "items[done].state != ITEM_NEW)",
    spec = "spec/live/service/consumer_faults_spec.lua", it = "SIGTERM ends it all the same" },
  { id = "consumer-pool-passes-the-unfinished", mechanism = "a pool commits the lowest that is unfinished",
    file = "engine/flow/consume/track.c",
    before = "    for (; track->n && track->done[track->head];",
    after = "    for (; track->n;",
    unit = "test_consume", it = "the_lowest_unfinished" },
  { id = "consumer-offset-one-too-far", mechanism = "an offset is right behind the last that is done",
    file = "engine/flow/consume/flow.c",
    before = "items[done - 1].msg->offset + 1);",
    after = "items[done - 1].msg->offset + 2);",
    run = "E-004", arms = { "store-after-work" }, exit = 1, check = "lost-effect" },
  { id = "consumer-mysql-offset-moved-by-anybody", mechanism = "an offset is moved from where it was read",
    file = "engine/flow/consume/sql.c",
    before = [[
    buf_printf(&w->sql, " AND partition_id = %d AND next_offset = %lld", (int)part->partition,
               (long long)part->db_next);]],
    after = [[
    buf_printf(&w->sql, " AND partition_id = %d", (int)part->partition);]],
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "is counted once where its offset" },
  { id = "consumer-mysql-offset-missed-is-passed", mechanism = "who could not move the offset has no effect",
    file = "engine/flow/consume/tx.c",
    before = "if (!err && s->kind == STEP_OFFSET && nothing)",
    after = "if (!err && s->kind == STEP_START && nothing && t->n < 0)",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "is counted once where its offset" },
  { id = "consumer-moved-offset-is-not-read", mechanism = "who was overtaken reads where to go on",
    file = "engine/flow/consume/offset.c",
    before = "    part->db_next = next;\n",
    after = "",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "where somebody else has put its offset",
    slow = true },
  { id = "consumer-pool-commits-the-highest", mechanism = "a pool commits the lowest that is unfinished",
    file = "engine/flow/consume/shared.c",
    before = "consume->opts.commit == CONSUME_POOL_MAX ?",
    after = "consume->opts.commit != CONSUME_AUTO ?",
    spec = "spec/live/service/consumer_spec.lua", it = "loses what is behind the highest" },
  { id = "consumer-pool-passes-what-was-dropped", mechanism = "an offset does not pass what was dropped",
    file = "engine/flow/consume/shared.c",
    before = "if (item->state != ITEM_DROPPED)",
    after = "if (item->state != ITEM_NEW)",
    spec = "spec/live/service/consumer_faults_spec.lua", it = "SIGTERM ends it all the same", slow = true },
  { id = "consumer-marker-is-not-passed", mechanism = "the end of a transaction is passed",
    file = "engine/flow/consume/flow.c",
    before = "if (part->head == part->nheld && eof > atomic_load(&part->position))",
    after = "if (part->head == part->nheld && eof < 0)",
    spec = "spec/live/service/consumer_log_spec.lua", it = "comes to the end behind",
    slow = true },
  { id = "consumer-place-gone-unsaid", mechanism = "a partition that has no position is told of",
    file = "engine/flow/consume/part.c",
    before = [[
        atomic_store(&part->eof, msg->offset);
    else
]],
    after = [[
        atomic_store(&part->eof, msg->offset);
    else if (msg->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
]],
    run = "E-030", arms = { "error" }, exit = 1, check = "stands-still" },
  { id = "consumer-begins-where-the-brokers-say", mechanism = "commit = mysql: the table says where to begin",
    file = "engine/flow/consume/offset.c",
    before = "    err = kafka_consumer_seek(w->consume->consumer, list, SEEK_MS);",
    after = "    err = next < 0 ? kafka_consumer_seek(w->consume->consumer, list, SEEK_MS) : NULL;",
    run = "E-030", arms = { "offset-in-mysql" }, exit = 1, check = "lost-effect" },
  { id = "consumer-policy-of-its-own", mechanism = "auto.offset.reset is the user's",
    file = "engine/bind/flow/consume.c",
    before = [[    default_to(L, "auto.offset.reset", "earliest");]],
    after = [[
    lua_pushliteral(L, "earliest");
    lua_setfield(L, -2, "auto.offset.reset");]],
    run = "E-030", arms = { "latest" }, exit = 2, check = "lost-effect" },
  { id = "consumer-refused-copy-is-sent", mechanism = "a copy that was refused is not parked",
    file = "engine/flow/consume/route.c",
    before = [[
    return kafka_err(NULL, answer.code, "to %s", topic);
}]],
    after = [[
    return NULL;
}]],
    spec = "spec/live/service/consumer_log_spec.lua", it = "does not pass a record whose copy was refused" },

  -- ---- partitions ----

  { id = "consumer-hands-over-at-once", mechanism = "what is under way is finished before a partition goes",
    file = "engine/flow/consume/part.c",
    before = "    while (part->busy && in_time)",
    after = "    while (part->busy && !in_time)",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "is handed over when that is done" },

  { id = "consumer-works-on-what-was-lost", mechanism = "what a lost partition held is dropped",
    file = "engine/flow/consume/part.c",
    before = "consume->opts.drop_lost ? &part->lost : NULL",
    after = "consume->opts.workers < 0 ? &part->lost : NULL",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "is done by its new owner only" },
  { id = "consumer-healthy-ones-go-with-the-sick",
    mechanism = "a record that cannot be written is found by halving",
    file = "engine/flow/consume/work.c",
    before = [[
    if (n == 1) {
        refused(w, list[0], err);
        return list[0]->state != ITEM_DROPPED;
    }
    err_free(err);]],
    after = [[
    if (n >= 1) {
        for (int i = 1; i < n; i++)
            refused(w, list[i], err_copy(err));
        refused(w, list[0], err);
        return list[0]->state != ITEM_DROPPED;
    }
    err_free(err);]],
    spec = "spec/live/service/consumer_spec.lua", it = "are taken out of their batch" },

  -- ---- invalidation ----

  { id = "consumer-seen-is-not-invalidated",
    mechanism = "an event that was applied before is invalidated again",
    file = "engine/flow/consume/cache.c",
    before = "(item->state == ITEM_SEEN && w->consume->opts.invalidate_seen);",
    after = "(item->state == ITEM_SEEN && w->consume->opts.workers < 0);",
    run = "E-001", arms = { "lease" }, exit = 1, check = "stale-cache" },
  { id = "consumer-applied-is-not-invalidated", mechanism = "what was applied is invalidated",
    file = "engine/flow/consume/cache.c",
    before = [[
return item->state == ITEM_APPLIED ||
]],
    after = [[
return (item->state == ITEM_APPLIED && w->consume->opts.workers < 0) ||
]],
    run = "E-001", arms = { "versioned" }, exit = 1, check = "invalidated" },
  { id = "consumer-invalidates-nothing", mechanism = "the cache is told",
    file = "engine/flow/consume/cache.c",
    before = "if (job.n && w->consume->opts.cache != CACHE_MODE_NONE)",
    after = "if (job.n && w->consume->opts.cache == CACHE_MODE_DELTA)",
    run = "E-001", arms = { "lease" }, exit = 1, check = "invalidated" },
  { id = "consumer-updates-nothing", mechanism = "an entry follows its account",
    file = "engine/flow/consume/cache.c",
    before = "if (job.n && w->consume->opts.cache != CACHE_MODE_NONE)",
    after = "if (job.n && w->consume->opts.cache == CACHE_MODE_DELTA)",
    run = "E-013", arms = { "set-if-newer" }, exit = 1, check = "cache-is-view" },
  { id = "consumer-invalidates-the-first-only", mechanism = "every event of a batch is invalidated",
    file = "engine/flow/consume/cache.c",
    before = [[
    for (int i = 0; i < n; i++) {
        if (!concerns(w, &items[i], before))]],
    after = [[
    for (int i = 0; i < n && !job.n; i++) {
        if (!concerns(w, &items[i], before))]],
    spec = "spec/live/service/consumer_conflicts_spec.lua",
    it = "gets tombstones, deletions or newer values" },
  { id = "consumer-failed-invalidation-is-passed",
    mechanism = "a record whose invalidation failed is tried again",
    file = "engine/flow/consume/cache.c",
    before = [[
        if (err)
            invalidation_failed(w, job->items[i], err);
        else]],
    after = [[
        if (err)
            err_free(err);
        else]],
    spec = "spec/live/service/consumer_conflicts_spec.lua",
    it = "that refuses an entry fails that record alone" },
  { id = "consumer-redis-away-is-passed", mechanism = "invalidation waits for Redis",
    file = "engine/flow/consume/cache.c",
    before = "if (!consume_may_repeat(permit) || deadline_passed(until))",
    after = "if (!consume_may_repeat(permit) || turn >= 0)",
    spec = "spec/live/service/consumer_faults_spec.lua", it = "invalidation waits for it", slow = true },
  { id = "consumer-one-leg-is-invalidated", mechanism = "both accounts of a transfer are invalidated",
    file = "engine/flow/consume/cache.c",
    before = "leg < items[i].event.nlegs; leg++)",
    after = "leg < 1; leg++)",
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "both accounts of a transfer" },

  -- ---- what is right without a word ----

  { id = "consumer-knows-nothing-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/consumer.lua",
    before = [[{ name = "dedup", type = "enum", default = "processed-event",]],
    after = [[{ name = "dedup", type = "enum", default = "none",]],
    spec = "spec/live/service/consumer_log_spec.lua", it = "that comes twice in one batch" },
  { id = "consumer-commits-first-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/consumer.lua",
    before = [[{ name = "commit", type = "enum", default = "after-work",]],
    after = [[{ name = "commit", type = "enum", default = "before-work",]],
    spec = "spec/live/service/consumer_faults_spec.lua", it = "SIGTERM ends it all the same", slow = true },
  { id = "consumer-statements-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/consumer.lua",
    before = [[{ name = "transactional", type = "bool", default = true,]],
    after = [[{ name = "transactional", type = "bool", default = false,]],
    spec = "spec/live/service/consumer_spec.lua", it = "at consumer.in_tx, with a cache" },
  { id = "consumer-tells-once-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/consumer.lua",
    before = [[{ name = "invalidate_seen", type = "bool", default = true,]],
    after = [[{ name = "invalidate_seen", type = "bool", default = false,]],
    spec = "spec/live/service/consumer_conflicts_spec.lua", it = "is told of events that had been applied" },
  { id = "consumer-parks-conflicts-by-default", mechanism = "the defaults are the right practice",
    file = "lua/service/consumer.lua",
    before = [[{ name = "on_deadlock", type = "enum", default = "retry",]],
    after = [[{ name = "on_deadlock", type = "enum", default = "dlq",]],
    spec = "spec/live/service/consumer_conflicts_spec.lua",
    it = "costs another try of the whole transaction" },
  { id = "consumer-wrong-result-is-applied", mechanism = "a handler's result that is none is no answer",
    file = "lua/service/consumer.lua",
    before = "if wrong then consume:again(number, wrong) else consume:answer(number, verdicts) end",
    after = "consume:answer(number, verdicts)",
    spec = "spec/live/service/consumer_spec.lua", it = "wait for a handler whose result is none" },
  { id = "consumer-handler-sees-the-first", mechanism = "a record's fields are read when they are touched",
    file = "engine/flow/consume/ask.c",
    before = "v = view_of(a->list[i]);", after = "v = view_of(a->list[0]);",
    spec = "spec/live/service/consumer_spec.lua", it = "for a handler of batches" },
  { id = "consumer-stuck-is-silent", mechanism = "a partition that stands still is down in health",
    file = "engine/flow/consume/stuck.c",
    before = "        part->nstuck++;",
    after = "        part->nstuck += 0;",
    spec = "spec/live/service/consumer_spec.lua", it = "are tried on and on where there is no DLQ" },
  { id = "consumer-copy-never-cut", mechanism = "what is too large for the DLQ goes there cut",
    file = "engine/flow/consume/route.c",
    before = "if (failure->due_ms || failure->whole == COPY_STORY)",
    after = "if (failure->due_ms || failure->whole != COPY_STORY)",
    spec = "spec/live/service/consumer_log_spec.lua", it = "parks the beginning of a record" },
  { id = "consumer-value-names-another-id", mechanism = "a record's id is its header's, if it has one",
    file = "engine/flow/consume/event.c",
    before = "if (which == EVENT && !f->have_id)", after = "if (which == EVENT)",
    unit = "test_consume", it = "events_are_decoded" },
  { id = "consumer-takes-one-of-two", mechanism = "two members of one name mean no one thing",
    file = "engine/flow/consume/event.c",
    before = "    if (f->twice)", after = "    if (f->twice && !f->have_id)",
    unit = "test_consume", it = "what_cannot_be_decoded_says_why" },
  { id = "consumer-reads-what-lies-deeper", mechanism = "an event is its outermost members",
    file = "engine/flow/consume/event.c",
    before = "if (r->depth != 1)", after = "if (r->depth < 1)",
    unit = "test_consume", it = "events_are_decoded" },
  { id = "consumer-place-without-partition", mechanism = "a place is topic, partition and offset",
    file = "engine/flow/consume/event.c",
    before = "put_be(id + 4, (uint32_t)msg->partition, 4);", after = "put_be(id + 4, 0, 4);",
    unit = "test_consume", it = "a_transfer_has_two_legs" },
  { id = "consumer-pool-loses-a-neighbour", mechanism = "each offset that is done is found",
    file = "engine/flow/consume/track.c",
    before = "if (track->begun[i] < offset)", after = "if (track->begun[i] <= offset - 2)",
    unit = "test_consume", it = "the_lowest_unfinished_and_the_highest" },
}
