-- The session of a run: its folder and name, the stack it runs on, its turn there, the ledger of what it
-- makes, and the connections that all its arms share. A lab reads it as lab.run and changes nothing in it.
local clock = require "rlab.clock"
local err = require "rlab.err"
local fs = require "rlab.fs"
local must = require "rlab.must"
local rng = require "rlab.rng"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Session = {}
Session.__index = Session

-- folder(base, id) -> a new one, named by the time
function M.folder(base, id)
  local stamp = os.date "!%Y%m%d-%H%M%S"
  local dir, n = ("%s/%s/%s"):format(base, id, stamp), 1
  while fs.exists(dir) do
    n = n + 1
    dir = ("%s/%s/%s.%d"):format(base, id, stamp, n)
  end
  must(fs.mkdir(dir))
  return dir
end

-- A file of lines that others follow while it grows, and that remembers that the disk did not take one.
local Lines = {}
Lines.__index = Lines

local function lines(dir, name)
  local file = assert(io.open(dir .. "/" .. name, "w"))
  file:setvbuf "line"
  return setmetatable({ file = file, name = name }, Lines)
end

function Lines:write(...)
  local _, lost = self.file:write(...)
  self.lost = self.lost or lost
end

function Lines:flush()
  local _, lost = self.file:flush()
  lost = self.lost or lost
  if not lost then return end
  error(err.new { domain = "system", code = 0, name = "LOST",
    message = ("cannot write %s: %s"):format(self.name, lost) }, 0)
end

function Lines:close() self.file:close() end

local function namespace(exp)
  local process = require "rlab.process"
  local seed = clock.ns() ~ (process.self() << 20)
  local name = ("%s-%s"):format(exp.id:lower():gsub("[^%w]", ""), rng.new(seed):id():sub(1, 6):lower())
  return require("rlab.stack").namespace(name)
end

-- new(exp, {seed=, options=, view=, keep=, step=, runs=, folder=, unrecorded=, abort_if = texts, rate_cap = a
--   second}) -> session with its folder, a new one in `runs` or that `folder`; nothing is connected
function M.new(exp, opts)
  local dir = opts.folder or M.folder(opts.runs or "runs", exp.id)
  local told = lines(dir, "stream.jsonl")
  return setmetatable({
    experiment = exp, seed = opts.seed, options = opts.options or {}, keep = opts.keep, told = told,
    unrecorded = opts.unrecorded, abort_if = opts.abort_if,
    rate_cap = opts.rate_cap and require("rlab.run.rate_cap").new(opts.rate_cap) or nil,
    view = require("rlab.run.stream").new(opts.view, told),
    step = opts.step, dir = dir, namespace = namespace(exp), started_ns = clock.ns(), started = clock.iso(),
    rng = rng.new(opts.seed), children = 0,
    samples = lines(dir, "samples.jsonl"),
    history = must(require("rlab.history").open(dir .. "/history.jsonl")),
  }, Session)
end

-- ---- the turn on the stack ----

local function open_stack(self)
  local exp = self.experiment
  local function say(line) self.view:say(line) end
  if not exp.onlooker then require("rlab.run.ledger").servers_back(say) end
  self.stack = must(require("rlab.stack").open { needs = exp.needs, disrupts = exp.disrupts,
    faults = exp.faults, start = true, what = exp.id, say = say })
  if self.stack.kafka then
    self.admin = must(require("rlab.kafka").admin { brokers = self.stack.kafka.brokers, at_most = "20s" })
  end
end

local function wants_partition(exp) return tables.contains(exp.needs, "partition") end

-- Runs share a stack, each with those that it agrees with (rlab.run.neighbours), and for the others it waits.
-- They hold the faults' lock while they sign in; one that may hurt any server holds it until it ends. An
-- onlooker waits for nobody, and mends nothing: what happens to the servers is what it is to see.
local function sign_in(self)
  local exp, ledger = self.experiment, require "rlab.run.ledger"
  if exp.onlooker then
    self.ledger = ledger.open(self.namespace, exp)
    ledger.sweep(self.stack, self.admin)
    return
  end
  local function say(holder) self.view:say("waiting for " .. holder) end
  local lock = must(self.stack:exclusive("rlab " .. exp.id, { say = say }))
  if exp.disrupts == true then self.turn = lock end
  if ledger.others(exp) > 0 then say(("%d other runs"):format(ledger.others(exp))) end
  must(task.wait_until(function() return ledger.others(exp) == 0 end,
    { at_most = "10m", every = "100ms", what = "the end of the other runs" }))
  self.ledger = ledger.open(self.namespace, exp)
  self.stack.ledger = self.ledger -- where it notes what drivers do, before they do
  if not self.turn then lock:close() end
  if wants_partition(exp) then must(self.stack:partitionable(true)) end
  ledger.sweep(self.stack, self.admin)
end

