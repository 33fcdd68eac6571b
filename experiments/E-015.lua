-- E-015: seven compatibility modes and six changes of a schema: what does the registry refuse? Then what it
-- lets through, on real consumers: the wrong upgrade order, one version back, another meaning, another topic.
local evolution = require "rlab.story.evolution"
local schemas = require "rlab.story.schemas"
local two_topics = require "rlab.story.two_topics"

local EVENTS, BEFORE, ACCOUNTS, PARTITIONS = 60, 30, 6, 3

local arms = {
  right "grid" { says = "7 modes x 6 changes: each cell as stated", grid = true },
  wrong "none" { says = "no mode; long to string", mode = "NONE", change = "long to string", status = 200,
    versions = 2 },
  right "backward" { says = "refuses it, and the producer asks before it writes", mode = "BACKWARD",
    change = "long to string", status = 409, versions = 1 },
  wrong "producer-first" { says = "BACKWARD lets a field go, and the producer is upgraded first",
    mode = "BACKWARD", change = "remove without default", status = 200, versions = 2 },
  right "consumer-first" { says = "the same change, in the order that BACKWARD is for",
    mode = "BACKWARD", change = "remove without default", status = 200, versions = 2,
    consumer_first = true },
  wrong "one-version-back" { says = "BACKWARD looks one version back, a reset further", mode = "BACKWARD",
    change = "default came and went", status = 200, versions = 3, consumer_first = true, reset = true },
  right "transitive" { says = "looks at all versions", mode = "BACKWARD_TRANSITIVE",
    change = "default came and went", status = 409, versions = 2, consumer_first = true, reset = true },
  wrong "another-meaning" { says = "cents become units, the type stays", mode = "FULL_TRANSITIVE",
    change = "cents to units", status = 200, versions = 1, units = true },
  wrong "dual-write" { says = "a topic beside the old one, both written, both read, no dedup",
    topics = 2, dedup = "none" },
  right "one-scope" { says = "two outbox rows in one transaction, one event id, one dedup scope",
    topics = 2, outbox = true },
}

-- ---- one change under one mode ----

-- The producer asks before it writes; the last version that the registry takes is the one it writes.
local function propose(lab, arm)
  local subject, s = lab:name(arm.name .. "-value"), arm.settings
  local mode, asked = evolution.propose(lab:registry(), subject, s.mode, s.change)
  return { subject = subject, mode = mode, asked = asked }
end

