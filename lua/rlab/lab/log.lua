-- One partition's log as an observer meets it: read to its end, its gaps, and its offsets as cells of a
-- picture.
local must = require "rlab.must"

local M = {}

-- read_to_end(consumer, on[, at_end]) -> the offset of the end of the partition: on(record) sees every
--   record, at_end(event) the end-of-partition event
function M.read_to_end(lab, consumer, on, at_end)
  local ended
  lab:await("end of partition", function()
    for record in must(consumer:poll(100, "100ms")):each() do
      if record.eof then
        ended = record.offset
        if at_end then at_end(record) end
      elseif record.err then
        lab:give_up("the consumer: %s", tostring(record.err))
      else
        on(record)
      end
    end
    return ended
  end, "15s")
  return ended
end

-- apply_log(state, {isolation =, at_end =}) -> consumer: applies every record of the log that the setup wrote
--   (lab.shared: topic, aborted) to tables of the arm's own (account_view, effect_log), the effect and the
--   balance in one transaction, up to the end. state gets ended, applied, ids (of effect_log) and view (the
--   balance); at_end(consumer, event) is called at the end. The first aborted record applied is the anomaly.
function M.apply_log(lab, state, opts)
  local db = lab:database(
    "CREATE TABLE account_view (account VARCHAR(20) PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE effect_log (event_id VARCHAR(40) NOT NULL)",
    "INSERT INTO account_view VALUES ('account', 0)")
  local consumer = lab:consumer { isolation_level = opts.isolation, group = lab:name "group" }
  local aborted, marked = require("rlab.bag").from(lab.shared.aborted), false
  must(consumer:subscribe { lab.shared.topic })
  state.ended = lab:read_to_end(consumer, function(record)
    local id = record.headers[1][2]
    must(db:tx(function(tx)
      must(tx:exec("INSERT INTO effect_log VALUES (?)", id))
      must(tx:exec("UPDATE account_view SET balance = balance + ? WHERE account = ?",
        math.tointeger(record.value), record.key))
      return true
    end))
    must(consumer:store(record))
    state.applied = state.applied + 1
    if not marked and aborted:count(id) > 0 then
      marked = true
      lab:anomaly(("applied %s, whose transaction was aborted"):format(id))
    end
  end, opts.at_end and function(event) opts.at_end(consumer, event) end)
  for i, row in ipairs(must(db:query "SELECT event_id FROM effect_log")) do state.ids[i] = row.event_id end
  state.view = must(db:query "SELECT balance FROM account_view")[1].balance
  return consumer
end

-- watch_observer(state, with_lag): series of what an observer has (state.applied or #state.ids) against the
--   log that the setup wrote (lab.shared: hw, lso, committed ids), and its lag by three definitions
function M.watch_observer(lab, state, with_lag)
  local shared = lab.shared
  lab:gauge(function(row)
    row["p0.hw"], row["p0.lso"], row["p0.seen"] = shared.hw, shared.lso, math.max(state.applied, #state.ids)
    if not with_lag then return end
    row["p0.committed"] = state.committed
    row["lag.HW - committed"] = shared.hw - state.committed
    row["lag.LSO - committed"] = shared.lso - state.committed
    row["lag.ids left"] = #shared.committed - #state.ids
  end)
end

-- gaps(offsets, low, ended) -> the offsets from low up to the end that are not among those, the tail included
function M.gaps(_, offsets, low, ended)
  local have, list = {}, {}
  for _, offset in ipairs(offsets) do have[offset] = true end
  for offset = low, ended - 1 do
    if not have[offset] then list[#list + 1] = offset end
  end
  return list
end

-- log_cells{records = all of the log, read uncommitted, partition = 0, from = 0, to = end, fate = f} -> cells
--   for lab:moment. f(record) -> "committed", "aborted", "lost", ...; an offset without a record is a marker,
--   which ends what stands before it the same way.
function M.log_cells(_, opts)
  local at, cells, delivered = {}, {}, true
  for _, record in ipairs(opts.records) do
    if record.partition == (opts.partition or 0) then at[record.offset] = record end
  end
  for offset = opts.from or 0, opts.to - 1 do
    local record = at[offset]
    local kind = record and opts.fate(record) or "control"
    if record then delivered = kind == "committed" end
    cells[#cells + 1] = { offset = offset, kind = kind, id = record and record.id or nil,
      label = not record and (delivered and "commit" or "abort") or nil }
  end
  return cells
end

return M
