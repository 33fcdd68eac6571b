-- The canary: a service that sends one command through a pipeline of its own again and again (command, outbox
-- row, relay, topic, consumer, effect) and says of each whether its effect came, once, and in time. It looks
-- on: it mends nothing, nobody waits for it, and when servers go away its rounds say so until they are back.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local pipeline_of = require "rlab.canary.pipeline"
local rounds_of = require "rlab.canary.rounds"
local session_of = require "rlab.run.session"
local tally_of = require "rlab.canary.tally"
local task = require "rlab.task"

local M = {}

local Canary = {}
Canary.__index = Canary
Canary.__close = function(canary) canary:close() end

-- Seconds: between two looks at a round under way, by its age; between two at those that are overdue.
local SHORTEST, LONGEST, SHARE, OVERDUE = 0.005, 0.1, 0.05, 1.0

local ONLOOKER = { id = "canary", title = "canary", needs = { "kafka", "mysql" }, arms = {}, onlooker = true }

local function now() return clock.ns() / 1e9 end

-- ---- one round ----

-- Its answer is waited for beside the looks: a command whose answer is lost may have its effect.
local function send(self, round)
  local sender = task.spawn(function()
    self.rounds:answered(round, self.pipeline:command(round.id, self.within))
  end)
  return defer(function()
    sender:cancel()
    local _, failure = sender:join()
    if failure and failure.name ~= "CANCELLED" then error(failure, 0) end
  end)
end

local function watch(self, round)
  repeat
    self.rounds:look { round }
    if not round.verdict then
      task.sleep(math.min(LONGEST, math.max(SHORTEST, SHARE * (now() - round.began))))
    end
  until round.verdict
end

local ENDS = { INTERRUPTED = true, TERMINATED = true, CANCELLED = true }

-- Without its services nothing is asked of the pipeline.
local function stand(self)
  local ok, failure = pcall(self.pipeline.stand, self.pipeline)
  if ok then return true end
  if not err.is(failure) or ENDS[failure.name] then error(failure, 0) end
  return false, failure.message
end

-- canary:round() -> round, which has a verdict
function Canary:round()
  self.rounds:look(self.rounds:all())
  self.pipeline:forget(self.rounds:forget())
  local stands, why = stand(self)
  local round = self.rounds:begin(("%s-%d"):format(self.namespace, self.rounds.n + 1))
  if not stands then self.rounds:answered(round, "fail", why) end
  local _ <close> = stands and send(self, round) or nil
  watch(self, round)
  return round
end

-- canary:rest(seconds): until the next round; what is overdue is looked for meanwhile
function Canary:rest(seconds)
  local over = now() + seconds
  while now() < over do
    task.sleep(math.min(OVERDUE, over - now()))
    self.rounds:look(self.rounds:overdue())
  end
end

-- ---- all of them ----

-- canary:run{every = seconds, rounds = n | nil, lasts = seconds | nil}: until so many rounds are over, or the
--   time is; for ever without both
function Canary:run(opts)
  local began, most = now(), opts.rounds or math.huge
  while true do
    local round_began = now()
    self:round()
    local rest = math.max(0, round_began + opts.every - now())
    local ends = opts.lasts and now() + rest - began >= opts.lasts
    if ends or self.rounds.n >= most then break end
    self:rest(rest)
  end
  self.rounds:look(self.rounds:all())
end

-- canary:metrics() -> list, as rlab.metrics takes them
function Canary:metrics()
  return self.tally:metrics(self.last_success)
end

local function told(self, round, before)
  self.tally:note(round.verdict, before)
  if round.hops and not round.counted then
    round.counted = true
    self.tally:took(round.hops)
  end
  if round.verdict == "held" then self.last_success = clock.unix_ms() / 1000 end
  self.tell(round, before)
end

local function watched(self)
  return rounds_of.new { within = self.within, now = now,
    ask = function(ids) return self.pipeline:ask(ids) end,
    tell = function(round, before) told(self, round, before) end }
end

-- Of a run's view what speaks of the stack: a canary has no arms to show.
local function onlooking(view)
  local own = {}
  for _, name in ipairs { "say", "stack_ready" } do
    own[name] = function(_, ...) view[name](view, ...) end
  end
  return setmetatable(own, { __index = function() return function() end end })
end

-- open{within = seconds, tell = f(round, before), view =, runs = folder of its services' logs} -> canary,
--   whose pipeline is ready. tell is called when a round has a verdict, and another one than `before`
function M.open(opts)
  local session = session_of.new(ONLOOKER, { seed = 1, view = onlooking(opts.view), runs = opts.runs,
    unrecorded = true })
  local self = setmetatable({ within = opts.within, tell = opts.tell, session = session,
    namespace = session.namespace, tally = tally_of.new() }, Canary)
  local ok, failure = pcall(function()
    session:open()
    self.rounds = watched(self)
    self.pipeline = pipeline_of.open(session, function(id) self.rounds:read(id) end)
  end)
  if ok then return self end
  self:close()
  error(failure, 0)
end

-- canary:close(): nothing of it is left, but its services' logs where a round was not held
function Canary:close()
  if self.pipeline then self.pipeline:close() end
  self.session:close(true)
  if self.tally:code() == 0 then require("rlab.fs").remove(self.session.dir) end
end

return M
