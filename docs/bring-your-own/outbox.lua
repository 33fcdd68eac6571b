-- Outbox relays of others, unchanged, at the moments of E-001, E-002, E-003, E-026 and E-027. What those do
-- by failpoints of rlab's relay is done from outside: requests held on the wire, signals, a transaction that
-- stays open. Which moment is whose, and what was seen: docs/bring-your-own/outbox-kit.md.
local gap = require "rlab.story.relay.commit_gap"
local tables = require "rlab.tables"

local EVENTS, ACCOUNTS, PART, PATIENT = 60, 6, 20, "30s"
local ROLLED_BACK, HELD, TRIED = 5, 11, 3

-- A relay of the arm: the brokers through the proxy; what it keeps for a second life is in the run's folder.
local function start(lab, arm)
  local at = lab.stack.mysql
  local relay = lab:process { name = "relay", via_proxy = true,
    cmd = { "docs/bring-your-own/outbox/run.sh", arm.settings.relay },
    env = { RLAB_STATE = ("%s/%s"):format(lab.run.dir, lab.label), RLAB_MYSQL_HOST = at.host,
      RLAB_MYSQL_PORT = tostring(at.port) } }
  relay:expect("ready", "180s") -- the first run builds it
  return relay
end

local function again(relay)
  local second = relay:restart()
  second:expect("ready", "60s")
  return second
end

local function in_topic(lab) return bag.from(lab:records(lab:event_topic())) end

local function has_all(lab, list)
  local got = in_topic(lab)
  for _, one in ipairs(list) do
    if got:count(one.id) == 0 then return false end
  end
  return true
end

local function owe(lab, name, list)
  lab:owed(name, "these events are in the topic", function() return has_all(lab, list) end, PATIENT)
end

local function part(list, n) return table.move(list, (n - 1) * PART + 1, n * PART, 1, {}) end

local function write(lab, list)
  lab:publish { list = list, outbox = true }
  return list
end

-- It has a request on its way, which is held, and stands still.
local function stop_with_request(lab, relay, list)
  local held = lab:rule { api = "Produce", nth = 1, action = "hold", name = "its next Produce is held" }
  write(lab, list)
  held:await "30s"
  return held, relay:freeze()
end

local moments = {}

