-- The runner: opens the stack, runs each arm in its own namespace, gathers proofs, judges, and leaves a
-- folder that can be judged again.
local about = require "rlab.docs.about"
local clock = require "rlab.clock"
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local lab_of = require "rlab.lab"
local must = require "rlab.must"
local rng = require "rlab.rng"
local script = require "rlab.experiment.script"
local task = require "rlab.task"
local verdict = require "rlab.run.verdict"

local M = {}

local Run = {}
Run.__index = Run

local function run_folder(base, id)
  local stamp = os.date "!%Y%m%d-%H%M%S"
  local dir, n = ("%s/%s/%s"):format(base, id, stamp), 1
  while fs.exists(dir) do
    n = n + 1
    dir = ("%s/%s/%s.%d"):format(base, id, stamp, n)
  end
  must(fs.mkdir(dir))
  return dir
end

local function namespace(exp)
  local process = require "rlab.process"
  local seed = clock.ns() ~ (process.self() << 20)
  return ("%s-%s"):format(exp.id:lower():gsub("[^%w]", ""), rng.new(seed):id():sub(1, 6):lower())
end

-- `--step`: the story stops at each event until Enter.
function Run:pause_at_step(text)
  if self.step then self.step(text) end
end

-- The sampler's own connections: a call of the story that waits for a frozen broker must not hold up the
-- samples.
function Run:watcher()
  self.watching = self.watching or must(require("rlab.kafka").admin { brokers = self.stack.kafka.brokers })
  return self.watching
end

-- The producer of the events that a story starts with, one for all arms: a fresh idempotent one takes half
-- a second to get its id.
function Run:publisher()
  local clients = require "rlab.lab.clients"
  self.publishing = self.publishing
    or must(require("rlab.kafka").producer(clients.settings({ stack = self.stack }, "producer",
    { ["linger.ms"] = 0 })))
  return self.publishing
end

local function open_clients(run, exp)
  run.stack = must(require("rlab.stack").open { needs = exp.needs, start = true, what = exp.id,
    say = function(line) run.view:say(line) end })
  if run.stack.kafka then
    run.admin = must(require("rlab.kafka").admin { brokers = run.stack.kafka.brokers, at_most = "20s" })
  end
end

local function wants_partition(exp)
  for _, need in ipairs(exp.needs) do
    if need == "partition" then return true end
  end
  return false
end

-- Runs share a stack, but one that freezes or kills servers has it alone: it holds the faults' lock and
-- waits for the others to end; the others hold that lock only while they sign in.
local function sign_in(run, exp)
  local function say(holder) run.view:say("waiting for " .. holder) end
  local lock = must(run.stack:exclusive("rlab " .. exp.id, { say = say }))
  local ledger = require "rlab.run.ledger"
  if exp.disrupts then
    run.turn = lock
    if ledger.others() > 0 then say(("%d other runs"):format(ledger.others())) end
    must(task.wait_until(function() return ledger.others() == 0 end,
      { at_most = "10m", every = "100ms", what = "the end of the other runs" }))
  end
  run.ledger = ledger.open(run.namespace)
  if not exp.disrupts then lock:close() end
  if wants_partition(exp) then must(run.stack:partitionable(true)) end
  ledger.sweep(run.stack, run.admin)
end

local function gate(run, when)
  local mended, failure = run.stack:heal { at_most = "100s" }
  if not mended then return ("the stack is not healthy %s: %s"):format(when, tostring(failure)) end
end

-- A failure of the world or of the proof is a reason; a failure of the script is the script's, and ends the
-- run.
local function reason_of(run, failure)
  if not err.is(failure) then error(script.error(failure, run.experiment.path), 0) end
  local name = failure.name
  if name == "INTERRUPTED" or name == "TERMINATED" or name == "CANCELLED" or name == "SCRIPT" then
    error(failure, 0)
  end
  return name == "INCONCLUSIVE" and failure.message or tostring(failure)
end

local function closing_reason(failure)
  if err.is(failure) and failure.name == "SCRIPT" then error(failure, 0) end
  return err.is(failure) and failure.name == "INCONCLUSIVE" and failure.message
    or "closing: " .. tostring(failure)
end

local STEP_LIMIT = "1h" -- with --step a person reads at every event

local function call_story(run, lab, f, ...)
  local args = table.pack(...)
  local ok, seen = xpcall(function()
    local result, late = task.timeout(run.step and STEP_LIMIT or run.experiment.limit or "3m", f,
      table.unpack(args, 1, args.n))
    if result == nil and late then error(late, 0) end
    return result
  end, script.traced)
  local closing = lab:close()
  local unclosed = closing[1] and closing_reason(closing[1])
  if not ok then return nil, reason_of(run, seen) .. (unclosed and "; " .. unclosed or "") end
  if unclosed then return nil, unclosed end
  local unproved = lab:unproved()
  if unproved[1] then return nil, "no proof that this fault happened: " .. table.concat(unproved, ", ") end
  return seen or {}
end