-- What ends the run early: by the command line, the scenario, and whoever owns the stack.
local function conditions_of(self)
  local texts = {}
  for _, list in ipairs { self.abort_if or {}, self.experiment.abort_if or {}, self.stack.abort_if or {} } do
    tables.append(texts, list)
  end
  return texts
end

-- session:open(): the servers run and it is this run's turn; its time begins now
function Session:open()
  open_stack(self)
  sign_in(self)
  self.view:stack_ready(self)
  local heartbeat = require "rlab.run.heartbeat"
  self.heartbeat = self.experiment.onlooker and heartbeat.still() or heartbeat.start(self)
  self.guard = require("rlab.run.abort").watch(self, conditions_of(self))
  self.started_ns = clock.ns()
end

-- session:gate(when) -> why no arm can begin, or nil when the stack is whole and no abort condition is met
function Session:gate(when)
  if self.guard and self.guard.tripped then return self.guard.tripped end
  local mended, failure = self.stack:heal { at_most = "100s" }
  if not mended then return ("the stack is not healthy %s: %s"):format(when, tostring(failure)) end
  return self.guard and self.guard:look()
end

-- session:seconds() since its time began
function Session:seconds()
  return (clock.ns() - self.started_ns) / 1e9
end

-- ---- what the arms share ----

-- session:pause_at_step(text): with --step the story stops at each event until Enter
function Session:pause_at_step(text)
  if self.step then self.step(text) end
end

-- session:keep_cache(), with --keep: what the arms so far left in Redis can be looked up after the run
function Session:keep_cache()
  if not self.keep then return end
  local ok, failure = pcall(self.ledger.persist, self.ledger, self.stack)
  if not ok then self.view:say("the cache could not be kept: " .. tostring(failure)) end
end

-- session:malformed() -> why the history, as far as it is written, is not well-formed | nil
function Session:malformed()
  must(self.history:flush())
  self.form = self.form or require("rlab.check.form").new()
  self.history_file = self.history_file or assert(io.open(self.dir .. "/history.jsonl"))
  self.form:read_on(self.history_file)
  return self.form.problem
end

-- session:child_name("consumer") -> "consumer-3": a name that no other child of the run has
function Session:child_name(word)
  self.children = self.children + 1
  return ("%s-%d"):format(word, self.children)
end

-- session:watcher() -> the sampler's own admin client: a call of the story that waits for a frozen broker
--   must not hold up the samples
function Session:watcher()
  self.watching = self.watching or must(require("rlab.kafka").admin { brokers = self.stack.kafka.brokers })
  return self.watching
end

-- session:publisher() -> the producer of the events that a story starts with, one for all arms: a fresh
--   idempotent one takes half a second to get its id
function Session:publisher()
  if not self.publishing then
    local settings = require("rlab.lab.clients").settings({ stack = self.stack }, "producer",
      { ["linger.ms"] = 0 })
    self.publishing = must(require("rlab.kafka").producer(settings))
  end
  return self.publishing
end

-- session:proxy() -> the client of the stack's proxy | nil when the experiment does not need one
function Session:proxy()
  if not self.stack.proxy then return nil end
  self.proxied = self.proxied or must(require("rlab.proxy").connect(self.stack.proxy.url))
  return self.proxied
end

local function look_up_recipe(stack)
  local migrate = require "rlab.stack.migrate"
  if stack.kind == "external" then return migrate.statements() end
  local template = must(migrate.template(stack))
  local db <close> = must(require("rlab.mysql").connect(stack:mysql_opts()))
  return must(migrate.recipe(db, template))
end

-- session:recipe() -> the statements that make a migrated schema, of which each arm has one; looked up once
--   for all arms
function Session:recipe()
  self.looking_up = self.looking_up or task.spawn(look_up_recipe, self.stack)
  return must(self.looking_up:join())
end

-- ---- the end ----

local function let_go(self)
  if wants_partition(self.experiment) and self.turn then self.stack:partitionable(false) end
  if not self.experiment.onlooker then self.stack:heal { at_most = "100s" } end
  local left = self.ledger and self.ledger:close(self.stack, self.admin, self.keep) or {}
  if #left > 0 then
    self.view:say(require("rlab.run.ledger").told(left))
  end
end

-- session:close(finished), on every way out: the stack is healed, the run's topics, groups and schemas are
-- gone (unless --keep), files are whole
function Session:close(finished)
  if self.guard then self.guard:close() end
  if self.heartbeat then self.heartbeat:stop() end
  self.samples:close()
  self.told:close()
  self.history:close()
  if self.stack and not finished then
    self.view:say "stopped early: mending the servers and removing what the run made"
  end
  if self.stack then let_go(self) end
  for _, name in ipairs { "history_file", "admin", "watching", "publishing", "turn", "stack" } do
    if self[name] then self[name]:close() end
  end
  self.view:clear()
  if not self.ledger then fs.remove(self.dir) end -- nothing was run: no servers, or nobody's turn came
end

return M
