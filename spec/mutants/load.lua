-- The load generator and the proxy's toxics: what every claim about time and outcomes is measured with.
return {

  -- ---- the schedule ----

  { id = "load-measured-from-its-own-start", mechanism = "a latency begins when the request was due",
    file = "engine/flow/load/tally.c",
    before = [[
    if (load->opts.readers)
        r->intended = r->started;]],
    after = [[
    r->intended = r->started;]],
    unit = "test_load", it = "a_stall_shows_in_all_that_it_held_up" },
  { id = "load-waits-for-the-answer", mechanism = "a schedule waits for nobody",
    file = "engine/flow/load/flow.c",
    before = "if (!start_one(load, load->plan.n, intended, -1)) {",
    after = "if (flow_load_stats_of(load).in_flight > 0 || !start_one(load, load->plan.n, intended, -1)) {",
    unit = "test_load", it = "a_slow_server_does_not_slow_the_schedule" },
  { id = "load-dropped-is-not-counted", mechanism = "what was not sent in time is counted",
    file = "engine/flow/load/tally.c",
    before = [[
    count(&t->stats, &reply);
    keep_row(load, &r, &reply, now);]],
    after = [[
    keep_row(load, &r, &reply, now);]],
    unit = "test_load", it = "what_waits_too_long_is_dropped" },
  { id = "load-dropped-flatters", mechanism = "what was not sent in time is slow",
    file = "engine/flow/load/tally.c",
    before = "flow_hdr_record(&load->hdrs[LOAD_LATENCY], now - intended, 1);",
    after = "(void)now;",
    unit = "test_load", it = "what_waits_too_long_is_dropped" },
  { id = "load-one-more", mechanism = "so many requests and no more",
    file = "engine/flow/load/plan.c",
    before = "p->n <= p->count)", after = "p->n <= p->count + 1)",
    unit = "test_load", it = "every_request_is_answered_once" },
  { id = "load-arrivals-in-step", mechanism = "Poisson arrivals have gaps of their own",
    file = "engine/flow/load/plan.c",
    before = "        p->offset += gap(p);", after = "        p->offset += 1 / p->rate;",
    unit = "test_load_parts", it = "poisson_arrivals_are_seeded_and_have_their_mean" },
  { id = "load-readers-drip-in", mechanism = "readers are connected before they are released",
    file = "engine/flow/load/http.c",
    before = [[
    for (int i = 0; i < n; i++)
        if (!dial(h, &h->conns[i]))]],
    after = [[
    for (int i = n = 0; i < n; i++)
        if (!dial(h, &h->conns[i]))]],
    unit = "test_load", it = "nobody_there_is_a_failure_not_an_unknown" },

  -- ---- what became of a request ----

  { id = "load-silence-is-a-failure", mechanism = "a write without an answer may have been done",
    file = "engine/flow/load/http.c",
    before = "bool sent = conn->written > 0 && conn->request.form->effect;",
    after = "bool sent = false;",
    unit = "test_load", it = "a_silent_server_leaves_the_outcome_of_a_post_unknown" },
  { id = "load-refusal-is-unknown", mechanism = "what was not sent was not done",
    file = "engine/flow/load/http.c",
    before = "bool sent = conn->written > 0 && conn->request.form->effect;",
    after = "bool sent = conn->request.form->effect;",
    unit = "test_load", it = "nobody_there_is_a_failure_not_an_unknown" },
  { id = "load-500-is-a-failure", mechanism = "a write that was answered 500 may have been done",
    file = "engine/flow/load/http.c",
    before = "? (conn->request.form->effect ? LOAD_UNKNOWN : LOAD_FAIL)",
    after = "? LOAD_FAIL",
    unit = "test_load", it = "statuses_decide" },
  { id = "load-404-is-taken", mechanism = "a refusal is no success",
    file = "engine/flow/load/http.c",
    before = "class == 2 ? LOAD_OK", after = "class == 2 || class == 4 ? LOAD_OK",
    unit = "test_load", it = "statuses_decide" },
  { id = "load-waits-for-ever", mechanism = "a request has its timeout",
    file = "engine/flow/load/http.c",
    before = "h->conns[h->first].deadline <= now)",
    after = "h->conns[h->first].deadline + 1000000000 <= now)",
    unit = "test_load", it = "a_silent_server_leaves_the_outcome_of_a_post_unknown" },
  { id = "load-cut-reply-is-whole", mechanism = "a reply that ends too early is none",
    file = "engine/flow/load/parse.c",
    before = "return body == PARSE_MORE && ended ? PARSE_BROKEN : body;",
    after = "return body == PARSE_MORE && ended ? PARSE_DONE : body;",
    unit = "test_load_parse", it = "replies_are_read" },
  { id = "load-two-replies-on-one-connection", mechanism = "a connection that says more is given up",
    file = "engine/flow/load/parse.c",
    before = "p->reusable = p->reusable && p->next == in->len && !ended;",
    after = "p->reusable = p->reusable && !ended;",
    unit = "test_load_parse", it = "who_says_more_is_not_asked_again" },
  { id = "load-unknown-is-failed-in-the-history", mechanism = "unknown is :info in the history",
    file = "engine/flow/load/tally.c",
    before = "{HISTORY_OK, HISTORY_FAIL, HISTORY_INFO, HISTORY_FAIL};",
    after = "{HISTORY_OK, HISTORY_FAIL, HISTORY_FAIL, HISTORY_FAIL};",
    unit = "test_load", it = "a_history_knows_what_is_unknown" },
  { id = "load-purged-is-failed", mechanism = "a record without a report may be in the log",
    file = "engine/flow/load/kafka.c",
    before = "bool gone = rd_kafka_message_status(msg) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;",
    after = "bool gone = msg->err != 0;",
    spec = "spec/live/service/load_spec.lua", it = "does not know of what was sent and not answered" },
  { id = "load-of-any-machine", mechanism = "a load is for this machine only",
    file = "engine/flow/load/target.c",
    before = "memcmp(host, \"127.\", 4) == 0 &&", after = "",
    unit = "test_load_parts", it = "only_this_machine" },

  -- ---- toxics ----

  { id = "toxic-timeout-lets-through", mechanism = "timeout swallows",
    file = "engine/fault/proxy/toxic.c",
    before = [[
        if (chunk->eof)
            keep_end(st);
        free(chunk);]],
    after = [[
        if (chunk->eof)
            keep_end(st);
        stage_put(st, stage, chunk, chunk->at);]],
    spec = "spec/unit/service/proxy_spec.lua", it = "timeout swallows, reset_peer" },
  { id = "toxic-limit-does-not-end", mechanism = "limit_data ends the connection",
    file = "engine/fault/proxy/toxic.c",
    before = "if (stage->passed >= stage->toxic->value[0])",
    after = "if (stage->passed > stage->toxic->value[0])",
    spec = "spec/unit/service/proxy_spec.lua", it = "reset_peer resets, limit_data closes" },
  { id = "toxic-reset-is-a-close", mechanism = "reset_peer resets",
    file = "engine/fault/proxy/toxic.c",
    before = "        conn_reset(st->conn);", after = "        conn_cut(st->conn);",
    spec = "spec/unit/service/proxy_spec.lua", it = "reset_peer resets, limit_data closes" },
  { id = "toxic-goes-with-what-it-held", mechanism = "a toxic that goes lets its chunks go",
    file = "engine/fault/proxy/toxic.c",
    before = "    stage->due = 0;\n    stage_tick(st);",
    after = "    stage->due = 0;",
    spec = "spec/unit/service/proxy_spec.lua", it = "what a toxic holds goes on" },
  { id = "load-refused-is-accepted", mechanism = "only success was accepted",
    file = "lua/rlab/lab/load.lua",
    before = "row.status >= 200 and row.status < 300 then",
    after = "row.status >= 200 and row.status < 500 then",
    spec = "spec/unit/lab/load_spec.lua", it = "counts what was answered with success" },
  { id = "load-row-lost-unsaid", mechanism = "a row that had no room proves nothing",
    file = "lua/rlab/lab/load.lua",
    before = "if stats.rows_lost > 0 then", after = "if stats.rows_lost > 1 then",
    spec = "spec/unit/lab/load_spec.lua", it = "proves nothing where a row had no room" },
}
