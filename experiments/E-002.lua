-- E-002: fifty commands to a service that writes MySQL and sends to Kafka by itself, in four ways, and to
-- one with an outbox. What is missing, what is a ghost?
local COMMANDS, ACCOUNTS, FIRST, SECOND = 50, 5, 25, 40
local HOLE_FROM, HOLE_TO = 20, 24

local function command(i)
  return ("cmd-%04d"):format(i)
end

-- ---- what happens to each practice ----

local faults = {}

-- Killed when the client has its answer; the next command waits for the supervisor.
local function killed_after_reply(service)
  return { restart = true, after = function(sent)
    if sent.id == command(FIRST) then service:wait_exit { signal = "KILL", at_most = "30s" } end
  end }
end

faults["send-after-reply"] = function(lab, mode)
  local service = lab:service("command", { mode = mode },
    { via_proxy = true, must_fire = { ["cmd.after_reply"] = "kill if request=" .. command(FIRST) } })
  return service, killed_after_reply(service)
end

faults["queue-and-reply"] = faults["send-after-reply"]

-- The event is acknowledged by the brokers, then the transaction fails.
faults["send-inside-transaction"] = function(lab, mode)
  return lab:service("command", { mode = mode },
    { via_proxy = true, must_fire = { ["cmd.before_commit"] = "error(1205) if request="
    .. command(FIRST) } }), {}
end

-- Delivery reports of the service with this code, so far: it counts them, and that is all it does with them.
local function reports(service, code)
  local n = 0
  for name, value in pairs(service:metrics()) do
    if name:match "^rlab_command_reports_total{" and name:find(('code="%d"'):format(code), 1, true) then
      n = n + value
    end
  end
  return n
end

local TIMED_OUT = -192

-- The network swallows five sends; the delivery reports say so, and nobody reads them.
faults["ignore-reports"] = function(lab, mode)
  local service, hole = lab:service("command", { mode = mode }, { via_proxy = true }), nil
  return service, {
    before = function(next_one)
      if next_one.id ~= command(HOLE_FROM) then return end
      lab:await("the events before it to be acknowledged",
        function() return reports(service, 0) == HOLE_FROM - 1 end)
      hole = lab:rule { api = "Produce", action = "black-hole", name = "Produce is swallowed" }
    end,
    after = function(sent)
      if sent.id ~= command(HOLE_TO) then return end
      lab:await("five reports of a timed-out message",
        function() return reports(service, TIMED_OUT) == HOLE_TO - HOLE_FROM + 1 end)
      hole:remove()
    end,
  }
end

-- The outbox is killed at the matching places: after the commit of one command, before the commit of another.
faults["outbox"] = function(lab, mode)
  lab:service("relay", { batch = 10, in_flight = 1 })
  return lab:service("command", { mode = mode }, { must_fire = {
    ["cmd.after_commit"] = "kill if request=" .. command(FIRST),
    ["cmd.before_commit"] = "kill if request=" .. command(SECOND) } }), { restart = true }
end

-- ---- the story ----