-- One after the other, before the arms begin: each answer is about one schema and not about who was quicker.
local function setup(lab)
  local shared = { cells = evolution.grid(lab), proposed = {} }
  for _, arm in ipairs(arms) do
    if arm.settings.change then shared.proposed[arm.name] = propose(lab, arm) end
  end
  lab:fact("%d registrations", #shared.cells)
  return shared
end

local function last_taken(asked)
  local last = 1
  for version, one in ipairs(asked) do
    if one.status == 200 then last = version end
  end
  return last
end

local function writer_of(lab, arm, version, id, as_units)
  local registry = lab:registry()
  return function(event)
    return must(registry:encode(id, evolution.value(arm.settings.change, version, event, as_units)))
  end
end

-- How many records carry the id of each schema.
local function ids_in(records)
  local count = {}
  for _, record in ipairs(records) do
    local id = tostring(record.schema)
    count[id] = (count[id] or 0) + 1
  end
  return count
end

local function evolve(lab, arm)
  local s, proposed = arm.settings, lab.shared.proposed[arm.name]
  local subject, asked = proposed.subject, proposed.asked
  lab:fault(("%s under %s is registered"):format(s.change, s.mode)):fired(
    lab.proof.registry("mode", { subject = subject, of = "mode", want = s.mode }),
    lab.proof.registry("versions", { subject = subject, of = "versions", want = s.versions })):over()
  local last = last_taken(asked)
  local old, new = evolution.text(s.change, 1), evolution.text(s.change, last)
  local story = schemas.new(lab, { events = EVENTS, accounts = ACCOUNTS, partitions = PARTITIONS,
    settings = { payload = "avro" }, writers = { before = writer_of(lab, arm, 1, asked[1].id),
      after = writer_of(lab, arm, last, asked[last].id, s.units) } })
  story:watch()
  story:start { reader_schema = old }
  story:write("before", 1, BEFORE)
  story:drain()
  if s.consumer_first then story:upgrade { reader_schema = new } end
  story:write("after", BEFORE + 1, EVENTS)
  story:drain()
  if s.reset then
    story:reset()
    story:drain()
  end
  local seen, records = story:look(), story:records()
  seen.mode, seen.asked, seen.last, seen.written = proposed.mode, asked, last, ids_in(records)
  seen.reads, seen.to_read = story.consumer.ready.reads.reader_schema, s.consumer_first and new or old
  seen.ids, seen.records = schemas.ids(story.list, 1, EVENTS), records
  seen.old, seen.new = schemas.ids(story.list, 1, BEFORE), schemas.ids(story.list, BEFORE + 1, EVENTS)
  seen.off = 0
  for i = BEFORE + 1, EVENTS do
    local amount = story.list[i].amount
    seen.off = seen.off + (s.units and amount // 100 - amount or 0)
  end
  seen.new_money = schemas.sum(story.list, BEFORE + 1, EVENTS)
  return seen
end

local function check_evolved(lab, seen, arm)
  local s, last = arm.settings, seen.asked[#seen.asked]
  local by_id = seen.last > 1 and seen.asked[1].id ~= last.id and 30 or EVENTS
  lab.check.agree { { "reader", seen.reads, seen.to_read, "is what the consumer reads by" },
    { "mode", seen.mode, s.mode, "says the registry" },
    { "status", last.status, s.status, "is the answer to the last version" },
    { "written-by", seen.written[tostring(seen.asked[seen.last].id)], by_id, "records carry its id" } }
  lab.check.phantom { name = "dead-letters", of = seen.parked, in_ = {}, control = #seen.records }
    :expect { ["none"] = seen.new, ["producer-first"] = seen.new, ["one-version-back"] = seen.old,
      wrong = "holds", right = "holds" }
  local unread = (arm.name == "none" or arm.name == "producer-first") and seen.new
  lab.check.lost { name = "unapplied", of = seen.ids, in_ = seen.effects, at_least = EVENTS }
    :expect { wrong = unread or "holds", right = "holds" }
  lab.check.duplicate_effect { of = seen.effects }:expect "holds"
  lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents" }
    :expect { wrong = unread and -seen.new_money or seen.off, right = 0 }
end

local function says(seen, arm)
  local s, refused = arm.settings, seen.asked[#seen.asked].status == 409
  if refused then return ("409: the old producer goes on, %d applied"):format(#seen.effects) end
  if s.units then return ("200, no error, %+d cents"):format(seen.sums.view - seen.sums.ledger) end
  return ("200; %d applied, %d parked"):format(#seen.effects, #seen.parked)
end

-- ---- the arms' three kinds ----

local function grid(lab)
  local cells, refused = lab.shared.cells, 0
  local last = cells[#cells]
  lab:fault "42 registrations, each with a subject of its own"
    :fired(lab.proof.registry("mode of the last", { subject = last.subject, of = "mode", want = last.mode }))
    :over()
  for _, one in ipairs(cells) do refused = refused + (one.status == 409 and 1 or 0) end
  lab:number("registrations refused", refused, "of 42")
  return { cells = cells, says = ("%d of %d refused, each as stated"):format(refused, #cells) }
end

local function run(lab, arm)
  if arm.settings.grid then return grid(lab) end
  if arm.settings.topics then
    return two_topics.run(lab, arm, { events = EVENTS, before = BEFORE, accounts = ACCOUNTS,
      partitions = PARTITIONS })
  end
  local seen = evolve(lab, arm)
  seen.says = says(seen, arm)
  lab:number("parked", #seen.parked)
  lab:number("wrong money", seen.sums.view - seen.sums.ledger, "cents")
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-015",
  title = "Registry compatibility and topic versioning",
  question = "Which breaking changes does each compatibility mode stop, and what still gets through?",
  claim = "A mode stops what breaks one upgrade order, one version back; not the other order, not an \z
    older version unless it is transitive, and never another meaning.",
  lesson = "Choose the mode by your upgrade order, make it transitive where logs are read again, and \z
    version a topic with one event id and one dedup scope.",
  needs = { "kafka", "mysql", "registry" }, seconds = 16,
  side_by_side = true,
  telling = { { "conservation", "money off" }, { "dead-letters", "records parked" } },
  arms = arms,
  setup = setup,
  run = run,

  moment = require "rlab.story.moment.schemas",
  checks = function(lab, seen, arm)
    if arm.settings.grid then
      lab.check.same { name = "grid", got = evolution.seen(seen.cells), want = evolution.wanted(),
        what = "cells" }:expect "holds"
    elseif arm.settings.topics then
      two_topics.check(lab, seen, arm)
    else
      check_evolved(lab, seen, arm)
    end
  end,

  verdict = function(seen)
    local first, meaning = seen["producer-first"], seen["another-meaning"]
    if not (first and meaning) then return nil end
    return ("The registry said 200 and %d records could not be read; it said 200 again and the books are \z
      %d cents off."):format(#first.parked, meaning.sums.ledger - meaning.sums.view)
  end,
}
