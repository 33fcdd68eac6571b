-- E-002: fifty commands to a service that writes MySQL and sends to Kafka by itself, in four ways, and to
-- one with an outbox. What is missing, what is a ghost?
local outbox = require "rlab.story.outbox"
local COMMANDS, ACCOUNTS = 50, 5
local FIRST, SECOND, TIMED_OUT = "cmd-0025", "cmd-0040", -192
local REFUSED, ON_ITS_WAY, HALF_WAY = "cmd-0005", "cmd-0010", "cmd-0015"
local HOLE = { "cmd-0020", "cmd-0021", "cmd-0022", "cmd-0023", "cmd-0024" }

-- ---- what happens to each practice ----
local faults = {}
-- Killed when the client has its answer; the next command waits for the supervisor.
faults["send-after-reply"] = function(lab, mode)
  local service = lab:service("command", { mode = mode },
    { via_proxy = true, must_fire = { ["cmd.after_reply"] = "kill if request=" .. FIRST } })
  return service, { restart = true, after = function(sent)
    if sent.id == FIRST then service:wait_exit { signal = "KILL", at_most = "30s" } end
  end }
end

faults["queue-and-reply"] = faults["send-after-reply"]
-- The event is acknowledged by the brokers, then the transaction fails.
faults["send-inside-transaction"] = function(lab, mode)
  return lab:service("command", { mode = mode },
    { via_proxy = true, must_fire = { ["cmd.before_commit"] = "error(1205) if request=" .. FIRST } }), {}
end

-- Delivery reports with this code: the service counts them, and that is all it does with them.
local function reports(service, code)
  return service:total("rlab_command_reports_total", ('code="%d"'):format(code))
end