local function on_the_wire(log)
  local ids = {}
  for _, row in ipairs(log and log:rows { direction = "request" } or {}) do
    for _, part in ipairs(row.partitions or {}) do
      for _, id in ipairs(part.ids or {}) do ids[#ids + 1] = id end
    end
  end
  return ids
end

local function says(missing, ghosts, off)
  if missing + ghosts == 0 then return "each entry has its event, no event without one" end
  local words = {}
  if missing > 0 then
    words[#words + 1] = ("%d event%s missing"):format(missing, missing == 1 and "" or "s")
  end
  if ghosts > 0 then words[#words + 1] = ("%d ghost event%s"):format(ghosts, ghosts == 1 and "" or "s") end
  return ("%s, view off by %+d cents"):format(table.concat(words, ", "), off)
end

-- What no Produce request carried although its command was answered with success: the ids of the requests.
local function never_sent(stores, wire, ok)
  local sent, done, list = bag.from(wire), bag.from(ok), {}
  for _, row in ipairs(stores.ledger) do
    if sent:count(row.event) == 0 and done:count(row.id) > 0 then list[#list + 1] = row.id end
  end
  return list
end

-- The ghost: how often its event was on the wire, by the record that it left.
local function ghost_sent(records, wire)
  for _, record in ipairs(records) do
    if record.id == command(FIRST) then return bag.from(wire):count(record.event) end
  end
  return 0
end

local function sum_of(list, ids)
  local chosen, sum = bag.from(ids), 0
  for _, one in ipairs(list) do
    if chosen:count(one.id) > 0 then sum = sum + one.amount end
  end
  return sum
end

-- When each command ended, for the marker on the time axis.
local function note_times(lab, opts)
  local ended, after = {}, opts.after
  function opts.after(sent, outcome)
    ended[sent.id] = lab:now()
    if after then after(sent, outcome) end
  end
  return ended
end

local AROUND = 5

-- The ghost among the records of its partition.
local function picture(records)
  local ghost, cells = nil, {}
  for _, record in ipairs(records) do
    if record.id == command(FIRST) then ghost = record end
  end
  if not ghost then return nil end
  for _, record in ipairs(records) do
    if record.partition == ghost.partition and math.abs(record.offset - ghost.offset) <= AROUND then
      cells[#cells + 1] = { offset = record.offset, kind = record == ghost and "aborted" or "plain",
        id = record.id, key = record.key }
    end
  end
  return {
    title = "A ghost in the log", note = (
      "%s was acknowledged by the brokers; then its transaction in MySQL was rolled back."):format(ghost.id),
    partitions = { { topic = "events", partition = ghost.partition, marks = {}, cells = cells } },
    links = { { partition = ghost.partition, offset = ghost.offset, store = "ledger_entry",
      text = "no row for " .. ghost.id } },
  }
end

-- ---- what else must hold of one practice ----

local own_checks = {}

own_checks["send-after-reply"] = function(lab, seen)
  lab.check.same { name = "never-sent", got = seen.never, want = { command(FIRST) },
    what = "events that no Produce carried" }:expect "holds"
end

own_checks["queue-and-reply"] = function(lab, seen)
  local one = { command(FIRST) }
  lab.check.lost { name = "the last one among them", of = one,
    in_ = bag.from(one) - bag.from(seen.never) }:expect(one)
end

own_checks["send-inside-transaction"] = function(lab, seen)
  lab.check.equals { name = "sent before the rollback", got = seen.ghost_sent, want = 1,
    what = "Produce carried it" }:expect "holds"
end

own_checks["ignore-reports"] = function() end

own_checks["outbox"] = function(lab, seen)
  local rows, log = bag.from(seen.ledger), bag.from(seen.records)
  local first, second = command(FIRST), command(SECOND)
  lab.check.equals { name = "killed after commit", got = rows:count(first) + log:count(first), want = 2,
    what = "row and event" }:expect "holds"
  lab.check.equals { name = "killed before commit", got = rows:count(second) + log:count(second), want = 0,
    what = "row or event" }:expect "holds"
end

return experiment {
  id = "E-002",
  title = "Direct produce instead of an outbox",
  question = "What can go wrong if the service commits to MySQL and sends to Kafka by itself?",
  claim = "Two writes without one commit give missing events in one order and ghost events in the other.",
  lesson = "Write the event into an outbox in the transaction of the change, and let a relay send it.",
  needs = { "kafka", "mysql", "proxy" },
  side_by_side = true,

  arms = {
    wrong "send-after-reply" { says = "commits, answers, then sends", mode = "direct-after-commit" },
    wrong "queue-and-reply" { says = "commits, queues the event (linger 1 s), answers",
      mode = "direct-queued" },
    wrong "send-inside-transaction" { says = "sends inside the transaction, waits for the \z
      acknowledgement, then commits", mode = "direct-before-commit" },
    wrong "ignore-reports" { says = "commits, sends, and ignores the delivery report; no crash at all",
      mode = "direct-unwatched" },
    right "outbox" { says = "writes the event in the transaction; a relay sends it", mode = "outbox" },
  },

  run = function(lab, arm)
    lab:event_topic()
    lab:accounts(ACCOUNTS)
    lab:watch_pipeline { "backlog", "lag", "applied" }
    lab:service("consumer", { dlq = "-", batch = 50 })
    local log = arm.class == "wrong" and lab:wire_log { api = "Produce" }
    local service, opts = faults[arm.name](lab, arm.settings.mode)
    opts.to, opts.count, opts.accounts = service, COMMANDS, ACCOUNTS
    local ended = note_times(lab, opts)
    local done = lab:commands(opts)
    done.service:stop()
    lab:drain {}
    local stores, records = lab:stores(), lab:records(lab:event_topic())
    local missing, ghosts = bag.from(stores.ledger) - bag.from(records),
      bag.from(records) - bag.from(stores.ledger)
    local seen = { ok = done.ok, unknown = done.unknown, list = done.list, ledger = stores.ledger,
      records = records, sums = stores.sums }
    if log then
      local wire = on_the_wire(log)
      seen.never, seen.ghost_sent = never_sent(stores, wire, done.ok), ghost_sent(records, wire)
    end
    seen.says = says(#missing, #ghosts, stores.sums.view - stores.sums.ledger)
    lab:number("missing events", #missing)
    lab:number("ghost events", #ghosts)
    lab:number("account minus view", stores.sums.account - stores.sums.view, "cents")
    if arm.name == "send-inside-transaction" then lab:moment(picture(records)) end
    for _, found in ipairs { { missing, ": committed, no event" }, { ghosts, ": an event, no row" } } do
      local id = found[1]:ids(1)[1]
      if id then lab:anomaly(id .. found[2], { at = ended[id] }) end
    end
    return seen
  end,

  checks = function(lab, seen, arm)
    local hole = {}
    for i = HOLE_FROM, HOLE_TO do hole[#hole + 1] = command(i) end
    local one = { command(FIRST) }
    local lost = ({ ["send-after-reply"] = one, ["queue-and-reply"] = seen.never,
      ["ignore-reports"] = hole })[arm.name] or "holds"
    local ghost = arm.name == "send-inside-transaction" and one or "holds"
    lab.check.lost { of = seen.ok, in_ = seen.records, unknown = seen.unknown }:expect(lost)
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records }:expect(lost)
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect(ghost)
    lab.check.duplicate_publish { of = seen.records }:expect "holds"
    local off = sum_of(seen.list, ghost ~= "holds" and ghost or {}) - sum_of(seen.list,
      lost ~= "holds" and lost or {})
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect(off)
    own_checks[arm.name](lab, seen)
  end,

  verdict = function(arms)
    local worst = arms["queue-and-reply"]
    if not (worst and arms["outbox"]) then return nil end
    return ("Two writes without one commit lost up to %d events (%s), or left a ghost; with an outbox \z
      nothing was missing after the same kills."):format(
      #worst.never, "queued, not sent")
  end,
}
