-- Checks over sets of ids: what is missing, what is too much, what came twice.
local core = require "rlab.check.core"
local tables = require "rlab.tables"

local bag_of, empty_set = core.bag_of, core.empty_set
local M = {}

-- without(set, unknown) -> set without the ids whose outcome nobody knows, how many those are
local function without(set, unknown)
  if not unknown then return set, 0 end
  local known = set - bag_of(unknown)
  return known, #set:distinct() - #known:distinct()
end

-- lost{of = acked ids, in_ = ids in the log, unknown = ids that may be there or not}: of - in_ must be empty
function M.lost(lab, a)
  local set, aside = without(bag_of(a.of) - bag_of(a.in_), a.unknown)
  return empty_set(lab, a.name or "lost", set, "nothing is lost", "%s acknowledged and gone",
    { details = a.details or a.of, aside = aside })
end

-- orphan_row{of = ledger rows, in_ = ids in the topic}: each committed row must have its event. A lost
-- reply is no excuse: the row is there.
function M.orphan_row(lab, a)
  return empty_set(lab, a.name or "orphan-row", bag_of(a.of) - bag_of(a.in_),
    "every ledger row has its event", "%s without an event",
    { details = a.details or a.of, word = "ledger row" })
end

-- unseen{of = acked ids, seen = ids returned to this reader, log = ids that are in the log by now, unknown =}
function M.unseen(lab, a)
  local set = bag_of(a.of) - bag_of(a.seen)
  if a.log then set = set & bag_of(a.log) end
  local known, aside = without(set, a.unknown)
  return empty_set(lab, a.name or "unseen", known, "every acknowledged record was seen",
    "%s in the log, not returned to this reader",
    { details = a.details or a.of, aside = aside })
end

-- phantom{of = ids in the log or applied, in_ = ids that have a cause, unknown = ids that may have one}
function M.phantom(lab, a)
  local set, aside = without(bag_of(a.of) - bag_of(a.in_), a.unknown)
  return empty_set(lab, a.name or "phantom", set, "nothing appears without a cause", "%s without a cause",
    { details = a.details or a.of, aside = aside })
end

local function note_of(topics)
  return topics and "its outbox row names " .. table.concat(tables.sorted_keys(topics), ", ")
    or "no outbox row"
end

