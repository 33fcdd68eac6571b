-- rlab run: one experiment or several, on the running stack; the exit code is the verdict.
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local run = { name = "run", help = "run experiments: rlab run E-007 E-012, run all, or a file of your own" }

local DEFAULT_SEED = 7

function run.args(parser)
  parser:argument("experiments", "experiment ids, files, or 'all'"):args "+"
  parser:option("--seed", "seed of ids, amounts and orders (default 7; 'random' picks one)")
  parser:option("--arm", "only this arm (may be repeated)"):count "*"
  parser:option("--repeat", "run so many times with seeds counting up, and report the reproduction rate")
    :target "times"
  parser:option("--set", "an option that the experiment declares, as NAME=VALUE (may be repeated)"):count "*"
  parser:option("--junit", "also write JUnit XML to this file")
  parser:option("--runs", "folder for results (default runs)")
  parser:flag("--json", "print result.json instead of the story")
  parser:flag("-q --quiet", "only the verdict")
  parser:flag("--keep", "keep the run's topics, groups and schemas for a look by hand")
  parser:flag("--step", "stop at each event until Enter")
end

local function seed_of(args)
  if args.seed == "random" then return require("rlab.clock").ns() % 1000000 end
  local seed = math.tointeger(tonumber(args.seed or DEFAULT_SEED))
  if not seed or seed < 0 then
    usage("--seed takes a whole number from 0 or 'random', not '%s'", args.seed)
  end
  return seed
end

local function times_of(args)
  local times = math.tointeger(tonumber(args.times or 1))
  if not times or times < 1 then usage("--repeat takes a whole number from 1, not '%s'", args.times) end
  return times
end

local function paths(words)
  local experiment = require "rlab.experiment"
  if #words == 1 and words[1] == "all" then return experiment.names() end
  local list = {}
  for _, word in ipairs(words) do list[#list + 1] = experiment.find(word) end
  return list
end

local booleans = { ["true"] = true, yes = true, ["1"] = true, ["false"] = false, no = false, ["0"] = false }

local function typed(declared, text, name)
  local kind = type(declared.default)
  if kind == "number" then
    return tonumber(text) or usage("option %s takes a number, not '%s'", name, text)
  end
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
  return table.concat(list)
end

local function execute(exp, args, seed)
  local view = require("rlab.run.view").new { quiet = args.quiet, silent = args.json }
  local result = require("rlab.run").execute(exp, {
    seed = seed, arms = args.arm, keep = args.keep, view = view, step = step_by_key(args.step),
    runs = args.runs,
    options = options_of(exp, args.set), words = extra_words(args),
  })
  view:finish(result)
  return result
end

local rank = { [exit.ok] = 0, [exit.wrong_held] = 1, [exit.right_violated] = 2, [exit.inconclusive] = 3 }

local function worse(a, b)
  return rank[b] > rank[a] and b or a
end

local function say_rate(exp, results, times)
  local as_predicted = 0
  for _, result in ipairs(results) do as_predicted = as_predicted + (result.exit == 0 and 1 or 0) end
  print(("  %s  %d of %d as predicted"):format(exp.id, as_predicted, times))
end

local function run_one(exp, args, results)
  local times, seed, code = times_of(args), seed_of(args), exit.ok
  local mine = {}
  for i = 1, times do
    local result = execute(exp, args, seed + i - 1)
    mine[i], results[#results + 1] = result, result
    code = worse(code, result.exit)
    if not (args.json or args.quiet) and i < times then print "" end
  end
  if times > 1 and not args.json then say_rate(exp, mine, times) end
  return code
end

local function print_json(results)
  local json = require "rlab.json"
  print(json.encode(#results == 1 and results[1] or json.array(results), { pretty = true }))
end

function run.run(args)
  local experiment, results, code = require "rlab.experiment", {}, exit.ok
  local loaded = {}
  if args.step and args.json then
    usage "--step and --json do not go together: the one asks, the other is read by a program"
  end
  times_of(args)
  for i, path in ipairs(paths(args.experiments)) do loaded[i] = experiment.load(path) end
  for i, exp in ipairs(loaded) do
    if i > 1 and not (args.json or args.quiet) then print "" end
    code = worse(code, run_one(exp, args, results))
  end
  if args.json then print_json(results) end
  if args.junit then
    require("rlab.must")(require("rlab.fs").write(args.junit, require("rlab.report.junit").text(results)))
  end
  return code
end

return run
