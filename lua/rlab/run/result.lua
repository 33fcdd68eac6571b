-- What a run has found: each story's part is added when it is over; at the end the verdict is formed and the
-- run's folder written, so that it can be judged again.
local about = require "rlab.docs.about"
local fs = require "rlab.fs"
local held = require "rlab.run.held"
local json = require "rlab.json"
local must = require "rlab.must"
local script = require "rlab.experiment.script"
local tables = require "rlab.tables"
local verdict = require "rlab.run.verdict"

local M = {}

local Result = {}
Result.__index = Result

-- new(session, words) -> result; `words` are those of the command line that a reader must repeat to run the
--   same again
function M.new(session, words)
  return setmetatable({
    session = session, words = words or "", arms = {}, checks = {}, faults = {}, spans = {}, events = {},
    tables = {}, numbers = {}, evidence = { seed = session.seed, arms = {},
      faults = json.array {} },
  }, Result)
end

-- ---- what the stories bring ----

local function plain_settings(value)
  if type(value) ~= "table" then return type(value) == "function" and tostring(value) or value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = plain_settings(inner) end
  return copy
end

-- What is told of a fault, and the facts of its proofs, which can be judged again.
local function add_faults(self, faults)
  for _, fault in ipairs(faults) do
    local told, proofs = tables.merged(fault), json.array {}
    told.proofs = nil
    for i, one in ipairs(fault.proofs or {}) do proofs[i] = { kind = one.kind, facts = one.facts } end
    self.faults[#self.faults + 1] = told
    table.insert(self.evidence.faults, { name = fault.name, arm = fault.arm, proofs = proofs })
  end
end

local function add_happened(self, happened)
  for _, list in ipairs { "spans", "events", "tables" } do
    tables.append(self[list], happened[list])
  end
  add_faults(self, happened.faults)
  self.moment = happened.moment or self.moment
end

local function plain_checks(checks)
  local plain, list = require("rlab.check").plain, {}
  for i, check in ipairs(checks) do list[i] = plain(check) end
  return list
end

-- result:add_setup(story)
function Result:add_setup(story)
  local happened = story.happened
  add_happened(self, happened)
  tables.append(self.numbers, happened.numbers)
  self.setup = { duration = story.took, facts = json.array(happened.facts) }
  self.evidence.shared = story.seen
end

-- result:add_arm(story) -> the arm's row; a story that saw something has been judged
function Result:add_arm(story)
  local arm, happened, seen = story.arm, story.happened, story.seen
  self.evidence.arms[arm.name] = seen
  add_happened(self, happened)
  tables.append(self.checks, happened.checks)
  local outcome, reason = verdict.arm(arm.class, happened.checks, story.failure)
  local row = {
    name = arm.name, class = arm.class, title = arm.says,
    started = (happened.started_ns - self.session.started_ns) / 1e9, duration = story.took,
    settings = plain_settings(arm.settings), clients = happened.clients, outcome = outcome, reason = reason,
    histograms = #happened.histograms > 0 and json.array(happened.histograms) or nil,
    numbers = json.array(happened.numbers), sentence = seen and seen.says or reason or "",
  }
  self.arms[#self.arms + 1] = row
  return row
end

-- result:checks_of(story) -> what its checks found, as they are written down
function Result.checks_of(_, story)
  return plain_checks(story.happened.checks)
end

-- result:add_void(arm, reason) -> the row of an arm that was not run
function Result:add_void(arm, reason)
  local row = { name = arm.name, class = arm.class, started = 0, duration = 0,
    settings = plain_settings(arm.settings), outcome = "inconclusive", reason = reason, sentence = reason,
    numbers = json.array {} }
  self.arms[#self.arms + 1] = row
  return row
end

-- ---- the verdict ----

-- Where the experiment says nothing of what its arms saw, or not of these alone, the verdict says what the
-- arms did, and no more: a claim is no finding.
local function what_arms_said(arms)
  local list = {}
  for i, arm in ipairs(arms) do
    list[i] = ("%s %s%s"):format(arm.name, arm.outcome, arm.sentence ~= "" and ": " .. arm.sentence or "")
  end
  return table.concat(list, "; ")
end

local function sentence_of_pass(self, exp)
  local ok, said = xpcall(exp.verdict or function() end, script.traced, self.evidence.arms,
    self.evidence.shared)
  if not ok then error(script.error(said, exp.path), 0) end
  if said then return said end
  return what_arms_said(self.arms)
end

local function sentence(self, word)
  if word == "pass" then return sentence_of_pass(self, self.session.experiment) end
  local all = {}
  for _, bad in ipairs(verdict.bad_arms(self.arms)) do
    local who = bad.more > 0 and ("%s and %d more"):format(bad.name, bad.more) or bad.name
    all[#all + 1] = ("%s %s: %s"):format(who, bad.outcome, bad.reason)
  end
  return all[1] and table.concat(all, "; ") or word
end

local function run_part(self, duration)
  local session, exp = self.session, self.session.experiment
  return { name = exp.id .. "/" .. session.dir:match "([^/]+)$", seed = session.seed,
    started = session.started, duration = duration, rlab = require "rlab.version",
    command = ("rlab %s --seed %d%s"):format(exp.path:match "^experiments/(E%-%d+)%.lua$" or exp.path,
      session.seed, self.words),
    file = exp.path, options = session.options, host = about.host() }
end

local function stack_part(stack)
  return { kind = stack.kind, reused = stack.reused, since = stack.since,
    versions = tables.merged({ librdkafka = about.librdkafka() }, stack.versions),
    brokers = stack.kafka and #stack.kafka.nodes or nil }
end

-- told(telling) -> { { source, name, unit, shown, check }, ... } as it is written: a place that is left out
--   in the middle is an empty word
function M.told(telling)
  if not telling then return nil end
  local list = {}
  for i, q in ipairs(telling) do
    list[i] = {}
    for n = 5, 1, -1 do list[i][n] = q[n] or list[i][n + 1] and "" or nil end
  end
  return json.array(list)
end

-- result:form() -> the table of result.json (docs/result-schema.md)
function Result:form()
  local exp, duration = self.session.experiment, self.session:seconds()
  local code, word = verdict.run(self.arms)
  return {
    schema = 1, id = exp.id, title = exp.title, question = exp.question, claim = exp.claim,
    lesson = exp.lesson, verdict = word, exit = code, sentence = sentence(self, word),
    run = run_part(self, duration), stack = stack_part(self.session.stack), setup = self.setup,
    arms = self.arms, checks = json.array(plain_checks(self.checks)), faults = json.array(self.faults),
    spans = json.array(self.spans), events = json.array(self.events), numbers = json.array(self.numbers),
    moment = self.moment, held = held.of(exp, self.evidence), why = exp.why,
    tables = #self.tables > 0 and json.array(self.tables) or nil,
    production = exp.production, references = exp.references, telling = M.told(exp.telling),
  }
end

-- ---- the folder ----

-- What a story saw, as other readers need it: a table with nothing in it is a list. A map with nothing in it
-- is left out by its story.
local function with_lists(value, known)
  if type(value) ~= "table" or known[value] then return value end
  known[value] = true
  if next(value) == nil then return json.array(value) end
  for _, inner in pairs(value) do with_lists(inner, known) end
  return value
end

-- The evidence as it is written: what an arm or the setup saw is a map, also when it is empty.
local function readable(evidence)
  local known = {}
  local function within(map)
    for _, value in pairs(map or {}) do with_lists(value, known) end
  end
  for _, seen in pairs(evidence.arms) do within(seen) end
  within(evidence.shared)
  within(evidence.faults)
  return evidence
end

local function link_latest(dir)
  local parent, leaf = dir:match "^(.*)/([^/]+)$"
  fs.remove(parent .. "/latest")
  fs.symlink(leaf, parent .. "/latest")
end

-- result:write(formed): result.json, evidence.json and the report, which also reads the session's samples
function Result:write(formed)
  local dir, evidence = self.session.dir, readable(self.evidence)
  must(fs.write(dir .. "/result.json", json.encode(formed, { pretty = true, gaps = true }) .. "\n"))
  must(fs.write(dir .. "/evidence.json", json.encode(evidence, { gaps = true }) .. "\n"))
  link_latest(dir)
  self.session.samples:flush()
  self.session.told:flush()
  must(self.session.history:flush())
  must(require("rlab.report").write(dir))
  local runs = dir:match "^(.*)/[^/]+/[^/]+$"
  if not self.session.unrecorded then require("rlab.run.track_record").add(runs, formed) end
  must(require("rlab.report.index").write(runs))
end

return M