-- stranger{of = records with event and topic, outbox = rows with event and topic}: each record is where a row
-- of the outbox sent it; else nobody of the run wrote it there
function M.stranger(lab, a)
  local topics, strangers = {}, {}
  for _, row in ipairs(a.outbox) do
    topics[row.event] = topics[row.event] or {}
    topics[row.event][row.topic] = true
  end
  for _, record in ipairs(a.of) do
    local known = topics[record.event or ""]
    if not (known and known[record.topic]) then
      strangers[#strangers + 1] = tables.merged(record, { note = note_of(known) })
    end
  end
  return empty_set(lab, a.name or "stranger", bag_of(strangers),
    "each record is where an outbox row sent it", "%s that no outbox row sent there", { details = strangers })
end

-- aborted_read{aborted = ids of aborted transactions, of = ids delivered or applied, unknown = ids whose
-- transaction may have committed}
function M.aborted_read(lab, a)
  local set, aside = without(bag_of(a.aborted) & bag_of(a.of), a.unknown)
  return empty_set(lab, a.name or "aborted-read", set, "no aborted record was delivered",
    "%s of aborted transactions delivered",
    { details = a.details or a.of, aside = aside })
end

local function torn_rows(transaction, delivered)
  local there, rows = #(bag_of(transaction) & delivered):distinct(), {}
  for _, row in ipairs(there > 0 and there < #transaction and transaction or {}) do
    rows[#rows + 1] = { id = row.id, partition = row.partition, offset = row.offset,
      note = delivered:count(row.id) > 0 and "delivered" or "not delivered" }
  end
  return rows
end

-- all_or_nothing{transactions = lists of rows {id, partition, offset}, of = what was delivered}: each
-- transaction is delivered as a whole or not at all; one without records proves nothing
function M.all_or_nothing(lab, a)
  local name, delivered, torn, rows = a.name or "all-or-nothing", bag_of(a.of), {}, {}
  for i, transaction in ipairs(a.transactions) do
    if #transaction == 0 then return core.inconclusive(lab, name, "transaction %d has no records", i) end
    tables.append(rows, torn_rows(transaction, delivered))
  end
  for i, row in ipairs(rows) do torn[i] = row.id end
  return empty_set(lab, name, torn, "each transaction is delivered as a whole or not at all",
    "%s of torn transactions", { details = rows })
end

local function twice(of)
  local set = require("rlab.bag").new {}
  for _, id in ipairs(bag_of(of):duplicates()) do set:add(type(id) == "table" and id.id or id) end
  return set
end

-- duplicate{of = ids}: no id more than once
function M.duplicate(lab, a)
  return empty_set(lab, a.name or "duplicate", twice(a.of), "no id appears twice", "%s more than once",
    { details = a.details or a.of })
end

-- duplicate_publish{of = records of the topic}: no event more than once in the log
function M.duplicate_publish(lab, a)
  return empty_set(lab, a.name or "duplicate-publish", twice(a.of), "each event is in the topic once",
    "%s in the topic more than once",
    { details = a.details or a.of, word = "event" })
end

-- duplicate_effect{of = rows of effect_log}: no event applied more than once
function M.duplicate_effect(lab, a)
  return empty_set(lab, a.name or "duplicate-effect", twice(a.of), "each event was applied once at most",
    "%s applied more than once",
    { details = a.details or a.of, word = "event" })
end

-- position(committed, partition): stored evidence has text for keys
local function position(committed, partition)
  return committed[partition] or committed[tostring(partition)]
end

-- A partition that has records, and of which nobody knows how far the group has come | nil
local function unknown_partition(records, committed)
  for _, row in ipairs(records) do
    if not position(committed, row.partition) then return row.partition end
  end
end

local function below(records, committed)
  local set = require("rlab.bag").new {}
  for _, row in ipairs(records) do
    if row.offset < position(committed, row.partition) then set:add(row.id) end
  end
  return set
end

-- lost_effect{of = records of the topic, committed = {[partition] = offset}, effects =, retry =, dlq =}:
-- what the group has passed must be applied, or wait in a retry topic or the DLQ. A record above the
-- committed offset comes again and is not lost. A group that has passed nothing proves nothing.
function M.lost_effect(lab, a)
  local name, partition = a.name or "lost-effect", unknown_partition(a.of, a.committed)
  if partition then
    return core.unmeasured(lab, name, "the committed offset of partition " .. partition)
  end
  local passed = below(a.of, a.committed)
  if #passed == 0 then
    return core.inconclusive(lab, name, "the group has passed none of %s", core.plural(#a.of, "record"))
  end
  local set = passed - bag_of(a.effects)
  for _, parked in ipairs { a.retry or {}, a.dlq or {} } do set = set - bag_of(parked) end
  return empty_set(lab, name, set, "every event that was passed was applied", "%s passed and never applied",
    { details = a.details or a.of, word = "event" })
end

-- The ids of `a` that `b` has less often, one for each missing copy. A bag's own minus takes all copies away.
local function short_of(a, b)
  local list = {}
  for _, id in ipairs(a:ids()) do
    for _ = 1, a:count(id) - b:count(id) do list[#list + 1] = id end
  end
  return list
end

local function same_sentence(what, missing, extra, want)
  local good = missing == 0 and extra == 0
  if want == 0 then
    return good and "no " .. what or ("%s: %d, and there should be none"):format(what, extra)
  end
  return good and ("exactly the %d %s"):format(want, what)
    or ("%d missing, %d too many of %d %s"):format(missing, extra, want, what)
end

-- same{name =, got = ids, want = ids, what =}: the two multisets are equal
function M.same(lab, a)
  local got, want = bag_of(a.got), bag_of(a.want)
  local missing, extra = short_of(want, got), short_of(got, want)
  local ids = bag_of(missing):ids()
  for _, id in ipairs(extra) do ids[#ids + 1] = id end
  ids = bag_of(ids):ids()
  table.sort(ids)
  local shown, more = core.examples(ids, a.details)
  return core.add(lab, a.name, {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown, more = more,
    sentence = same_sentence(a.what or "ids", #missing, #extra, #want),
  })
end

return M
