-- Producers and consumers of another client library: a process of its own that is driven line by line, with
-- a client for each name. Lines in: NAME open KEY=VALUE ... | NAME init | NAME begin | NAME send TOPIC
-- PARTITION VALUE | NAME put TOPIC KEY VALUE | NAME commit [MS] | NAME abort [MS] | NAME close; NAME consume
-- KEY=VALUE ... | NAME poll MOST MS | NAME commit | NAME close. Each is answered by a line of JSON {to =
-- NAME, ok =, error =, code =}; clients do not wait for one another. The first line, to nobody, says which
-- version of the library it is.
local err = require "rlab.err"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local ANSWER_AT_MOST = "30s"

local Client = {}
Client.__index = Client

local function read_answers(client)
  for line in client.process:lines() do
    local ok, answer = pcall(json.decode, line)
    if ok and type(answer) == "table" and answer.to then client.answers[answer.to] = answer end
    client.arrived:set(true)
  end
  client.ended = true
  client.arrived:set(true)
end

function Client:answer(name, what)
  task.timeout(ANSWER_AT_MOST, function()
    while not self.answers[name] and not self.ended do self.arrived:wait() end
    return true
  end)
  local answer = self.answers[name]
  self.answers[name] = nil
  if not answer then
    local why = self.ended and "ended, without an answer to %s"
      or "did not answer to %s within " .. ANSWER_AT_MOST
    self.lab:give_up("%s %s; its log: %s.log", self.says, why:format(what), self.tag)
  end
  return answer
end

-- client:ending() -> how it ended {signal = | code =} | nil while it lives
function Client:ending()
  local status = self.process:wait(0)
  return status and { signal = status.signal, code = not status.signal and status.code or nil }
end

-- client:kill() -> fault: SIGKILL, proved by how it ended
function Client:kill()
  local fault = self.lab:fault("SIGKILL " .. self.name):started()
  self.process:kill "KILL"
  must(self.process:wait "5s")
  return fault:fired(self.lab.proof.exit(self, { signal = "KILL" })):over()
end

function Client:close()
  self.process:kill "KILL"
  self.process:wait "5s"
  self.reader:join()
  self.process:close()
end

-- start(lab, {tag =, says =, cmd =}) -> client {version}: the process, until the arm ends
function M.start(lab, what)
  local tag = lab.run:child_name(what.tag)
  local child = must(process.spawn { cmd = what.cmd, stdin = "pipe", stdout = "capture",
    stderr = ("%s/%s.log"):format(lab.run.dir, tag) })
  local client = setmetatable({ lab = lab, tag = tag, name = tag, kind = what.tag, says = what.says,
    process = child, pid = child.pid, answers = {}, arrived = task.event() }, Client)
  client.reader = task.spawn(read_answers, client)
  lab:own(client)
  client.version = client:answer("", "its start").version
  return client
end

-- client:ask(name, words) -> the answer | nil, err, and the answer
function Client:ask(name, words)
  self.process:write(("%s %s\n"):format(name, words)) -- one that has ended gives no answer
  local answer = self:answer(name, words)
  if answer.ok then return answer end
  return nil, err.new { domain = self.kind, code = answer.code or 0, happened = "unknown",
    name = answer.error:match "(%w+Exception)" or answer.name or "ERROR", message = answer.error }, answer
end

-- client:open(name, what, settings): what is "open" (a producer) or "consume"
function Client:open(name, what, settings)
  local words = {}
  for key, value in pairs(settings) do words[#words + 1] = ("%s=%s"):format(key, value) end
  table.sort(words)
  self.lab:note_client(("%s %s"):format(self.kind, what == "open" and "producer" or "consumer"), settings)
  must(self:ask(name, ("%s %s"):format(what, table.concat(words, " "))))
end

-- ---- a transactional producer ----

local Producer = {}
Producer.__index = Producer

local function ask(p, words) return p.client:ask(p.name, words) end

function Producer:init_transactions() return ask(self, "init") end

function Producer:begin() return ask(self, "begin") end

-- send{topic=, partition=, value=} -> {partition, offset} | nil, err
function Producer:send(record)
  return ask(self, ("send %s %d %s"):format(record.topic, record.partition, record.value))
end

local function ended(p, word, at_most)
  return ask(p, at_most and ("%s %d"):format(word, math.ceil(units.duration(at_most) * 1000)) or word)
end

-- commit([at_most]), abort([at_most]): a library that bounds its ends by a setting takes no notice of it
function Producer:commit(at_most) return ended(self, "commit", at_most) end

function Producer:abort(at_most) return ended(self, "abort", at_most) end

-- producer(client, settings) -> a producer that has been opened; .version of its library. Two of one
--   transactional.id are two.
function M.producer(client, settings)
  client.producers = (client.producers or 0) + 1
  local name = ("%s#%d"):format(settings["transactional.id"], client.producers)
  client:open(name, "open", settings)
  return setmetatable({ client = client, name = name, version = client.version }, Producer)
end

return M
