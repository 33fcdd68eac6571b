-- The command service: one transaction, idempotency, the answer after the commit, refusals.
return {
  { id = "command-outbox-in-a-second-transaction", mechanism = "row and event are one transaction",
    file = "lua/service/command/entries.lua",
    edits = {
      {
        [[write(db, event, state.mode == "outbox")]],
        "write(db, event, false)",
      },
      {
        [[
  if event.replayed then return answer, event end
  failure = point("cmd.after_commit", command)
  if failure then error(failure, 0) end]],
        [[
  if event.replayed then return answer, event end
  failure = point("cmd.after_commit", command)
  if failure then error(failure, 0) end
  local key = tostring(event.account_id)
  local headers = json.encode(json.array { json.array { "request-id", event.request_id } })
  if state.mode == "outbox" then
    state.ctx.pool:exec(insert_outbox, event.event_id, key, key, event.payload, headers)
  end]],
      },
    },
    run = "E-002", arms = { "outbox" }, exit = 1, check = "orphan-row" },
  { id = "command-ledger-commits-alone", mechanism = "row and event are one transaction",
    file = "lua/service/command/entries.lua",
    before = [[
  local key = tostring(event.account_id)
  return db:exec(insert_outbox]],
    after = [[
  db:exec "COMMIT"
  local key = tostring(event.account_id)
  return db:exec(insert_outbox]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "killed before commit" },
  { id = "command-no-outbox-row", mechanism = "each entry has its outbox row",
    file = "lua/service/command/entries.lua",
    before = "if not done or not outbox then return done, failure end",
    after = "if not done or not outbox or event.version % 3 == 0 then return done, failure end",
    run = "E-002", arms = { "outbox" }, exit = 1, check = "orphan-row" },
  { id = "command-answers-without-commit", mechanism = "the answer follows the commit",
    file = "lua/service/command/entries.lua",
    before = [[
  if why then return nil, why end
  return event
end]],
    after = [[
  if why then return nil, why end
  if event.version % 5 == 0 then db:exec "ROLLBACK" end
  return event
end]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "lost" },
  { id = "command-account-untouched", mechanism = "an entry changes its account",
    file = "lua/service/command/entries.lua",
    before = [[UPDATE account SET balance = ?, version = ? WHERE id = ?", event.balance,]],
    after = [[UPDATE account SET balance = balance + 0 * ?, version = ? WHERE id = ?", event.balance,]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "conservation" },
  { id = "command-event-of-another-amount", mechanism = "the event says what the ledger says",
    file = "lua/service/command/entries.lua",
    before = [[
    amount = event.amount, balance = event.balance,
    version = event.version, request_id]],
    after = [[
    amount = event.amount + 1, balance = event.balance,
    version = event.version, request_id]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "conservation" },
  { id = "command-event-twice", mechanism = "one event for an entry",
    file = "lua/service/command/entries.lua",
    before = "  return db:exec(insert_outbox, event.event_id, key, key, event.payload,",
    after = [[
  if event.version % 7 == 0 then db:exec(insert_outbox, event.event_id, key, key, event.payload, "[]") end
  return db:exec(insert_outbox, event.event_id, key, key, event.payload,]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "written-twice" },
  { id = "command-ghost-event", mechanism = "no event without its row",
    file = "lua/service/command/entries.lua",
    before = "  return db:exec(insert_outbox, event.event_id, key, key, event.payload,",
    after = [=[
  if event.version % 7 == 0 then
    db:exec(insert_outbox, uuid.v7(), key, key, event.payload, '[["request-id","ghost"]]')
  end
  return db:exec(insert_outbox, event.event_id, key, key, event.payload,]=],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "phantom" },
  { id = "command-event-of-a-new-id", mechanism = "ledger and event share their id",
    file = "lua/service/command/entries.lua",
    before = "  return db:exec(insert_outbox, event.event_id, key, key, event.payload,",
    after = "  return db:exec(insert_outbox, uuid.v7(), key, key, event.payload,",
    run = "E-001", arms = { "lease" }, exit = 1, check = "lost-effect" },
  { id = "command-refuses-each-third", mechanism = "commands are accepted",
    file = "lua/service/command/entries.lua",
    before = [[
  local command = read_command(req)
  state:acquire()]],
    after = [[
  local command = read_command(req)
  state.taken = (state.taken or 0) + 1
  if state.taken % 3 == 2 then answers.refuse(503, "busy") end
  state:acquire()]],
    run = "E-002", arms = { "outbox" }, exit = 1, check = "accepted" },
  { id = "command-repeats-itself", mechanism = "the same request id gets the same answer",
    file = "lua/service/command/entries.lua",
    before = [[if event or failure.name ~= "ER_DUP_ENTRY" then return event, failure end]],
    after = "if event or failure then return event, failure end",
    spec = "spec/live/service/command_spec.lua", it = "gives the same request id the same answer" },
  { id = "command-no-idempotency", mechanism = "the ledger's unique key decides",
    file = "lua/service/command/entries.lua",
    before = "db:exec(insert_ledger, event.event_id, event.request_id, event.account_id,",
    after = "db:exec(insert_ledger, event.event_id, event.event_id, event.account_id,",
    spec = "spec/live/service/command_spec.lua", it = "gives the same request id the same answer" },
  { id = "command-id-for-another-command", mechanism = "a request id is for one command",
    file = "lua/service/command/entries.lua",
    before = "if event.account_id ~= command.account_id or event.amount ~= command.amount then",
    after = "if false then",
    spec = "spec/live/service/command_spec.lua", it = "gives the same request id the same answer" },
  { id = "command-row-not-locked", mechanism = "entries of an account come one after the other",
    file = "lua/service/command/entries.lua",
    before = "WHERE id = ? FOR UPDATE",
    after = "WHERE id = ?",
    spec = "spec/live/service/command_spec.lua", it = "runs side by side on one account" },
  { id = "command-zero-is-an-amount", mechanism = "what is wrong is refused",
    file = "lua/service/command/entries.lua",
    before = [[if math.type(body.amount) ~= "integer" or body.amount == 0 then]],
    after = [[if math.type(body.amount) ~= "integer" then]],
    spec = "spec/live/service/command_spec.lua", it = "refuses what is wrong" },
  { id = "command-overflow-accepted", mechanism = "a balance fits into 64 bits",
    file = "lua/service/command/entries.lua",
    before = "if not units.add(rows[1].balance, command.amount) then",
    after = "if command.amount < 0 and not units.add(rows[1].balance, command.amount) then",
    spec = "spec/live/service/command_spec.lua", it = "refuses what is wrong" },
  { id = "command-unknown-commit-is-failed",
    mechanism = "a commit whose outcome nobody knows is said to be so",
    file = "lua/rlab/mysql.lua",
    before = "failure.unknown = true",
    after = "failure.unknown = nil",
    spec = "spec/live/store/mysql_tx_spec.lua", it = "says that a commit's outcome is unknown" },
  { id = "command-key-of-the-request", mechanism = "the events of an account share a key",
    file = "lua/service/command/entries.lua",
    before = "return db:exec(insert_outbox, event.event_id, key, key, event.payload,",
    after = "return db:exec(insert_outbox, event.event_id, key, event.request_id, event.payload,",
    run = "E-001", arms = { "lease" }, exit = 1, check = "reorder-apply" },
  { id = "command-one-shard-for-all", mechanism = "an account has its shard",
    file = "lua/service/command/entries.lua",
    before = "CRC32(?) % 64",
    after = "CRC32(?) % 1",
    spec = "spec/live/service/command_spec.lua", it = "writes account, ledger and outbox" },
  { id = "command-event-of-an-older-version", mechanism = "the event has the version of its entry",
    file = "lua/service/command/entries.lua",
    before = "version = event.version, request_id = event.request_id, type",
    after = "version = event.version - 1, request_id = event.request_id, type",
    spec = "spec/live/service/command_spec.lua", it = "writes account, ledger and outbox" },
  { id = "command-request-id-dropped", mechanism = "the event names its request",
    file = "lua/service/command/entries.lua",
    before = [[json.encode(json.array { json.array { "request-id", event.request_id } }))]],
    after = [[json.encode(json.array {}))]],
    spec = "spec/live/service/command_spec.lua", it = "writes account, ledger and outbox" },
  { id = "command-double-is-written", mechanism = "a request id that is there ends the transaction",
    file = "lua/service/command/entries.lua",
    before = [[
  if not done then return nil, failure end
  done, failure = db:exec("UPDATE account]],
    after = [[
  if not done and failure.name ~= "ER_DUP_ENTRY" then return nil, failure end
  done, failure = db:exec("UPDATE account]],
    spec = "spec/live/service/command_spec.lua", it = "gives the same request id the same answer" },
  { id = "command-never-tries-again", mechanism = "after 1213 the transaction runs again",
    file = "lua/service/command/entries.lua",
    before = "{ retries = state.ctx.config.retries }",
    after = "{ retries = 0 * state.ctx.config.retries }",
    spec = "spec/live/service/command_spec.lua", it = "runs again after a deadlock" },
  { id = "command-goes-on-without-rollback", mechanism = "what was refused is rolled back",
    file = "lua/rlab/mysql.lua",
    before = [[
  db:exec "ROLLBACK"
  return false, uncommitted(results[raised and 2 or 3]), raised, results]],
    after = "  return false, uncommitted(results[raised and 2 or 3]), raised, results",
    spec = "spec/live/store/mysql_tx_spec.lua", it = "rolls back on nil, err and on errors" },
  { id = "command-ends-in-the-middle", mechanism = "what follows a reply is finished on SIGTERM",
    file = "lua/service/command/entries.lua",
    before = "while state.running > 0 do state.freed:wait() end\n  end)\n  if mode",
    after = "end)\n  if mode",
    spec = "spec/live/service/command_spec.lua", it = "ends when what follows the last reply is done" },
  { id = "command-late-commit-is-failed", mechanism = "a commit whose outcome nobody knows is said to be so",
    file = "lua/service/command/answers.lua",
    before = [[if results[1] == nil and committing.begun and err.is(failure)]],
    after = [[if results[1] == nil and not committing and err.is(failure)]],
    spec = "spec/live/service/command_faults_spec.lua", it = "says that nobody knows" },
  { id = "command-unknown-account-passes", mechanism = "an account must exist",
    file = "lua/service/command/entries.lua",
    before = "  if not rows[1] then",
    after = "  rows[1] = rows[1] or { balance = 0, version = 0 }\n  if not rows[1] then",
    spec = "spec/live/service/command_spec.lua", it = "refuses what is wrong" },
  { id = "command-underflow-accepted", mechanism = "a balance fits into 64 bits",
    file = "lua/service/command/entries.lua",
    before = "if not units.add(rows[1].balance, command.amount) then",
    after = "if command.amount > 0 and not units.add(rows[1].balance, command.amount) then",
    spec = "spec/live/service/command_spec.lua", it = "refuses what is wrong" },
  { id = "command-account-zero", mechanism = "an account's id is 1 or more",
    file = "lua/service/command/accounts.lua",
    before = "or id < 1) then",
    after = "or id < 0) then",
    spec = "spec/live/service/command_spec.lua", it = "refuses what is wrong" },
  { id = "command-next-id-once", mechanism = "who asks for the next id races with others",
    file = "lua/service/command/accounts.lua",
    before = "local ID_ATTEMPTS = 20",
    after = "local ID_ATTEMPTS = 1",
    spec = "spec/live/service/command_spec.lua", it = "gives the next free id" },
  { id = "command-failed-commit-is-done", mechanism = "what was not committed was not done",
    file = "lua/rlab/mysql.lua",
    before = "    if done then return true, results end",
    after = "    if done or failure then return true, results end",
    spec = "spec/live/store/mysql_tx_spec.lua", it = "says that a commit's outcome is unknown" },
  { id = "command-same-id-another-account", mechanism = "a request id is one command's",
    file = "lua/service/command/entries.lua",
    before = "if event.account_id ~= command.account_id or event.amount", after = "if event.amount",
    spec = "spec/live/service/command_spec.lua", it = "refuses it for another" },
  -- ---- repeats (E-025) ----

  { id = "command-repeats-before-the-key", mechanism = "the unique key is of the account's ids",
    file = "lua/rlab/story/race/request_ids.lua",
    before = "ADD UNIQUE KEY request_id (account_id, request_id)",
    after = "ADD KEY request_id (account_id, request_id)",
    run = "E-025", arms = { "id-and-answer" }, exit = 1, check = "double-rows" },
  { id = "command-repeats-without-the-body", mechanism = "a used id with another body is refused",
    file = "lua/service/command/entries.lua",
    before = [[if state.ctx.config.repeats ~= "unread" then demand_same(event, command) end]],
    after = "",
    run = "E-025", arms = { "id-and-answer" }, exit = 1, check = "answered-and-gone" },
  { id = "command-repeats-without-the-tenant", mechanism = "an id is looked for among its account's",
    file = "lua/service/command/entries.lua",
    before = [[ .. " AND account_id = ?", command.account_id]],
    after = [[ .. " AND account_id <> ?", command.account_id]],
    run = "E-025", arms = { "id-and-answer" }, exit = 1, check = "refused" },
  { id = "command-repeats-without-the-answer", mechanism = "a repeat gets the stored answer",
    file = "lua/service/command/entries.lua",
    before = [[if state.ctx.config.repeats == "refused" then return nil, used(command) end]],
    after = [[if true then return nil, used(command) end]],
    run = "E-025", arms = { "id-and-answer" }, exit = 1, check = "refused" },
  { id = "command-repeats-with-a-new-event", mechanism = "both answers tell of one entry",
    file = "lua/service/command/entries.lua",
    before = [[if row then row.request_id, row.replayed = command.request_id, true end]],
    after = [[
if row then
    row.request_id, row.replayed, row.event_id = command.request_id, true, command.event_id
  end]],
    run = "E-025", arms = { "id-and-answer" }, exit = 1, check = "unlike" },
}