-- E-001, E-003: the brokers have the records, the relay dies before it reads the answer.
moments["sent-not-marked"] = function(lab, arm, list, seen)
  lab:service("consumer", { dlq = "-", batch = 50 })
  local relay = start(lab, arm)
  owe(lab, "sends", write(lab, part(list, 1)))
  local before = gap.published(lab)
  local held = stop_with_request(lab, relay, part(list, 2))
  held:release()
  lab:await("the brokers to have the held records", function() return gap.published(lab) > before end)
  local first = #lab:records(lab:event_topic())
  for i, record in ipairs(lab:records(lab:event_topic())) do
    if i > before and i <= first then seen.copied[#seen.copied + 1] = record.id end
  end
  relay:kill()
  again(relay)
  owe(lab, "sends-again", part(list, 2))
  owe(lab, "goes-on", write(lab, part(list, 3)))
  lab:drain { outbox = false }
end

-- E-002: one record is refused for good, another swallowed and its relay killed.
moments["refused-swallowed"] = function(lab, arm, list)
  local relay = start(lab, arm)
  owe(lab, "sends", write(lab, part(list, 1)))
  local refusal = lab:rule { api = "Produce", nth = 1, action = "error", code = 29,
    name = "Produce is refused" }
  write(lab, part(list, 2))
  refusal:await "30s"
  refusal:remove()
  if lab:within("5s", function() return not relay:alive() end) then
    relay:wait_exit { code = 1 }
    lab:event "the relay ended by itself, as one whom a supervisor starts again"
    relay = again(relay)
  end
  owe(lab, "sends-again", part(list, 2))
  local swallowed = lab:rule { api = "Produce", action = "black-hole", name = "Produce is swallowed" }
  write(lab, part(list, 3))
  swallowed:await "30s"
  relay:kill()
  swallowed:remove()
  again(relay)
  owe(lab, "goes-on", part(list, 3))
end

-- E-026: an id that is rolled back, and one that is committed behind twenty of higher ids.
moments["commit-gap"] = function(lab, arm, list, seen)
  lab:accounts(ACCOUNTS)
  for i, one in ipairs(list) do one.account = i == HELD and 1 or 2 + i % (ACCOUNTS - 1) end
  local command = gap.services(lab, {}).command
  start(lab, arm)
  local function send(from, to)
    tables.append(seen.ok, gap.send(lab, command, table.move(list, from, to, 1, {})))
  end
  send(1, ROLLED_BACK - 1)
  gap.roll_back(lab, command, list[ROLLED_BACK])
  send(ROLLED_BACK, HELD - 1)
  owe(lab, "passes-a-rollback", table.move(list, 1, HELD - 1, 1, {}))
  local open = gap.hold(lab, command, list[HELD])
  send(HELD + 1, HELD + PART)
  local behind = table.move(list, HELD + 1, HELD + PART, 1, {})
  seen.went_on = lab:within("5s", function() return has_all(lab, behind) end) or false
  tables.append(seen.ok, open.commit())
  send(HELD + PART + 1, EVENTS)
  owe(lab, "goes-on", table.move(list, HELD + PART + 1, EVENTS, 1, {}))
  lab:within("10s", function() return has_all(lab, list) end)
  lab:event("while one transaction was open the relay %s", seen.went_on and "went on" or "stood still")
end

-- E-027: it stands still with a request on its way, another is started, and commands are sent, on accounts
-- of their own; then it goes on. How long it stood decides what its client makes of it, so that copies are
-- counted and not foretold.
moments["zombie"] = function(lab, arm, list, seen)
  lab:accounts(2 * ACCOUNTS)
  local command = lab:service("command", {})
  local relay = start(lab, arm)
  local held, frozen = stop_with_request(lab, relay, part(list, 1))
  start(lab, arm)
  seen.taken_over = lab:within("10s", function() return has_all(lab, part(list, 1)) end) or false
  local tried = table.move(list, PART + 1, PART + TRIED, 1, {})
  for _, one in ipairs(tried) do one.account = one.account + ACCOUNTS end
  local done = lab:commands { to = command, list = tried, accepted = 0, at_most = "60s" }
  seen.written = #done.ok
  tables.append(seen.ok, done.ok)
  held:release()
  frozen.thaw()
  owe(lab, "goes-on", write(lab, part(list, 3)))
  lab:within("10s", function() return has_all(lab, part(list, 1)) end)
  lab:event("another relay %s; %d of %d commands were taken meanwhile",
    seen.taken_over and "took over" or "did not take over", seen.written, TRIED)
  lab:number("commands taken while it stood", seen.written)
end

local function run(lab, arm)
  lab:event_topic { partitions = 1 }
  if arm.settings.relay == "debezium" then -- its router routes by a column of that name
    must(lab:db():exec [[ALTER TABLE outbox_event ADD COLUMN aggregatetype VARCHAR(64) NOT NULL
      DEFAULT 'entry']])
  end
  local list, seen = lab:plan(EVENTS, ACCOUNTS), { ok = {}, copied = {} }
  moments[arm.settings.moment](lab, arm, list, seen)
  local stores = lab:stores()
  seen.records, seen.ledger, seen.outbox = lab:records(lab:event_topic()), stores.ledger, stores.outbox
  seen.effects, seen.sums = stores.effects, stores.sums
  lab:number("twice in the topic", #seen.records - #in_topic(lab):distinct(), "events")
  return seen
end

local function arms()
  local list = {}
  for _, relay in ipairs { "debezium", "watermill" } do
    for _, moment in ipairs { "sent-not-marked", "refused-swallowed", "commit-gap", "zombie" } do
      local class = moment == "zombie" and observe or right
      list[#list + 1] = class(relay .. "-" .. moment) { relay = relay, moment = moment,
        says = ("%s, %s"):format(relay, moment) }
    end
  end
  return list
end

return experiment {
  id = "outbox-kit",
  title = "Outbox relays of others",
  claim = "What was committed is sent, whatever happens to the relay.",
  needs = { "kafka", "mysql", "proxy" },
  arms = arms(),
  run = run,

  checks = function(lab, seen, arm)
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records }:expect "holds"
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect "holds"
    lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    if arm.class == "observe" then return end
    lab.check.duplicate_publish { of = seen.records }:expect(#seen.copied > 0 and seen.copied or "holds")
    if arm.settings.moment ~= "sent-not-marked" then return end
    lab.check.duplicate_effect { of = seen.effects, at_least = EVENTS }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents" }:expect "holds"
  end,
}
