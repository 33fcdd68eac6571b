-- E-033: a member has fifty records of two partitions in its hands and stands still in the middle. One of the
-- partitions moves, and its new owner works it off. Then the first member goes on: what does it still do with
-- the other one's records, and what does it commit?
local straddle = require "rlab.story.group.straddle"
local tables = require "rlab.tables"

local EACH, ALL = 25, 50 -- records of a partition in the batch; of the one that moves in all
local BATCH = 2 * EACH
local DONE = 12 -- of each partition, when the member stands still

-- Of what comes again: ids in the order of the log, and what has never come.
local function repeats(seen)
  local times, ids = bag.from(seen.deliveries), {}
  for _, record in ipairs(seen.records) do
    if times:count(record.id) > 1 then ids[#ids + 1] = record.id end
  end
  return ids
end

local function unapplied(seen)
  local done, ids = tables.set_of(seen.effects), {}
  for _, record in ipairs(seen.records) do
    if not done[record.id] then ids[#ids + 1] = record.id end
  end
  return ids
end

local function says(seen)
  if #seen.lost > 0 then return ("%d records passed and never applied"):format(#seen.lost) end
  if seen.fell > 0 then
    return ("the committed offset went back by %d: %d records delivered again, %d applied twice"):format(
      seen.fell, #seen.again, seen.doubled)
  end
  return ("offsets stay, %d record%s delivered again, none applied twice"):format(#seen.again,
    #seen.again == 1 and "" or "s")
end

-- By how much the committed offset of a partition has gone back.
local function fallen(before, after)
  local most = 0
  for partition, offset in pairs(before) do most = math.max(most, offset - after[partition]) end
  return most
end

local function run(lab, arm)
  local group = straddle.open(lab, arm.settings)
  for partition = 0, 1 do group:publish(partition, EACH) end
  local held = lab:lock_rows("the rate", "SELECT cents FROM rate")
  local first = group:member("first", BATCH, 2 * DONE + 1)
  held:await_waiter()
  local second = group:member("second", EACH)
  local moved = group:moved(first, second)
  group:publish(moved, ALL - EACH)
  group:overtaken(moved)
  local before = group:committed()
  held:release()
  local done = group:done(first, second)
  local after = group:committed()
  group:stop(first, "the first member")
  group:stop(second, "the second member")
  group:taken_over(BATCH)
  local seen = group:look()
  seen.moved, seen.before, seen.after = moved, before, after
  seen.again, seen.lost, seen.fell = repeats(seen), unapplied(seen), fallen(before, after)
  seen.doubled = #seen.effects - #bag.from(seen.effects):distinct()
  lab:number("dropped", done.dropped, "records")
  lab:number("went back by", seen.fell, "offsets")
  lab:number("delivered again", #seen.again, "records")
  lab:number("applied twice", seen.doubled, "records")
  lab:number("lost", #seen.lost, "records")
  seen.says = says(seen)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

-- Which records come a second time.
local function again(s, moved)
  if s.drop == "generation" then return "holds" end
  if s.drop == "refused" then return straddle.ids(moved, DONE, DONE) end
  local list = straddle.ids(moved, 0, ALL - 1)
  return s.commit == "last" and tables.append(list, straddle.ids(1 - moved, 0, EACH - 1)) or list
end

return experiment {
  id = "E-033", title = "Batch that straddles a rebalance",
  question = "A partition moves while its records are in my batch. May I finish it?",
  claim = "The broker takes a commit from any member, also for a partition that is no longer its own: the \z
    offset goes back behind what the new owner has done. Dropping the rest loses it where it is stored \z
    already.",
  lesson = "Keep with each record the assignment that it was read in, drop those of a lost partition before \z
    their transaction, store an offset behind its record, and obey a store that is refused.",
  needs = { "kafka", "mysql" }, seconds = 14,
  side_by_side = 3,
  telling = { { "went back by + lost", "offsets committed wrongly" },
    { "delivered again", "records delivered again" }, { "lost", "records lost" } },
  arms = {
    wrong "finishes-all" { says = "finishes the batch and commits all of it", commit = "batch" },
    wrong "finishes-all-no-dedup" { says = "the same without a dedup row", commit = "batch", dedup = false },
    wrong "names-the-last" { says = "finishes the batch and commits its last record", commit = "last" },
    wrong "stored-when-handed-out" { says = "drops what is lost; the client stores offsets when it hands \z
      records out", drop = "generation", commit = "default" },
    right "by-generation" { says = "drops what was read in an assignment that is over, stores behind each \z
      record", drop = "generation", commit = "each" },
    right "obeys-the-store" { says = "drops the rest when a store is refused", drop = "refused",
      commit = "each" },
  },

  roles = { member = straddle.role },

  run = run,

  moment = require "rlab.story.moment.straddle",
  checks = function(lab, seen, arm)
    local s, falls = arm.settings, arm.settings.commit == "batch" or arm.settings.commit == "last"
    local passed = seen.after["0"] + seen.after["1"]
    lab.check.bound { name = "went-back", value = seen.fell, at_most = 0, unit = "offsets",
      what = "a commit went back by", control = passed }:expect(falls and ALL - EACH or "holds")
    lab.check.duplicate { name = "delivered-again", of = seen.deliveries, at_least = ALL + DONE,
      details = seen.records }:expect(again(s, seen.moved))
    lab.check.duplicate_effect { of = seen.effects, details = seen.records }
      :expect(s.dedup == false and straddle.ids(seen.moved, 0, ALL - 1) or "holds")
    lab.check.lost_effect { of = seen.records, committed = seen.after, effects = seen.effects }
      :expect(s.commit == "default" and straddle.ids(seen.moved, DONE, EACH - 1) or "holds")
    if arm.class == "right" then
      lab.check.agree { { "passed", passed, EACH + ALL, "records are passed when both are done" } }
    end
  end,

  verdict = function(arms)
    local all, twice, stored, right = arms["finishes-all"], arms["finishes-all-no-dedup"],
      arms["stored-when-handed-out"], arms["by-generation"]
    if not (all and twice and stored and right) then return nil end
    return ("Who finishes a batch after a partition has moved sets its committed offset back by %d: %d \z
      records come again, and without dedup %d are applied twice. Offsets stored when records are handed \z
      out lose %d. By generation: %d and %d."):format(all.fell, #all.again, twice.doubled, #stored.lost,
      #right.again, #right.lost)
  end,
}
