-- rlab run: one experiment or several, on the running stack; the exit code is the verdict.
local usage = require "rlab.usage" ()

local run = { name = "run", help = "run experiments: rlab run E-007 E-012, run all, or a file of your own" }

local DEFAULT_SEED = 7

function run.args(parser)
  parser:argument("experiments", "experiment ids, files, or 'all'"):args "*"
  parser:option("--seed", "seed of ids, amounts and orders (default 7; 'random' picks one)")
  parser:option("--arm", "only this arm (may be repeated)"):count "*"
  parser:option("--repeat", "run so many times with seeds counting up, and report the reproduction rate")
  parser:option("--set", "an option that the experiment declares, as NAME=VALUE (may be repeated)"):count "*"
  parser:option("--junit", "also write JUnit XML to this file")
  parser:option("--runs", "folder for results (default runs)")
  parser:option("--jobs", "so many experiments side by side, where none needs the stack alone "
    .. "(default 1; 2 for all)")
  parser:option("--shard", "only part I of N of these runs, I/N: the same parts on every machine; "
    .. "rlab merge joins them")
  parser:option("--abort-if", "stop when this is met, such as 'under-replicated>0 for 5s', isr<2, "
    .. "offline>0, canary-p99>500ms or canary-lost>0 (may be repeated)"):count "*"
  parser:option("--rate-cap", "no story sends more than this, such as 100/s")
  parser:flag("--shuffle", "in an order drawn by the seed, anew in each round of --repeat")
  parser:flag("--until-fail", "again and again with seeds counting up, until a run is not as predicted")
  parser:flag("--resume", "go on with the last set of runs in --runs that was cut off: what has its verdict "
    .. "keeps it, the rest is run with the same seeds and words, and the whole is judged")
  parser:flag("--json", "print result.json instead of the story")
  parser:flag("-q --quiet", "only the verdict")
  parser:flag("--keep", "keep the run's topics, groups and schemas for a look by hand")
  parser:flag("--step", "stop at each event until Enter")
  parser:option("--folder", "the folder of this one run"):hidden(true)
  parser:option("--die-with-parent", "end when this process ends"):hidden(true)
end

local function seed_of(args)
  if args.seed == "random" then return require("rlab.clock").ns() % 1000000 end
  local seed = require("rlab.units").whole(args.seed or DEFAULT_SEED)
  if not seed or seed < 0 then
    usage("--seed takes a whole number from 0 or 'random', not '%s'", args.seed)
  end
  return seed
end

local function whole_number(args, name, default)
  local n = require("rlab.units").whole(args[name] or default)
  if not n or n < 1 then usage("--%s takes a whole number from 1, not '%s'", name, args[name]) end
  return n
end

