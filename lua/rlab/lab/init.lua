-- The lab object of one arm (or of the shared setup): everything a story needs, named for the run, closed
-- when the arm ends.
-- Offers clients in the standard right profile, topics and schemas in the run's namespace, faults with
-- their proof, samples, an operation history, independent reads of the stores, and the checks. What is
-- opened here is closed here, in reverse order.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local mix = require "rlab.lab.mix"
local must = require "rlab.must"
local owed = require "rlab.lab.owed"
local script = require "rlab.experiment.script"
local sentence = require "rlab.experiment.sentence"
local sql_name = require "rlab.sql_name"
local tables = require "rlab.tables"
local task = require "rlab.task"
local units = require "rlab.units"

local Lab = {}
Lab.__index = Lab

-- What a part keeps in the lab must not hide a method; a story may put another function in its place.
function Lab.__newindex(lab, key, value)
  if Lab[key] ~= nil and type(value) ~= "function" then
    error(("lab.%s is a method, not a place to keep something"):format(key), 2)
  end
  rawset(lab, key, value)
end

-- new(session, arm or nil, shared) -> Lab; `session` is what the run's arms share (rlab.run.session), and
--   is only read here. `shared` is what the setup saw.
local function new(session, arm, shared)
  local self = setmetatable({
    run = session, arm = arm, stack = session.stack, seed = session.seed, options = session.options,
    shared = shared, label = arm and arm.name or nil, started_ns = clock.ns(), owned = {}, faults = {},
    spans = {}, events = {}, numbers = {}, facts = {}, gauges = {}, checks = {}, tables = {},
    arm_names = tables.names_of(session.experiment and session.experiment.arms or {}), debts = {},
    children = {}, histograms = {},
  }, Lab)
  self.rng = session.rng:split "workload"
  self.check, self.proof = require("rlab.check").bind(self), require("rlab.proof").bind(self)
  return self
end

-- begin(): the arm's time starts now
function Lab:begin()
  self.started_ns = clock.ns()
end

-- happened() -> what is written down about the arm: {faults, spans, events, tables, numbers, facts, checks,
--   histograms, clients, moment, started_ns}
function Lab:happened()
  return { faults = self.faults, spans = self.spans, events = self.events, tables = self.tables,
    numbers = self.numbers, facts = self.facts, checks = self.checks, clients = self.clients,
    histograms = self.histograms,
    moment = self.last_moment, started_ns = self.started_ns }
end

