-- What happens in a run, written down as it happens: stream.jsonl in the run's folder, which others follow
-- (rlab ui). It stands before the run's view and passes on to it whatever it is told.
-- Events and faults are read from the lab's own lists, so what is told here is what the result will hold.
local json = require "rlab.json"
local process = require "rlab.process"

local M = {}

local Stream = {}
Stream.__index = Stream

-- new(view, file) -> stream; the file is closed by who opened it
function M.new(view, file)
  return setmetatable({ view = view, file = file, labs = {} }, Stream)
end

local function tell(self, event)
  event.at = self.run and self.run:seconds() or 0
  self.file:write(json.encode(event, { gaps = true }), "\n")
end

-- ---- what a lab has written down since it was last looked at ----

local function watch(self, lab)
  local name = lab.label or ""
  self.labs[name] = { lab = lab, events = 0, faults = {} }
  return self.labs[name]
end

local function tell_events(self, seen)
  local list = seen.lab.events
  for i = seen.events + 1, #list do
    local e = list[i]
    tell(self, { kind = "event", arm = e.arm, t = e.at, text = e.text, anomaly = e.kind == "anomaly" or nil })
  end
  seen.events = #list
end

local function tell_faults(self, seen)
  for _, row in ipairs(seen.lab.faults) do
    local known = seen.faults[row]
    if not known then
      known = {}
      seen.faults[row] = known
      tell(self, { kind = "fault", arm = row.arm, t = row.at, name = row.name })
    end
    if row["until"] and not known.over then
      known.over = true
      tell(self, { kind = "over", arm = row.arm, t = row["until"], name = row.name, proof = row.proof })
    end
  end
end

local function catch_up(self, lab)
  local seen = self.labs[lab.label or ""] or watch(self, lab)
  tell_events(self, seen)
  tell_faults(self, seen)
end

-- ---- what the run says ----

local function arms_of(exp)
  local list = {}
  for i, arm in ipairs(exp.arms) do list[i] = { name = arm.name, class = arm.class, title = arm.says } end
  return json.array(list)
end

function Stream:header(exp, run)
  local pid = process.self()
  tell(self, { kind = "run", id = exp.id, title = exp.title, question = exp.question, seed = run.seed,
    name = exp.id .. "/" .. run.dir:match "([^/]+)$", started = run.started, arms = arms_of(exp),
    telling = require("rlab.run.result").told(exp.telling), pid = pid, start = process.start_time(pid) })
  self.run = run
  self.view:header(exp, run)
end

function Stream:stack_ready(run)
  tell(self, { kind = "stack", versions = run.stack.versions })
  self.view:stack_ready(run)
end

function Stream:setup_starts(lab)
  watch(self, lab)
  self.view:setup_starts()
end

function Stream:arm_starts(arm, lab)
  tell(self, { kind = "begins", arm = arm.name })
  watch(self, lab)
  self.view:arm_starts(arm)
end

function Stream:event(lab, ...)
  catch_up(self, lab)
  self.view:event(lab, ...)
end

function Stream:fault(lab, row)
  catch_up(self, lab)
  self.view:fault(lab, row)
end

function Stream:sample(lab, row)
  catch_up(self, lab)
  self.view:sample(lab, row)
end

function Stream:setup_ends(setup, failure)
  if self.labs[""] then catch_up(self, self.labs[""].lab) end
  self.labs[""] = nil
  tell(self, { kind = "setup", took = setup.duration, failure = failure })
  self.view:setup_ends(setup, failure)
end

function Stream:arm_ends(row, checks)
  if self.labs[row.name] then catch_up(self, self.labs[row.name].lab) end
  self.labs[row.name] = nil
  tell(self, { kind = "ends", arm = row.name, t = row.duration, outcome = row.outcome,
    sentence = row.sentence, reason = row.reason, checks = checks and json.array(checks),
    numbers = row.numbers })
  self.view:arm_ends(row)
end

function Stream:say(line) self.view:say(line) end
function Stream:progress(...) self.view:progress(...) end
function Stream:clear() self.view:clear() end

return M
