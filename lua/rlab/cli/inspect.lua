-- Commands that read: list, explain, check (judge a stored run again), diff (compare two runs).
local exit = require "rlab.exit"
local term = require "rlab.term"
local usage = require "rlab.usage" ()

local function json_flag(parser)
  parser:flag("--json", "print JSON")
end

local function print_json(value)
  print(require("rlab.json").encode(value, { pretty = true }))
  return exit.ok
end

local function arms_of(exp)
  local counts = { wrong = 0, right = 0, observe = 0 }
  for _, arm in ipairs(exp.arms) do counts[arm.class] = counts[arm.class] + 1 end
  return counts
end

-- ---- list ----

local list = { name = "list", help = "the experiments that rlab knows" }

function list.args(parser)
  json_flag(parser)
  parser:option("--runs", "folder of the results that --markdown and --readme tell of (default runs)")
  parser:flag("--markdown", "a table of what broke and what held in the latest run of each")
  parser:flag("--readme", "write all that README.md and README.ko.md have of runs")
end

local function overview(args)
  local experiment, page = require "rlab.experiment", require "rlab.report.overview"
  local loaded = {}
  for i, path in ipairs(experiment.names()) do loaded[i] = experiment.load(path) end
  local runs = args.runs or "runs"
  if args.markdown then
    print(page.markdown(runs, loaded))
    return exit.ok
  end
  term.colour_mode "never"
  local fs, must = require "rlab.fs", require "rlab.must"
  for _, name in ipairs(page.READMES) do
    local text, why = page.written(must(fs.read(name)), runs, loaded)
    if not text then usage("%s: %s", name, why) end
    must(fs.write(name, text))
    print("wrote " .. name)
  end
  return exit.ok
end

-- One that is broken is one line that says so, and hides no other.
local function row_of(path)
  local ok, exp = pcall(require("rlab.experiment").peek, path)
  if not ok then
    return { id = path:match "([^/]+)%.lua$", path = path,
      title = "broken: " .. tostring(exp.message or exp):match "^[^\n]*" }
  end
  local arms = arms_of(exp)
  return { id = exp.id, title = exp.title, needs = require("rlab.json").array(exp.needs),
    wrong = arms.wrong, right = arms.right, observe = arms.observe, path = path }
end

local function spaced(needs) return needs and table.concat(needs, " ") or "" end

function list.run(args)
  if args.markdown or args.readme then return overview(args) end
  local experiment, rows = require "rlab.experiment", {}
  for _, paths in ipairs { experiment.names(), experiment.scenarios() } do
    for _, path in ipairs(paths) do rows[#rows + 1] = row_of(path) end
  end
  if args.json then return print_json(require("rlab.json").array(rows)) end
  print(term.grid({ { name = "id", key = "id" }, { name = "title", key = "title" },
    { name = "needs", key = "needs", format = spaced },
    "wrong", "right", { name = "observed", key = "observe" } }, rows))
  return exit.ok
end

-- ---- explain ----

local explain = { name = "explain", help = "what an experiment asks, does and checks" }

function explain.args(parser)
  parser:argument("experiment", "id or file")
  parser:flag("--markdown", "the page of docs/experiments")
  parser:flag("--write", "write that page where it belongs; its prose stays as it is")
  json_flag(parser)
end

function explain.run(args)
  local experiment, page = require "rlab.experiment", require "rlab.experiment.explain"
  local exp = experiment.peek(experiment.find(args.experiment, require "rlab.note"))
  if args.json then
    return print_json { id = exp.id, title = exp.title, question = exp.question, claim = exp.claim,
      lesson = exp.lesson, needs = exp.needs,
      arms = exp.arms, why = exp.why, production = exp.production, references = exp.references,
      path = exp.path }
  end
  if args.write then
    local fs, must = require "rlab.fs", require "rlab.must"
    if exp.page:find "/" then must(fs.mkdir((exp.page:match "^(.*)/"))) end
    must(fs.write(exp.page, page.markdown(exp)))
    print("wrote " .. exp.page)
    return exit.ok
  end
  if args.markdown then io.stdout:write(page.markdown(exp)) else print(page.text(exp)) end
  return exit.ok
end

-- ---- check ----

local check = { name = "check", help = "judge a stored run again with today's checkers" }

function check.args(parser)
  parser:argument("dir", "a run's folder, such as runs/E-012/latest")
  json_flag(parser)
end

local function read_json(path)
  local text = require("rlab.fs").read(path)
  if not text then usage("%s cannot be read; is it a run's folder?", path) end
  return require("rlab.json").decode(text)
end

-- The file that the run was made from, when it is still there.
local function experiment_of(stored)
  local experiment = require "rlab.experiment"
  local file = stored.run.file
  if file and not file:find "^experiments/" and require("rlab.fs").exists(file) then
    return experiment.load(file)
  end
  return experiment.load(experiment.find(stored.id))
end

local function shorter(expected)
  return (expected:gsub("^violated by ", ""))
end

function check.run(args)
  local judge, verdict = require "rlab.run.judge", require "rlab.run.verdict"
  local stored, evidence = judge.stored(args.dir, read_json)
  local exp = experiment_of(stored)
  local arms, rows = {}, {}
  for _, old in ipairs(stored.arms) do
    local arm = exp:arm(old.name)
    if not arm then usage("today's %s has no arm '%s'", exp.id, old.name) end
    local judged, checks = judge.stored_arm(exp, arm, stored, old, evidence)
    arms[#arms + 1] = judged
    for _, one in ipairs(checks) do
      rows[#rows + 1] = { arm = arm.name, check = one.name, outcome = one.outcome,
        expected = one.expects or "measured",
        as_expected = one.as_expected, sentence = one.sentence }
    end
  end
  local code, word = verdict.run(arms)
  if args.json then
    print_json { id = exp.id, verdict = word, exit = code, arms = arms, checks = rows } return code
  end
  print(term.grid({ { name = "arm", key = "arm" }, { name = "check", key = "check" },
    { name = "outcome", key = "outcome" },
    { name = "expected", key = "expected", format = shorter }, { name = "sentence", key = "sentence" } },
      rows))
  for _, arm in ipairs(arms) do
    local why = arm.reason and ": " .. arm.reason or ""
    if arm.outcome ~= arm.before then
      print(("  %s: was '%s', is '%s' now%s"):format(arm.name, arm.before, arm.outcome, why))
    end
  end
  print(("  %s judged again: %s"):format(stored.run.name, word))
  return code
end

-- ---- diff ----

local diff = { name = "diff", help = "compare two stored runs" }

function diff.args(parser)
  parser:argument("a", "a run's folder")
  parser:argument("b", "another run's folder")
  json_flag(parser)
end

function diff.run(args)
  local rows = require("rlab.report.facts").differing(read_json(args.a .. "/result.json"),
    read_json(args.b .. "/result.json"))
  if args.json then return print_json(require("rlab.json").array(rows)) end
  if #rows == 0 then print "  the two runs say the same" return exit.ok end
  print(term.grid({ { name = "what", key = "what" }, { name = args.a, key = "a" },
    { name = args.b, key = "b" } }, rows))
  return exit.ok
end

return { list, explain, check, diff }