-- note_client(kind, settings): what a client of the arm is really configured with, for the report
function Lab:note_client(kind, settings)
  self.clients = self.clients or {}
  self.clients[#self.clients + 1] = { kind = kind, settings = settings }
end

-- Seconds since the arm's start.
function Lab:now()
  return (clock.ns() - self.started_ns) / 1e9
end

-- name(word) -> a name that no other run or arm has
function Lab:name(word)
  local parts_of_name = { self.run.namespace, word }
  if self.label then table.insert(parts_of_name, 2, self.label) end
  return table.concat(parts_of_name, "-")
end

-- own(handle): closed when the arm ends. Returns the handle.
function Lab:own(handle)
  self.owned[#self.owned + 1] = handle
  return handle
end

local function close_one(handle)
  local meta = getmetatable(handle)
  if meta and meta.__close then meta.__close(handle) elseif handle.close then handle:close() end
end

local function close_all(lab)
  local failures = {}
  local function attempt(f, what)
    local ok, failure = pcall(f, what)
    if not ok then failures[#failures + 1] = failure end
  end
  attempt(lab.stop_sampler, lab)
  for i = #lab.owned, 1, -1 do
    attempt(close_one, lab.owned[i])
    lab.owned[i] = nil
  end
  return failures
end

-- Closes all that was opened, last first; the failures are collected, not raised. An arm beside this one
-- that fails meanwhile does not cut it short.
function Lab:close()
  return task.shielded(close_all, self)
end

local function inconclusive(reason, waited)
  return err.new { domain = "rlab", code = 0, name = "INCONCLUSIVE", message = reason, waited = waited }
end

-- give_up(reason): the arm cannot be judged. Raises.
function Lab.give_up(_, fmt, ...)
  error(inconclusive(sentence.of(fmt, ...)), 0)
end

-- await(what, pred, at_most) -> pred's value, which the environment owes: a server, a fault, the lab's own
--   tools. The arm is inconclusive when it does not come true, and the error says from when to when, in the
--   arm's seconds, it waited. What the system under test owes is lab:owed's.
function Lab:await(what, pred, at_most)
  local from = self:now()
  local value, failure = task.wait_until(pred, { what = what, at_most = at_most or "30s", every = "10ms" })
  if not value then error(inconclusive(failure.message, { from = from, to = self:now() }), 0) end
  return value
end

-- within(at_most, pred) -> pred's value, or nil when it did not come true: for what the checks are to
--   judge, where a late or missing outcome is a violation and not a doubt.
function Lab.within(_, at_most, pred)
  return (task.wait_until(pred, { at_most = at_most, every = "10ms" }))
end

-- issued(what, got, want): the gate of the minimum load. With another number of operations than stated
-- nothing is proved.
function Lab:issued(what, got, want)
  if got ~= want then self:give_up("%s: %d of %d operations were issued", what, got, want) end
end

-- accepted(what, got, at_least[, why]): the same gate for what the system under test took: less than that
-- proves nothing of what it does with the work. why: of the first that it did not take.
function Lab:accepted(what, got, at_least, why)
  if got >= at_least then return end
  self:give_up("%s: %d were accepted, at least %d are needed%s", what, got, at_least,
    why and (" (%s)"):format(why) or "")
end

-- background(what, f) -> task: f runs beside the story until the arm ends. One that fails before that makes
--   the arm inconclusive, or is a mistake of the script.
function Lab:background(what, f)
  local failure
  local worker = task.spawn(function()
    local ok, why = xpcall(f, script.traced)
    if not ok and not (err.is(why) and why.name == "CANCELLED") then failure = why end
  end)
  self:own(defer(function()
    worker:cancel()
    worker:join()
    if not failure then return end
    if owed.is_broken(failure) then error(failure, 0) end
    if not err.is(failure) then error(script.error(failure, self.run.experiment.path), 0) end
    error(inconclusive(("%s failed: %s"):format(what, tostring(failure))), 0)
  end))
  return worker
end

-- hold(what, pred, for_how_long): pred stays true all that time, else the arm is inconclusive. For windows
-- that are part of the story. pred returns nil when it cannot know at the moment; it must be known to be
-- true at the end.
function Lab:hold(what, pred, how_long)
  local broken = task.wait_until(function() return pred() == false end,
    { at_most = how_long, every = "20ms", what = what })
  if broken then self:give_up("%s ended within %s", what, tostring(how_long)) end
  self:await(what .. " at the end of the window", pred, "10s")
end

-- each(list, f): f(item) for all items side by side; returns when all have ended, raises the first failure
function Lab:each(list, f)
  task.group(function(group)
    for _, item in ipairs(list) do group:spawn(f, item) end
  end)
end

-- together([act]) -> act's result: waits until every arm that runs beside this one has come or has ended;
-- then one of them does it, for all. Without act the time (clock.ns) at which all were there. Its failure is
-- everybody's.
function Lab:together(act)
  local company = self.company or require("rlab.run.company").new(1)
  local number = company:come(self, act or clock.ns)
  local outcome = self:await("the arms beside it", function() return company:outcome(self, number) end, "60s")
  if not outcome.ok then error(outcome.result, 0) end
  return outcome.result
end

-- leave(): the arms beside this one do not wait for it any more; it comes to no meeting after that.
function Lab:leave()
  if self.company then self.company:leave(self) end
end

-- event(text): a line of the arm's story, on the screen and on the report's time axis.
function Lab:event(fmt, ...)
  local text = sentence.of(fmt, ...)
  self.events[#self.events + 1] = { at = self:now(), arm = self.label, text = text }
  self.run.view:event(self, text)
  self.run:pause_at_step(text)
end

-- anomaly(text [, {arm=, at=}]): the instant at which it went wrong, the marker on the report's time axis;
-- the first of an arm counts.
-- A shared setup names the arm that it happened to; what is found out later says when it was.
function Lab:anomaly(text, about)
  about = about or {}
  self.events[#self.events + 1] = { at = about.at or self:now(), arm = about.arm or self.label, text = text,
    kind = "anomaly" }
  self.run.view:event(self, text, about.arm)
end

-- disturbed("stall", what, seconds): a disturbance that the story itself measured, until now
function Lab:disturbed(kind, what, seconds)
  self.run.heartbeat:add(self, kind, what, seconds)
end

-- fact(text): what the setup established, printed under the setup line.
function Lab:fact(fmt, ...)
  self.facts[#self.facts + 1] = sentence.of(fmt, ...)
end

-- What a result can hold of a value that may not have been measured: JSON has no word for it.
local function measured(value)
  return value ~= nil and value == value and math.abs(tonumber(value) or 0) < math.huge
end

-- number(name, value, unit) -> value: a measured number of this arm; nothing, or no number, is shown as not
--   measured
function Lab:number(name, value, unit)
  local known = measured(value)
  self.numbers[#self.numbers + 1] = { name = name, value = known and value or "not measured",
    unit = known and unit or nil }
  return value
end

-- histogram(name, h, unit): every count of it stays with the arm's result, so that rlab merge can add runs
--   up; what comes again by that name is added
function Lab:histogram(name, h, unit)
  require("rlab.run.histograms").add(self.histograms, name, h, unit)
end

-- progress(done, total, what): long work, redrawn in place.
function Lab:progress(done, total, what)
  self.run.view:progress(self, done, total, what)
end

-- span(kind, label) -> s; s.over([outcome]) ends it. Kinds: transaction, window, outage. Outcomes:
--   committed, aborted, open.
function Lab:span(kind, label)
  local span = { kind = kind, label = label, arm = self.label, at = self:now() }
  self.spans[#self.spans + 1] = span
  local lab = self
  return { over = function(outcome)
    span["until"], span.outcome = lab:now(), outcome
    return span
  end }
end

-- moment{...}: the picture of the report, see docs/result-schema.md. The last one wins.
function Lab:moment(picture)
  self.last_moment = picture
end

-- table{title=, head={...}, rows={{...}, ...}, note=}: a table of texts and numbers for the report, such as
-- what was seen on the wire.
function Lab:table(shown)
  for _, key in ipairs { "title", "head", "rows" } do
    if shown[key] == nil then error(("lab:table needs '%s'"):format(key), 2) end
  end
  self.tables[#self.tables + 1] = { arm = self.label, title = shown.title, head = shown.head,
    rows = require("rlab.json").array(shown.rows), note = shown.note }
end

-- database(ddl...) -> db: a schema of this arm's own with the tables of the given statements.
function Lab:database(...)
  local mysql = require "rlab.mysql"
  local name = (self:name "db"):gsub("[^%w]", "_")
  self.run.ledger:add("database", name)
  local db = self:own(must(mysql.connect(self.stack:mysql_opts())))
  must(db:exec("CREATE DATABASE " .. sql_name(name)))
  must(db:exec("USE " .. sql_name(name)))
  for _, statement in ipairs { ... } do must(db:exec(statement)) end
  return db, name
end

Lab.duration = units.duration
Lab.owed = owed.owed
mix(Lab, { "rlab.lab.clients", "rlab.lab.faults", "rlab.lab.roles", "rlab.lab.census",
  "rlab.lab.sampler", "rlab.lab.services", "rlab.lab.stores", "rlab.lab.proxy", "rlab.lab.foreign.java",
  "rlab.lab.foreign.go", "rlab.lab.workload", "rlab.lab.process", "rlab.lab.load", "rlab.lab.picture",
  "rlab.lab.reads", "rlab.lab.repeats", "rlab.lab.transactions", "rlab.lab.log", "rlab.lab.wire_table",
  "rlab.lab.readers", "rlab.lab.operations", "rlab.lab.cluster" })

-- methods: what a scenario may call, by name
return { new = new, methods = Lab }