local function paths(words)
  local experiment = require "rlab.experiment"
  if #words == 1 and words[1] == "all" then return experiment.names() end
  local list = {}
  for _, word in ipairs(words) do list[#list + 1] = experiment.find(word, require "rlab.note") end
  return list
end

local booleans = { ["true"] = true, yes = true, ["1"] = true, ["false"] = false, no = false, ["0"] = false }

-- A whole number where `from` is one.
local function number(declared, text, name)
  local from, to = declared.from or -math.huge, declared.to or math.huge
  local n = require("rlab.units").number(text)
  local whole = math.type(declared.from) == "integer"
  if n and n >= from and n <= to and (not whole or math.tointeger(n)) then
    return whole and math.tointeger(n) or n
  end
  usage("option %s takes a %snumber%s%s, not '%s'", name, whole and "whole " or "",
    declared.from and " from " .. declared.from or "", declared.to and " up to " .. declared.to or "", text)
end

-- Some of the words in `of`, by commas.
local function listed(declared, text, name)
  for word in (text .. ","):gmatch "([^,]*)," do
    if not require("rlab.tables").contains(declared.of, word) then
      usage("option %s takes some of %s by commas, not '%s'", name, table.concat(declared.of, ", "), word)
    end
  end
  return text
end

local function typed(declared, text, name)
  local kind = type(declared.default)
  if declared.of then return listed(declared, text, name) end
  if kind == "number" then return number(declared, text, name) end
  if kind == "boolean" then
    local value = booleans[text:lower()]
    if value == nil then usage("option %s takes true or false, not '%s'", name, text) end
    return value
  end
  return text
end

-- The options of an experiment: its declared defaults, changed by --set NAME=VALUE.
local function options_of(exp, settings)
  local declared, values, names = exp.options or {}, {}, {}
  for name, option in pairs(declared) do
    values[name] = option.default
    names[#names + 1] = name
  end
  for _, setting in ipairs(settings or {}) do
    local name, text = setting:match "^([^=]+)=(.*)$"
    if not name then usage("--set takes NAME=VALUE, not '%s'", setting) end
    if not declared[name] then
      usage("%s has no option '%s'%s", exp.id, name, require("rlab.options").hint(name, names))
    end
    values[name] = typed(declared[name], text, name)
  end
  return values
end

local function step_by_key(enabled)
  if not enabled then return nil end
  return function()
    io.stdout:write "          Enter to go on "
    io.stdout:flush()
    io.stdin:read "l"
  end
end

-- The words that a reader must repeat to run the same again, besides the seed.
local function extra_words(args)
  local list = {}
  for _, name in ipairs(args.arm or {}) do list[#list + 1] = " --arm " .. name end
  for _, setting in ipairs(args.set or {}) do list[#list + 1] = " --set " .. setting end
  if args.rate_cap then list[#list + 1] = " --rate-cap " .. args.rate_cap end
  return table.concat(list)
end

local function cap_of(args)
  if not args.rate_cap then return nil end
  local ok, rate = pcall(require("rlab.units").rate, args.rate_cap)
  if ok and rate > 0 then return rate end
  usage("--rate-cap takes a rate such as 100/s, not '%s'", args.rate_cap)
end

-- What is wrong with a condition is said before anything runs.
local function check_conditions(texts)
  local _, wrong = require("rlab.run.abort").all(texts or {})
  if wrong then usage("--abort-if: %s", wrong) end
end

local function execute(exp, args, seed, folder)
  local view = require("rlab.run.view").new { quiet = args.quiet, silent = args.json }
  local result = require("rlab.run").execute(exp, {
    seed = seed, arms = args.arm, keep = args.keep, view = view, step = step_by_key(args.step),
    folder = folder,
    options = options_of(exp, args.set), words = extra_words(args),
    abort_if = args.abort_if, rate_cap = cap_of(args),
  })
  view:finish(result)
  return result
end

-- ---- the set ----

local function opts_of(args)
  return { times = args["repeat"] and whole_number(args, "repeat"), seed = seed_of(args),
    shuffle = args.shuffle, until_fail = args.until_fail }
end

local function jobs_of(args)
  local all = #args.experiments == 1 and args.experiments[1] == "all"
  local jobs = whole_number(args, "jobs", all and not (args.step or args.json) and 2 or 1)
  if jobs > 1 and args.step then usage "--step goes through one run: it does not go with --jobs" end
  if jobs > 1 and args.until_fail and not args["repeat"] then
    usage "--until-fail with --jobs needs --repeat N: so many rounds at most"
  end
  return jobs
end

local function shard_of(args)
  if not args.shard then return nil end
  local shard = require("rlab.run.set.shard").of(args.shard)
  if not shard then usage("--shard takes I/N, such as 1/4, not '%s'", args.shard) end
  if args.until_fail then usage "--shard does not go with --until-fail: who ends early leaves a hole" end
  return shard
end

-- Of all the runs those of the shard, which writes down what it is to do.
local function part_of(list, shard, folder)
  local mine = require("rlab.run.set.shard").share(list, shard)
  require("rlab.run.set.shard").plan(folder, shard, mine)
  return mine
end

local function each(list)
  local i = 0
  return function()
    i = i + 1
    return list[i]
  end
end

-- execute(run, folder, n) -> result, by plan. What ended before it began leaves no folder.
local function planned(plan, run_one)
  local fs = require "rlab.fs"
  return function(one, n)
    local folder = plan:starts(one)
    local _ <close> = require "rlab.defer" (function()
      if #(fs.list(folder) or { "gone" }) == 0 then fs.remove(folder) end
    end)
    local result = run_one(one, folder, n)
    plan:ends(one, result)
    return result
  end
end

local function words_of(args)
  local list = {}
  for _, name in ipairs(args.arm or {}) do table.move({ "--arm", name }, 1, 2, #list + 1, list) end
  for _, setting in ipairs(args.set or {}) do table.move({ "--set", setting }, 1, 2, #list + 1, list) end
  for _, text in ipairs(args.abort_if or {}) do table.move({ "--abort-if", text }, 1, 2, #list + 1, list) end
  if args.rate_cap then table.move({ "--rate-cap", args.rate_cap }, 1, 2, #list + 1, list) end
  if args.keep then list[#list + 1] = "--keep" end
  return list
end

local function together(runs, jobs, args, plan, show)
  local set, words = require "rlab.run.set", words_of(args)
  return set.side_by_side(runs, jobs, planned(plan, function(one, folder)
    show:starts(one)
    local result = set.child(one, words, folder)
    show:ends(one, result)
    return result
  end), args.until_fail)
end

local function in_turn(runs, args, plan)
  return require("rlab.run.set").in_turn(runs, planned(plan, function(one, folder, n)
    if n > 1 and not (args.json or args.quiet) then print "" end
    return execute(one.experiment, args, one.seed, folder)
  end), args.until_fail)
end

local function print_json(results)
  local json = require "rlab.json"
  print(json.encode(#results == 1 and results[1] or json.array(results), { pretty = true, gaps = true }))
end

-- Of all those that can run on the stack that is meant; who is named is run, or refused.
local function load_all(args)
  local experiment, stack, loaded = require "rlab.experiment", require "rlab.stack", {}
  local all = #args.experiments == 1 and args.experiments[1] == "all"
  for _, path in ipairs(paths(args.experiments)) do
    local exp = experiment.load(path)
    local why = all and stack.unfit(exp)
    if why then
      io.stderr:write(("rlab: not run: %s: %s\n"):format(exp.id, why))
    else
      loaded[#loaded + 1] = exp
    end
  end
  return loaded
end

-- What the set's end needs of the command line, and whoever goes on with it.
local ASKED = { "arm", "set", "abort_if", "rate_cap", "keep", "shuffle", "junit" }

-- A run alone has nothing to go on with, and a set without an end has no plan.
local function plan_of(list, args, opts, jobs)
  local plan, runs = require "rlab.run.set.plan", args.runs or "runs"
  if not list or #list < 2 and not args.shard then return plan.none(runs, args.folder) end
  local asked = require("rlab.tables").picked(args, ASKED)
  local list_of = require("rlab.json").array
  for _, name in ipairs { "arm", "set", "abort_if" } do asked[name] = list_of(asked[name]) end
  asked.jobs, asked.seed = tostring(jobs), tostring(opts.seed)
  return plan.begin(runs, list, asked)
end

local function collected(runs)
  local list = {}
  for one in runs do list[#list + 1] = one end
  return list
end

local function show_of(args)
  return require("rlab.run.set.view").new { silent = args.json, quiet = args.quiet,
    seed = args.shuffle and args.seed }
end

-- -> the results of these runs, and the most memory that was seen in use
local function perform(runs, jobs, args, plan, show)
  return require("rlab.run.memory").during(function()
    return jobs > 1 and together(runs, jobs, args, plan, show) or in_turn(runs, args, plan)
  end)
end

local function finish(results, peak, show, args)
  show:sum_up(results, peak, args.runs or "runs")
  if args.json then print_json(results) end
  if args.junit then
    require("rlab.must")(require("rlab.fs").write(args.junit, require("rlab.report.junit").text(results)))
  end
  return require("rlab.run.set").worst(results)
end

local function die_with(text)
  return require("rlab.core_host").die_with_parent(require("rlab.units").whole(text) or 0)
end

-- ---- one that was cut off ----

local function refuse_words(args)
  for _, name in ipairs { "seed", "arm", "repeat", "set", "shard", "abort_if", "rate_cap", "shuffle",
    "until_fail", "keep", "step" } do
    if args[name] and (type(args[name]) ~= "table" or #args[name] > 0) then
      usage("--resume goes on as the set was begun: --%s does not go with it", (name:gsub("_", "-")))
    end
  end
  if #args.experiments > 0 then usage "--resume goes on with the runs of the set: it takes no experiments" end
end

local function resume(args)
  refuse_words(args)
  local plan <close> = require("rlab.run.set.plan").open(args.runs or "runs")
  local tables, missing = require "rlab.tables", plan:missing()
  local all = tables.merged({ experiments = {} }, plan.note.asked,
    tables.picked(args, { "runs", "jobs", "junit", "json", "quiet" }))
  require "rlab.note" (plan:says())
  require("rlab.run.set.leftovers").put_back(require "rlab.note")
  local show, peak = show_of(all), nil
  if #missing > 0 then peak = select(2, perform(each(missing), jobs_of(all), all, plan, show)) end
  return finish(plan:results(), peak, show, all)
end

function run.run(args)
  if args.die_with_parent and not die_with(args.die_with_parent) then
    return require("rlab.exit").interrupted
  end
  if args.resume then return resume(args) end
  if #args.experiments == 0 then usage "which experiments? rlab run E-007 E-012, run all, or --resume" end
  if args.step and args.json then
    usage "--step and --json do not go together: the one asks, the other is read by a program"
  end
  check_conditions(args.abort_if)
  cap_of(args)
  local opts, jobs, exps, set = opts_of(args), jobs_of(args), load_all(args), require "rlab.run.set"
  local shard = shard_of(args)
  if jobs > 1 and not (args.shuffle or args.until_fail) then exps = set.longest_first(exps) end
  local runs = set.rounds(exps, opts)
  local list = not args.until_fail and collected(runs) or nil
  if shard then list = part_of(list, shard, args.runs or "runs") end
  local plan <close> = plan_of(list, args, opts, jobs)
  args.seed = opts.seed
  local show = show_of(args)
  local results, peak = perform(list and each(list) or runs, jobs, args, plan, show)
  return finish(results, peak, show, args)
end

return run
