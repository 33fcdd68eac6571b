-- E-032: sixty records in a share group with a DLQ. One kills its member, a downstream is away, a member is
-- frozen with all of them in its hands. Who is archived, who should have been, and what does the DLQ know?
local bag = require "rlab.bag"
local share = require "rlab.story.group.share"
local tables = require "rlab.tables"

local EVENTS, POISON_AT = 60, 31
local OUTAGE, PAUSE = 3.0, 0.5 -- s; the pause before the first release: 1, 2, 4 before the next
local TRIES = 3 -- deliveries after which a member rejects the one that has killed it
local LONG, SHORT = 60000, 1000 -- ms, a lock that outlasts all pauses, and one that no freeze can meet

local function id(i) return ("evt-%02d"):format(i) end

local POISON = id(POISON_AT)

local function ids(from, to)
  local list = {}
  for i = from, to do list[#list + 1] = id(i) end
  return list
end

-- healthy(s, from) -> the ids from there on that a member can handle: where none crashes, all of them
local function healthy(s, from)
  local list = ids(from, EVENTS)
  if s.fault == "crash" then table.remove(list, POISON_AT - from + 1) end
  return list
end

local faults = {
  crash = function(group, s)
    group:crashes(s.crashes, { commit = s.commit, tries = s.tries }, POISON, EVENTS)
  end,
  outage = function(group, s) return group:outage({ pause = s.pause }, OUTAGE, s.archived) end,
  freeze = function(group, s) group:frozen(EVENTS, s.archived, LONG) end,
}

local function says(seen)
  local words = { ("%d archived"):format(#seen.archived) }
  local function add(n, fmt) words[#words + 1] = n > 0 and fmt:format(n) or nil end
  add(#seen.unprocessed, "%d healthy ones never processed")
  add(#seen.again, "%d processed twice")
  add(#seen.bare, "no copy in the DLQ")
  add(seen.gone, "%d nowhere")
  words[#words + 1] = seen.told == 0 and "no error at any member" or
    ("%d errors at members, %s"):format(seen.told, seen.refusals[1] or "none a refusal")
  return table.concat(words, ", ")
end

-- without(list, of) -> those of `of` that are not in the list
local function without(list, of)
  local set, left = tables.set_of(list), {}
  for _, one in ipairs(of) do left[#left + 1] = not set[one] and one or nil end
  return left
end

-- The brokers write to the DLQ at least once: what stands there again is a number and no verdict.
local function look(group, s)
  local seen = group:look()
  local done, refused = tables.ids_of(seen.effects), group:told_all "refused"
  seen.told, seen.refusals = #group:told_all "error" + #refused, tables.names_of(refused)
  seen.archived, seen.bare, seen.own, seen.repeated, seen.wrongly = {}, {}, 0, 0, 0
  local known = {}
  for _, row in ipairs(seen.dead) do
    local first, ours = not known[row.id], row.id ~= share.UNDECODABLE
    local rightly = s.fault == "crash" and row.id == POISON and row.value
    if first and ours then table.insert(seen.archived, row.id) end
    if first and not row.value then table.insert(seen.bare, row.id) end
    seen.wrongly = seen.wrongly + (first and ours and not rightly and 1 or 0)
    seen.repeated = seen.repeated + (ours and not first and 1 or 0)
    seen.own, known[row.id] = seen.own + (row.own and 1 or 0), true
  end
  seen.unprocessed, seen.again = without(done, healthy(s, 1)), bag.from(seen.effects):duplicates()
  seen.gone = #without(seen.archived, without(done, ids(1, EVENTS)))
  return seen
end

local function run(lab, arm)
  local s = arm.settings
  local group = share.open(lab, { limit = s.limit, lock = s.fault == "freeze" and SHORT or LONG,
    copy = s.copy, enabled = s.enabled, dedup = s.dedup })
  group:publish(ids(1, EVENTS))
  local away = faults[s.fault](group, s)
  group:settle(s.enabled == false and EVENTS - 1 or EVENTS)
  group:await_archived(s.archived)
  if s.enabled == false then group:enable_dlq() end
  group:finish()
  local seen = look(group, s)
  seen.away, seen.says = away, says(seen)
  lab:number("archived", #seen.archived, "records")
  lab:number("healthy and never processed", #seen.unprocessed, "records")
  lab:number("given up wrongly", seen.wrongly + seen.gone)
  lab:number("in the DLQ again", seen.repeated, "records")
  lab:number("own headers left in the DLQ", seen.own)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-032", title = "Share groups and the broker's DLQ",
  question = "The broker counts deliveries and has a dead-letter queue. Do I still need retry topics?",
  claim = "The limit counts deliveries of a batch, whoever is to blame: a crash, an outage or a freeze \z
    archives healthy records, and no member is told that they are given up.",
  lesson = "Acknowledge and commit record by record, pause before you release, keep the limit far above \z
    your own count, and test that the DLQ takes a record with its copy.",
  needs = { "kafka", "mysql" }, seconds = 10,
  side_by_side = { { "crash-at-limit-2", "frozen-at-limit-2", "room-and-dedup" },
    { "release-at-once", "pause-then-release", "dlq-not-enabled", "dlq-without-copy", "record-by-record" } },
  roles = { member = share.role },
  telling = { { "given up wrongly", "healthy records archived, or bad ones lost" },
    { "never-processed", "healthy records never processed" } },
  -- archived: how many of the sixty the group gives up; by an outage, at least
  arms = {
    wrong "crash-at-limit-2" { says = "one commit a batch, delivery limit 2; a record kills its member",
      fault = "crash", crashes = 2, limit = 2, commit = "batch", archived = EVENTS },
    wrong "release-at-once" { says = "what fails is released at once; the downstream is away for 3 s",
      fault = "outage", limit = 5, archived = 1 },
    wrong "frozen-at-limit-2" { says = "two members frozen past their lock, delivery limit 2, no dedup",
      fault = "freeze", limit = 2, archived = EVENTS },
    wrong "dlq-not-enabled" { says = "the DLQ's topic lacks errors.deadletterqueue.group.enable",
      fault = "crash", crashes = TRIES, limit = 10, commit = "record", tries = TRIES, enabled = false,
      archived = 0 },
    wrong "dlq-without-copy" { says = "the DLQ as it is by default: no copy of the record",
      fault = "crash", crashes = TRIES, limit = 10, commit = "record", tries = TRIES, copy = false,
      archived = 1 },
    right "record-by-record" { says = "a commit a record; what has killed three is rejected, with copy",
      fault = "crash", crashes = TRIES, limit = 10, commit = "record", tries = TRIES, archived = 1 },
    right "pause-then-release" { says = "a pause that doubles before each release, limit 5",
      fault = "outage", limit = 5, pause = PAUSE, archived = 0 },
    right "room-and-dedup" { says = "two members frozen past their lock, limit 10, a unique key",
      fault = "freeze", limit = 10, dedup = true, archived = 0 },
  },

  run = run,

  moment = require "rlab.story.moment.share",
  checks = function(lab, seen, arm)
    local s, name, rejected, dead = arm.settings, arm.name, share.UNDECODABLE, tables.ids_of(seen.dead)
    local poison = s.fault == "crash" and POISON or nil
    local given_up = { ["crash-at-limit-2"] = healthy(s, 1), ["frozen-at-limit-2"] = healthy(s, 1),
      ["release-at-once"] = "violated" } -- as many as it has time for
    local lost = { ["crash-at-limit-2"] = healthy(s, POISON_AT), ["release-at-once"] = "violated" }
    local twice = { ["crash-at-limit-2"] = ids(1, POISON_AT - 1), ["frozen-at-limit-2"] = ids(1, EVENTS) }
    lab.check.phantom { name = "archived-healthy", of = dead, in_ = { rejected, poison } }
      :expect(given_up[name] or "holds")
    lab.check.lost { name = "never-processed", of = healthy(s, 1), in_ = seen.effects }
      :expect(lost[name] or "holds")
    lab.check.duplicate_effect { of = seen.effects }:expect(twice[name] or "holds")
    if s.fault == "crash" then
      lab.check.lost { name = "not-in-the-dlq", of = { POISON }, in_ = dead }
        :expect(s.enabled == false and { POISON } or "holds")
      lab.check.same { name = "without-the-record", got = seen.bare, want = {}, what = "records of the DLQ \z
        that have no copy", control = #seen.dead }:expect(s.copy == false and { POISON, rejected } or "holds")
    end
    if name == "frozen-at-limit-2" then return end -- told or not, as the start of the log has moved or not
    lab.check.agree { { "told", seen.told, s.fault == "freeze" and 2 or 0, "errors at a member",
      control = #seen.records } }
  end,

  verdict = function(arms)
    local crash, release, frozen, right = arms["crash-at-limit-2"], arms["release-at-once"],
      arms["frozen-at-limit-2"], arms["record-by-record"]
    if not (crash and release and frozen and right) then return nil end
    return ("One bad record and two crashes archived %d records, %d of them healthy and never processed; an \z
      outage of %.1f s archived %d, two freezes %d that were done. Record by record: %d.")
      :format(#crash.archived, #crash.unprocessed, release.away, #release.archived, #frozen.archived,
        #right.archived)
  end,
}
