-- A server of an external stack, hurt by its owner's drivers (rlab.stack.external.drivers). That a driver
-- says it is done is no proof: the server answered before, it does not answer then, and it goes on not to
-- until it is put back; all of that is asked by rlab itself (rlab.stack.external.probe). What is done is in
-- the run's ledger before it is done, and leaves it when the server answers again.
local clock = require "rlab.clock"
local drivers = require "rlab.stack.external.drivers"
local err = require "rlab.err"
local handle = require "rlab.stack.handle"
local probes = require "rlab.stack.external.probe"
local tables = require "rlab.tables"
local task = require "rlab.task"
local urls = require "rlab.urls"

local M = {}

-- look: after its driver is done the fault has to be seen within; every: between two questions to one that
-- is to go; patience: for the answer of such a one; silent: how long a frozen one has not answered before
-- that is believed; open: how long its question stays open; back: to answer again, when it was put back
M.waits = { look = "10s", every = "50ms", patience = "1s", silent = "500ms", open = "10m", back = "60s" }
local waits = M.waits

local AWAY = { refused = true, silent = true }
local MEANT = { kill = "gone", terminate = "gone", freeze = "stopped" }
local WORDS = { refused = "refuses connections", silent = "does not answer",
  unwell = "answers that it cannot" }

-- It did not happen, or nobody knows.
local function refuse(fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = "INCONCLUSIVE", message = fmt:format(...) }
end

-- It is not undone.
local function lasting(fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = "NOT_PUT_BACK", exit = 69,
    message = fmt:format(...) }
end

-- ---- the look ----

-- What is seen of it while the fault lasts: word (the last), why, since (when it was first away), back (when
-- it answered after that), asked (how often).
local function note(look, word, why)
  local now = clock.ns()
  look.asked, look.word = look.asked + 1, word
  if AWAY[word] then
    look.since, look.seen, look.why = look.since or now, look.seen or word, look.why or why
  elseif word == "answers" and look.since then
    look.back = look.back or now
  end
end

-- One that is to go is asked again and again.
local function ask_on(look)
  while not look.over do
    local word, why = look.probe:ask()
    if look.over then return end
    note(look, word, why)
    task.sleep(waits.every)
  end
end

-- One that is to stand still has one question, to answer when it goes on: more would pile up.
local function ask_once(look)
  local asked = clock.ns()
  local word, why = look.probe:ask()
  if look.over then return end
  if look.since and word == "answers" then look.back = clock.ns() end
  look.asked, look.word, look.answered, look.why = look.asked + 1, word, clock.ns() - asked, why
end

local function open_look(server, patience)
  return { probe = probes.open(server.stack, server.part, server.id, patience), asked = 0 }
end

local function close_look(look)
  if not look then return end
  look.over = true
  if look.task then
    look.task:cancel()
    look.task:join()
    look.task = nil
  end
  look.probe:close()
end

-- -> whether it is away | nil, what it does instead
local function seen_away(look, pred)
  task.wait_until(pred, { at_most = waits.look, every = "20ms" })
  if pred() then return true end
  return nil, look.word == "answers" and "still answers" or WORDS[look.word] or "was not asked"
end

-- ---- faults ----

-- What hangs on the fault's own way: how it is watched while its driver runs, and when it is seen.
local ways = {}

-- It stays away from when the driver is done.
function ways.kill(look)
  look.since, look.seen, look.why, look.back = nil, nil, nil, nil
  return seen_away(look, function() return AWAY[look.word] and look.since end)
end

-- It may have come back, as one does that is restarted.
function ways.terminate(look)
  return seen_away(look, function() return look.since end)
end

local function stands_still(look)
  look.word, look.answered = nil, nil
  local from = clock.ns()
  look.task = task.spawn(ask_once, look)
  task.wait_until(function() return look.word ~= nil end, { at_most = waits.silent, every = "10ms" })
  if look.word then return false end
  look.since, look.seen = from, "silent"
  return true
end

function ways.freeze(look)
  local still = task.wait_until(function()
    if stands_still(look) then return true end
    look.task:join()
    return look.word == "refused" or nil
  end, { at_most = waits.look, every = waits.every })
  if still and look.since then return true end
  return nil, look.word == "answers" and "still answers"
    or look.word == "refused" and "refuses connections: it is gone, not frozen" or WORDS[look.word]
end

local Server = { driven = true, visible = false } -- visible: no process of it can be watched in /proc
Server.__index = Server

-- As the ledger has it: a dead run's is put back by what it says.
local function key_of(server, fault)
  return ("%s %s at %s"):format(fault, server.name, urls.address(server.host, server.port))
end