-- The network swallows five sends; the delivery reports say so, and nobody reads them.
faults["ignore-reports"] = function(lab, mode)
  local service, hole = lab:service("command", { mode = mode }, { via_proxy = true }), nil
  return service, {
    before = function(next_one)
      if next_one.id ~= HOLE[1] then return end
      lab:owed("acknowledged", "the events before it", function() return reports(service, 0) == 19 end)
      hole = lab:rule { api = "Produce", action = "black-hole", name = "Produce is swallowed" }
    end,
    after = function(sent)
      if sent.id ~= HOLE[#HOLE] then return end
      lab:await("five reports of a timed-out message",
        function() return reports(service, TIMED_OUT) == #HOLE end)
      hole:remove()
    end,
  }
end

-- Killed after the commit of one command, before that of another, between the two rows of a third.
faults["outbox"] = function(lab)
  return outbox.start(lab, { refused = REFUSED, on_its_way = ON_ITS_WAY, half_way = HALF_WAY, must_fire = {
    ["cmd.after_commit"] = "kill if request=" .. FIRST,
    ["cmd.before_commit"] = "kill if request=" .. SECOND } })
end

local function says(missing, ghosts, off)
  if missing + ghosts == 0 then return "each entry has its event, no event without one" end
  local words = {}
  if missing > 0 then words[1] = ("%d event%s missing"):format(missing, missing == 1 and "" or "s") end
  if ghosts > 0 then words[#words + 1] = ("%d ghost event%s"):format(ghosts, ghosts == 1 and "" or "s") end
  return ("%s, view off by %+d cents"):format(table.concat(words, ", "), off)
end

-- Answered with success, and no Produce request carried it: the ids of the requests.
local function never_sent(stores, wire, ok)
  local done, list = bag.from(ok), {}
  for _, row in ipairs(stores.ledger) do
    if wire:count(row.event) == 0 and done:count(row.id) > 0 then list[#list + 1] = row.id end
  end
  return list
end

local function sum_of(list, ids)
  local chosen, sum = bag.from(ids), 0
  for _, one in ipairs(list) do sum = sum + chosen:count(one.id) * one.amount end
  return sum
end

local function show_ghost(lab, records)
  local ghost = lab:record_of(records, FIRST)
  if not ghost then return end
  lab:picture { title = "A ghost in the log", records = records, partition = ghost.partition,
    around = ghost.offset, width = 5,
    note = FIRST .. " was acknowledged by the brokers; then its transaction in MySQL was rolled back.",
    kind = function(record) return record.id == FIRST and "ghost" or "plain" end,
    link = { offset = ghost.offset, store = "ledger_entry", text = "no row for " .. FIRST } }
end

local function run(lab, arm)
  lab:event_topic()
  lab:accounts(ACCOUNTS)
  lab:watch_pipeline { "backlog", "lag", "applied" }
  lab:service("consumer", { dlq = "-", batch = 50 })
  local log = arm.class == "wrong" and lab:wire_log { api = "Produce" }
  local service, opts = faults[arm.name](lab, arm.settings.mode)
  opts.to, opts.count, opts.accounts = service, COMMANDS, ACCOUNTS
  opts.accepted = COMMANDS // 2 -- fewer prove nothing; the check wants all
  local done = lab:commands(opts)
  done.service:stop()
  lab:drain {}
  local stores, records = lab:stores(), lab:records(lab:event_topic())
  local seen = { ok = done.ok, unknown = done.unknown, list = done.list, ledger = stores.ledger,
    records = records, sums = stores.sums, outbox = stores.outbox }
  if log then
    local wire, ghost = bag.from(log:ids()), lab:record_of(records, FIRST)
    seen.never, seen.ghost_sent = never_sent(stores, wire, done.ok), ghost and wire:count(ghost.event) or 0
  end
  local rows, events = bag.from(stores.ledger), bag.from(records)
  local missing, ghosts = rows - events, events - rows
  seen.missing, seen.says = #missing, says(#missing, #ghosts, stores.sums.view - stores.sums.ledger)
  lab:number("missing events", #missing)
  lab:number("ghost events", #ghosts)
  lab:number("account minus view", stores.sums.account - stores.sums.view, "cents")
  if arm.name == "send-inside-transaction" then show_ghost(lab, records) end
  for _, found in ipairs { { missing, ": committed, no event" }, { ghosts, ": an event, no row" } } do
    local id = found[1]:ids(1)[1]
    if id then lab:anomaly(id .. found[2], { at = done.ended[id] }) end
  end
  return seen
end

-- Commands whose service died, or failed, before it could say how they ended; it must take all others.
local UNANSWERED = { outbox = { HALF_WAY, FIRST, SECOND }, ["send-inside-transaction"] = { FIRST } }

-- What else must hold of one practice.
local own_checks = { ["ignore-reports"] = function() end }
own_checks["send-after-reply"] = function(lab, seen)
  lab.check.same { name = "never-sent", got = seen.never, want = { FIRST },
    what = "events that no Produce carried" }:expect "holds"
end

own_checks["queue-and-reply"] = function(lab, seen)
  lab.check.lost { name = "the last one among them", of = { FIRST }, in_ = seen.never }:expect "holds"
end

own_checks["send-inside-transaction"] = function(lab, seen)
  lab.check.agree { { "sent before the rollback", seen.ghost_sent, 1, "Produce carried it" } }
end

own_checks["outbox"] = function(lab, seen)
  local rows, log = bag.from(seen.ledger), bag.from(seen.records)
  local control = { what = "rows and events of other commands", seen = math.min(#rows, #log) }
  local function both(id) return rows:count(id) + log:count(id) end
  lab.check.agree { { "killed after commit", both(FIRST), 2, "row and event" },
    { "killed before commit", both(SECOND), 0, "row or event", control = control },
    { "killed half-way", both(HALF_WAY), 0, "row or event", control = control } }
  lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
  lab.check.duplicate { name = "written-twice", of = seen.outbox }:expect "holds"
end

return experiment {
  id = "E-002",
  title = "Direct produce instead of an outbox",
  question = "What can go wrong if the service commits to MySQL and sends to Kafka by itself?",
  claim = "Two writes without one commit give missing events in one order and ghost events in the other.",
  lesson = "Write the event into an outbox in the transaction of the change, and let a relay send it.",
  needs = { "kafka", "mysql", "proxy" }, seconds = 7, side_by_side = true,
  telling = { { "lost + phantom", "events lost or made up" }, { "conservation", "money off" } },
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

  run = run,

  checks = function(lab, seen, arm)
    local lost = ({ ["send-after-reply"] = { FIRST }, ["queue-and-reply"] = seen.never,
      ["ignore-reports"] = HOLE })[arm.name] or "holds"
    local ghost = arm.name == "send-inside-transaction" and { FIRST } or "holds"
    local open = UNANSWERED[arm.name] or {}
    lab.check.same { name = "unanswered", got = seen.unknown, want = open, control = #seen.ok,
      what = "commands without an answer" }:expect "holds"
    lab.check.agree { { "accepted", #seen.ok, #seen.list - #open, "commands accepted" } }
    lab.check.lost { of = seen.ok, in_ = seen.records, unknown = seen.unknown }:expect(lost)
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records }:expect(lost)
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect(ghost)
    local relayed = arm.class == "right" -- a relay may send again what it had no time to mark: E-003
    if not relayed then lab.check.duplicate_publish { of = seen.records }:expect "holds" end
    local off = sum_of(seen.list, ghost ~= "holds" and ghost or {}) - sum_of(seen.list,
      lost ~= "holds" and lost or {})
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect(off)
    own_checks[arm.name](lab, seen)
  end,

  verdict = function(arms)
    local queued, ignored = arms["queue-and-reply"], arms["ignore-reports"]
    if not (queued and ignored and arms["outbox"]) then return nil end
    return ("Two writes without one commit left a ghost, or lost events: %d queued and not sent, %d with \z
      reports ignored. With an outbox none was missing."):format(queued.missing, ignored.missing)
  end,
}
