-- An outbox and its relay under what can happen to the two: a command that dies between its ledger row and
-- its outbox row, a record that the broker refuses, a relay that dies with a record on its way. It is done on
-- the wire, so that it does not matter where in their code the services do their part.

local half_way = require "rlab.story.half_way"

local M = {}

local REFUSAL = 29 -- TOPIC_AUTHORIZATION_FAILED: the client does not try again by itself

-- What was committed before the INSERT of the outbox row stays.
local function between_rows(lab, service)
  local killed
  return {
    before = function()
      local crash = half_way.at(lab, { statement = "INSERT INTO outbox_event",
        name = "the INSERT of an outbox row is swallowed" })
      killed = lab:background("the end of the command service", function() crash:strike(service) end)
    end,
    after = function() killed:join() end,
  }
end

-- The relay owes that it sends. A row that is marked and did not meet the rule is no debt of the relay's: the
-- rule then has no proof.
local function await_send(lab, rule)
  local function met() return rule:state().fired > 0 end
  lab:owed("sent", "the relay sends the next row", function()
    return met() or lab:unsent() == 0 and not lab:within("1s", met)
  end)
end

-- One record is refused for good; the relay has to send its row once more.
local function refused(lab)
  local rule
  return {
    before = function()
      rule = lab:rule { api = "Produce", nth = 1, action = "error", code = REFUSAL,
        name = "Produce is refused" }
    end,
    after = function()
      await_send(lab, rule)
      rule:remove()
    end,
  }
end

-- A record is swallowed and its relay killed, after it had time to write down that the record was sent.
local function on_its_way(lab, relay)
  local rule
  return {
    before = function()
      rule = lab:rule { api = "Produce", action = "black-hole", name = "Produce is swallowed" }
    end,
    after = function()
      await_send(lab, rule)
      lab:within("300ms", function() return lab:unsent() == 0 end)
      relay:kill()
      rule:remove()
      relay:restart()
    end,
  }
end

-- start(lab, {refused = id, half_way = id, on_its_way = id, must_fire = {point = expr}}) -> service, options
--   for lab:commands: with which commands of one client it happens. A batch is of one row, so that no other
--   record is acknowledged beside one that is swallowed.
function M.start(lab, at)
  local relay = lab:service("relay", { batch = 1, in_flight = 1, lease = "2s" }, { via_proxy = true })
  local service = lab:service("command", { mode = "outbox" }, { via_proxy = true, must_fire = at.must_fire })
  local by_id = { [at.refused] = refused(lab), [at.half_way] = between_rows(lab, service),
    [at.on_its_way] = on_its_way(lab, relay) }
  local function at_its_time(name)
    return function(command)
      if by_id[command.id] then by_id[command.id][name]() end
    end
  end
  return service, { restart = true, before = at_its_time "before", after = at_its_time "after" }
end

return M