local function forbidden(server, fault)
  local file, allowed = server.stack.file, server.stack.faults or {}
  if not tables.contains(allowed[server.part] or {}, fault) then
    return ('the experiment does not say faults = { %s = { "%s" } }, so nothing of an external stack is \z
      hurt'):format(server.part, fault)
  end
  local missing = drivers.missing(file.faults, { [server.part] = { fault } })
  if missing then return ("%s names no driver %s"):format(file.path, missing) end
  if not server.stack.ledger then return "only a run, which puts it back, may hurt it" end
  if server.fault then return ("it is hurt already (%s)"):format(server.fault) end
end

local function begin(server, fault, look)
  local word, why = look.probe:ask()
  if word ~= "answers" then
    return refuse("%s %s: it %s beforehand: %s", fault, server.name, WORDS[word], why)
  end
  server.stack.ledger:add("fault", key_of(server, fault))
  server.fault, server.look, look.fault = fault, look, fault
  handle.means(server, MEANT[fault])
  if fault ~= "freeze" then look.task = task.spawn(ask_on, look) end
  return true
end

local function driven(server, fault)
  local no = forbidden(server, fault)
  if no then return refuse("%s %s: %s", fault, server.name, no) end
  local look = open_look(server, fault == "freeze" and waits.open or waits.patience)
  local begun, unwell = begin(server, fault, look)
  if not begun then
    close_look(look)
    return nil, unwell
  end
  local done, failed = drivers.run(server.stack.file, server.part, fault, server:about(fault))
  if not done then return refuse("%s %s: %s", fault, server.name, failed) end
  local seen, instead = ways[fault](look)
  if seen then return true end
  return refuse("%s %s: the driver faults.%s.%s says that it is done, but %s %s", fault, server.name,
    server.part, fault, server.name, instead)
end

function Server:kill() return driven(self, "kill") end
function Server:terminate() return driven(self, "terminate") end
function Server:freeze() return driven(self, "freeze") end

-- server:about(act) -> what stands for {server}, {part}, {id}, {host}, {port} and {act} in a command
function Server:about(act)
  return { server = self.name, part = self.part, id = self.id, host = self.host, port = self.port,
    act = act }
end

-- server:evidence() -> facts of the proof `away`
function Server:evidence()
  local look = self.look or {}
  local to = look.ended or clock.ns()
  return { server = self.name, fault = look.fault, seen = look.seen, why = look.why,
    asked = look.asked, seconds = look.since and (to - look.since) / 1e9,
    early = look.back and (look.back - look.since) / 1e9, returned = look.returned or false }
end

-- ---- and back ----

-- It is told so by its driver, where there is one, and asked until it answers.
local function put_back(stack, server, act)
  local section = stack.file.faults[server.part]
  if section and section[act] then
    local ok, failed = drivers.run(stack.file, server.part, act, server:about(act))
    if not ok then return lasting("%s is not put back: %s", server.name, failed) end
  end
  local probe <close> = probes.open(stack, server.part, server.id, waits.patience)
  local word, why
  local back = task.wait_until(function()
    word, why = probe:ask()
    return word == "answers" and probe:ready()
  end, { at_most = waits.back, every = "100ms" })
  if back then return true end
  return lasting("%s is not back within %s of its driver faults.%s.%s: it %s%s", server.name, waits.back,
    server.part, act, WORDS[word] or "is not known to the others", why and ": " .. why or "")
end

-- server:restore() -> true | nil, err: what was done to it is undone, if anything was, and it answers
function Server:restore()
  local fault, look = self.fault, self.look
  if not fault then return true end
  look.ended = look.ended or clock.ns()
  look.over = true -- an answer that comes from here on is asked for
  local ok, failure = put_back(self.stack, self, drivers.UNDO[fault])
  close_look(look)
  if not ok then return nil, failure end
  self.fault, look.returned = nil, true
  self.stack.ledger:drop("fault", key_of(self, fault))
  handle.means(self, nil)
  return true
end

Server.thaw, Server.start = Server.restore, Server.restore

-- What it is, asked now: "answers", "silent", "refused", "unwell"
function Server:process_state()
  local probe <close> = probes.open(self.stack, self.part, self.id, waits.patience)
  return (probe:ask())
end

function Server:alive() return not AWAY[self:process_state()] end

function Server:state()
  local word = self:process_state()
  return word == "answers" and "up" or word == "silent" and "frozen" or "down"
end

function Server.log() return "", 0 end

Server.__name = "server"
function Server.__tostring(server) return ("server %s of an external stack"):format(server.name) end

-- of(stack, {server =, part =, id =, host =, port =}) -> Server. stack: with file, ledger, and faults, which
--   the experiment says it does
function M.of(stack, at)
  return setmetatable({ name = at.server, part = at.part, id = at.id, host = at.host, port = at.port,
    stack = stack }, Server)
end

-- undo(stack, "kill kafka-2 at host:port") -> true | nil, err: of a run that is no more, as its ledger says
function M.undo(stack, text)
  local fault, name, at = text:match "^(%l+) (%S+) at (%S+)$"
  local part, id = (name or ""):match "^(kafka)%-(%d+)$"
  local host, port = urls.split(at or "")
  local server = M.of(stack, { server = name, part = part or name, id = math.tointeger(tonumber(id)),
    host = host, port = port })
  if not (drivers.UNDO[fault or ""] and stack[server.part]) then
    return lasting("'%s' cannot be undone: %s says nothing of it", text, stack.file.path)
  end
  return put_back(stack, server, drivers.UNDO[fault])
end

return M
