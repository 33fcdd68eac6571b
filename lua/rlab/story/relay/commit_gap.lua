-- A command that takes its outbox id first and commits last, and a relay that reads the outbox in between.
-- The relay stands still while rows are written, so that it meets all of them in one poll, on any machine.
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local POINT, PATIENT, SECONDS = "cmd.before_commit", "60s", 50
local SENT = "relay.after_ack"

-- services(lab, settings, rows) -> {command, relay, consumer}: the relay as in settings; where they have no
--   mark the command service only. A relay that marks rows stands still with the batch of so many rows when
--   it is sent and not marked.
function M.services(lab, settings, rows)
  local at, relay = {}, tables.picked(settings, { "mark", "gaps", "gap_wait" })
  relay.poll_max, relay.in_flight = "10ms", 1
  local wanted = { command = { deadline = PATIENT, lock_wait = SECONDS }, relay = relay,
    consumer = { dlq = "-", batch = 50 } }
  local points = { relay = settings.mark == "update" and { [SENT] = "1*pause if n=" .. rows } or nil }
  lab:each(settings.mark and { "command", "relay", "consumer" } or { "command" }, function(name)
    at[name] = lab:service(name, wanted[name], { must_fire = points[name] })
  end)
  return at
end

-- freeze(relay) -> f: it stands still; one that marks rows has sent them and not marked them. f(): it goes on
function M.freeze(relay)
  local marks = relay.opts.must_fire ~= nil
  if marks then relay:await_hit(SENT) end
  local frozen = relay:freeze()
  return function()
    frozen.thaw()
    if marks then relay:resume(SENT) end
  end
end

-- send(lab, service, list) -> ids that were taken
function M.send(lab, service, list)
  return lab:commands { to = service, list = list, at_most = PATIENT }.ok
end

-- roll_back(lab, service, command): it is sent and fails before its COMMIT; its outbox id is gone
function M.roll_back(lab, service, command)
  service:failpoint(POINT, "1*error(1205) if request=" .. command.id, { must_fire = true })
  lab:commands { to = service, list = { command }, at_most = PATIENT, accepted = 0 }
end

-- beside(lab, service, command) -> f: it is sent beside the story; f() -> its id, once it was taken
function M.beside(lab, service, command)
  local ids
  local client = lab:background(command.id, function() ids = M.send(lab, service, { command }) end)
  return function()
    client:join()
    return ids or {}
  end
end

-- hold(lab, service, command) -> open: it has its outbox row and stands still before its COMMIT.
--   open.commit() -> its id: it commits; open.seconds is how long that took
function M.hold(lab, service, command)
  service:failpoint(POINT, "1*pause if request=" .. command.id, { must_fire = true })
  local open, taken = {}, M.beside(lab, service, command)
  service:await_hit(POINT, "30s", 2)
  local since, span = lab:now(), lab:span("transaction", command.id)
  function open.commit()
    open.seconds = lab:now() - since
    service:resume(POINT)
    local ids = taken()
    span.over "committed"
    return ids
  end
  return open
end

-- behind(lab, service, command) -> f as of beside: it waits for the row of its account, which another holds
function M.behind(lab, service, command)
  local fault = lab:fault(command.id .. " waits for its account")
  local taken = M.beside(lab, service, command)
  local thread = lab:await(command.id .. " to wait for its account", function() return lab:lock_waiter() end)
  fault:fired(lab.proof.lock_wait(thread))
  return taken
end

-- published(lab) -> how many records the topic has, by its high watermark
function M.published(lab)
  local now = lab:offsets(lab:event_topic(), 0)
  return now and now.hw or 0
end

-- looks(relay) -> how often it has come to a hole and stopped there
function M.looks(relay) return relay:metric "rlab_relay_gap_waits_total" or 0 end

-- more_polls(lab, relay, n): what lies in the outbox had so many chances more to be found
function M.more_polls(lab, relay, n)
  local function polls() return relay:metric "rlab_relay_polls_total" or 0 end
  local due = polls() + n
  lab:await(("%d more polls of the relay"):format(n), function() return polls() >= due end)
end

-- ids(lab, request, held) -> how many ids between the first row of the outbox and the last nobody has, how
--   many rows have a higher one than the command held; request: its id by event
function M.ids(lab, request, held)
  local rows, met, behind = must(lab:db():query(
    "SELECT id, BIN_TO_UUID(event_id) AS event FROM outbox_event ORDER BY id")), false, 0
  for _, row in ipairs(rows) do
    if met then behind = behind + 1 end
    met = met or request[row.event] == held
  end
  return rows[#rows].id - rows[1].id + 1 - #rows, behind
end

return M