local function append(list, more)
  for _, item in ipairs(more) do list[#list + 1] = item end
end

local function collect(run, lab)
  for _, list in ipairs { "faults", "spans", "events", "tables" } do append(run[list], lab[list]) end
end

local function judge(run, lab, seen, arm)
  local ok, failure = xpcall(run.experiment.checks, script.traced, lab, seen, arm)
  if not ok then reason_of(run, failure) end
  for _, check in ipairs(lab.checks) do
    if not check.expects and lab.class ~= "observe" then
      error(err.new { domain = "rlab", code = 0, name = "SCRIPT",
        message = ("%s: check '%s' of arm '%s' has no :expect"):format(run.experiment.path, check.name,
          lab.label or "setup") }, 0)
    end
  end
end

local function plain_settings(value)
  if type(value) ~= "table" then return type(value) == "function" and tostring(value) or value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = plain_settings(inner) end
  return copy
end

local function arm_row(lab, arm, outcome, reason, seen)
  return {
    name = arm.name, class = arm.class, title = arm.says,
    started = (lab.started_ns - lab.run.started_ns) / 1e9, duration = lab.took,
    settings = plain_settings(arm.settings), clients = lab.client_settings, outcome = outcome,
    reason = reason,
    numbers = json.array(lab.numbers),
    sentence = seen and seen.says or reason or "",
  }
end

local function tell_story(run, arm)
  local lab = lab_of.new(run, arm)
  run.view:arm_starts(arm)
  local failure = gate(run, "before the arm")
  local seen
  if not failure then
    lab.started_ns = clock.ns()
    seen, failure = call_story(run, lab, run.experiment.run, lab, arm)
  end
  lab.took = lab:now()
  return { arm = arm, lab = lab, seen = seen, failure = failure }
end

local function conclude(run, told)
  local arm, lab, seen = told.arm, told.lab, told.seen
  if seen then
    run.evidence.arms[arm.name] = seen
    judge(run, lab, seen, arm)
  end
  local outcome, reason = verdict.arm(arm.class, lab.checks, told.failure)
  local row = arm_row(lab, arm, outcome, reason, seen)
  collect(run, lab)
  append(run.checks, lab.checks)
  run.arms[#run.arms + 1] = row
  run.view:arm_ends(row)
end

-- Arms that share nothing but the servers may run side by side; they are judged in their order.
local function run_arms(run, arms)
  if not run.experiment.side_by_side or run.step then
    for _, arm in ipairs(arms) do conclude(run, tell_story(run, arm)) end
    return
  end
  local told = {}
  task.group(function(group)
    for i, arm in ipairs(arms) do group:spawn(function() told[i] = tell_story(run, arm) end) end
  end)
  for i = 1, #arms do conclude(run, told[i]) end
end

local function run_setup(run)
  if not run.experiment.setup then return end
  local lab = lab_of.new(run, nil)
  run.view:setup_starts()
  local failure = gate(run, "before the setup")
  local shared
  if not failure then
    lab.started_ns = clock.ns()
    shared, failure = call_story(run, lab, run.experiment.setup, lab)
  end
  collect(run, lab)
  run.setup = { duration = lab:now(), facts = json.array(lab.facts) }
  append(run.numbers, lab.numbers)
  run.shared, run.evidence.shared = shared, shared
  run.view:setup_ends(run.setup, failure)
  return failure
end

local function void_arms(run, arms, reason)
  for _, arm in ipairs(arms) do
    local row = { name = arm.name, class = arm.class, started = 0, duration = 0,
      settings = plain_settings(arm.settings),
      outcome = "inconclusive", reason = reason, sentence = reason, numbers = json.array {} }
    run.arms[#run.arms + 1] = row
    run.view:arm_ends(row)
  end
end

local function plain_checks(checks)
  local plain, list = require("rlab.check").plain, {}
  for i, check in ipairs(checks) do list[i] = plain(check) end
  return list
end

-- With --arm only a part of the claim was tried: the verdict says no more than the arms did.
local function what_arms_said(run)
  local list = {}
  for i, arm in ipairs(run.arms) do
    list[i] = ("%s %s%s"):format(arm.name, arm.outcome, arm.sentence ~= "" and ": " .. arm.sentence or "")
  end
  return table.concat(list, "; ")
end

local function verdict_sentence(exp, word, run)
  if word == "pass" then
    local ok, said = xpcall(exp.verdict or function() end, script.traced, run.evidence.arms,
      run.evidence.shared)
    if not ok then error(script.error(said, exp.path), 0) end
    if #run.arms < #exp.arms then return said or what_arms_said(run) end
    return said or exp.sentence or exp.claim
  end
  local all = {}
  for _, bad in ipairs(verdict.bad_arms(run.arms)) do
    local who = bad.more > 0 and ("%s and %d more"):format(bad.name, bad.more) or bad.name
    all[#all + 1] = ("%s %s: %s"):format(who, bad.outcome, bad.reason)
  end
  return all[1] and table.concat(all, "; ") or word
end

local function versions_of(stack)
  local versions = { librdkafka = about.librdkafka() }
  for name, version in pairs(stack.versions or {}) do versions[name] = version end
  return versions
end

-- result(run, duration) -> the table of result.json (docs/result-schema.md)
local function result_of(run, duration)
  local exp = run.experiment
  local code, word = verdict.run(run.arms)
  return {
    schema = 1, id = exp.id, title = exp.title, question = exp.question, claim = exp.claim,
    lesson = exp.lesson,
    verdict = word, exit = code, sentence = verdict_sentence(exp, word, run),
    run = { name = exp.id .. "/" .. run.dir:match "([^/]+)$", seed = run.seed, started = run.started,
      duration = duration,
      rlab = require "rlab.version",
      command = ("rlab %s --seed %d%s"):format(exp.path:match "^experiments/(E%-%d+)%.lua$" or exp.path,
      run.seed, run.words),
      file = exp.path, options = run.options, host = about.host() },
    stack = { kind = run.stack.kind, reused = run.stack.reused, since = run.stack.since,
      versions = versions_of(run.stack),
      brokers = run.stack.kafka and #run.stack.kafka.nodes or nil },
    setup = run.setup, arms = run.arms, checks = json.array(plain_checks(run.checks)),
    faults = json.array(run.faults),
    spans = json.array(run.spans), events = json.array(run.events), numbers = json.array(run.numbers),
    moment = run.moment, why = exp.why,
    tables = #run.tables > 0 and json.array(run.tables) or nil,
    production = exp.production, references = exp.references,
  }
end

local function link_latest(dir)
  local parent, leaf = dir:match "^(.*)/([^/]+)$"
  fs.remove(parent .. "/latest")
  fs.symlink(leaf, parent .. "/latest")
end

local function write_artifacts(run, result)
  must(fs.write(run.dir .. "/result.json", json.encode(result, { pretty = true }) .. "\n"))
  must(fs.write(run.dir .. "/evidence.json", json.encode(run.evidence) .. "\n"))
  link_latest(run.dir)
  run.samples:flush()
  must(require("rlab.report").write(run.dir))
  must(require("rlab.report.index").write(run.dir:match "^(.*)/[^/]+/[^/]+$"))
end

local function no_arm(exp, name)
  local known = {}
  for i, arm in ipairs(exp.arms) do known[i] = arm.name end
  local near = require("rlab.units").nearest(name, known)
  return ("%s has no arm '%s'; %s"):format(exp.id, name,
    near and ("did you mean '%s'?"):format(near) or "it has " .. table.concat(known, ", "))
end

local function chosen_arms(exp, names)
  if not names or #names == 0 then return exp.arms end
  local list = {}
  for _, name in ipairs(names) do
    local arm = exp:arm(name)
    if not arm then
      error(err.new { domain = "rlab", code = 0, name = "USAGE", message = no_arm(exp, name) }, 0)
    end
    list[#list + 1] = arm
  end
  return list
end

local function new_run(exp, opts)
  local dir = run_folder(opts.runs or "runs", exp.id)
  local space = namespace(exp)
  return setmetatable({
    experiment = exp, seed = opts.seed, options = opts.options or {}, view = opts.view, keep = opts.keep,
    step = opts.step,
    words = opts.words or "",
    dir = dir, namespace = space, started_ns = clock.ns(), started = clock.iso(), rng = rng.new(opts.seed),
    samples = assert(io.open(dir .. "/samples.jsonl", "w")),
    history = must(require("rlab.history").open(dir .. "/history.jsonl")),
    role_count = 0, topics_asked_for = {},
    arms = {}, checks = {}, faults = {}, spans = {}, events = {}, tables = {}, numbers = {},
    evidence = { seed = opts.seed, arms = {} },
  }, Run)
end

-- Runs on every way out: the stack is healed, the run's topics, groups and schemas are gone (unless
-- --keep), files are whole.
local function close_run(run)
  run.samples:close()
  run.history:close()
  if run.stack and not run.finished then
    run.view:say "stopped early: mending the servers and removing what the run made"
  end
  if run.stack then
    if wants_partition(run.experiment) and run.turn then run.stack:partitionable(false) end
    run.stack:heal { at_most = "100s" }
    if run.ledger then run.ledger:close(run.stack, run.admin, run.keep) end
  end
  if run.admin then run.admin:close() end
  if run.watching then run.watching:close() end
  if run.publishing then run.publishing:close() end
  if run.turn then run.turn:close() end
  if run.stack then run.stack:close() end
  run.view:clear()
  if not run.ledger then fs.remove(run.dir) end -- nothing was run: no servers, or nobody's turn came
end

-- execute(exp, {seed=, arms=, keep=, view=, step=, options=, runs=}) -> result table
function M.execute(exp, opts)
  local arms = chosen_arms(exp, opts.arms)
  local run = new_run(exp, opts)
  local _ <close> = setmetatable({}, { __close = function() close_run(run) end })
  run.view:header(exp, run)
  open_clients(run, exp)
  sign_in(run, exp)
  run.view:stack_ready(run)
  run.started_ns = clock.ns()
  local failure = run_setup(run)
  if failure then
    void_arms(run, arms, failure)
  else
    run_arms(run, arms)
  end
  local result = result_of(run, (clock.ns() - run.started_ns) / 1e9)
  write_artifacts(run, result)
  result.dir = run.dir
  run.finished = true
  return result
end

return M
