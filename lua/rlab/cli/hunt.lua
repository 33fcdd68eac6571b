-- rlab hunt: tries faults that nobody planned against the arms of an experiment, and writes what breaks one
-- as a scenario.
local usage = require "rlab.usage" "hunt: "

local hunt = { name = "hunt",
  help = "try faults that nobody planned against an experiment's arms until one breaks" }

function hunt.args(parser)
  parser:argument("experiment", "an experiment's id, or a file of your own"):args "?"
  parser:option("--arm", "only this arm (may be repeated)"):count "*"
  parser:option("--check", "only what violates this check (may be repeated)"):count "*"
  parser:option("--promises", "hunt for what an earlier hunt was for, by its record "
    .. "(runs/hunt/E-004-NAME.json), without a run of the arm as it is: it may be broken since")
  parser:option("--budget", "time for all arms together; who is done early leaves the rest to the others",
    "3m")
  parser:option("--seed", "seed of the workload and of the order in which faults are tried", "7")
  parser:option("--shard", "only what falls to part I of N of the faults, I/N; rlab merge joins the parts")
  parser:option("--jobs", "trials at the same time", "2")
  parser:option("--runs", "folder for what is found", "runs/hunt")
  parser:option("--replay", "run a schedule that was found, instead of a hunt")
  parser:flag("--no-shrink", "leave what was found as long as it is")
  parser:flag("--keep", "keep the folder of every trial, not of those alone that broke an arm or say nothing")
  parser:flag("-q --quiet", "only the last line")
end

local function whole(args, name, least)
  local n = require("rlab.units").whole(args[name])
  if not n or n < least then usage("--%s takes a whole number from %d, not '%s'", name, least, args[name]) end
  return n
end

local function budget_of(args)
  local ok, seconds = pcall(require("rlab.units").duration, args.budget)
  if not ok or seconds <= 0 then usage("--budget takes a duration such as 3m, not '%s'", args.budget) end
  return seconds
end

local function replay(args)
  local exp = require("rlab.experiment").load(args.replay)
  local view = require("rlab.run.view").new { quiet = args.quiet }
  local result = require("rlab.run").execute(exp, { seed = whole(args, "seed", 0), view = view,
    runs = args.runs })
  view:finish(result)
  return result.exit
end

-- The wrong arms first: they are done early.
local function chosen(exp, names)
  local list, options, tables = {}, require "rlab.options", require "rlab.tables"
  for _, name in ipairs(names) do
    if not exp:arm(name) then
      usage("%s has no arm '%s'; %s", exp.id, name, options.advice(name, tables.names_of(exp.arms)))
    end
  end
  for _, class in ipairs { "wrong", "right", "observe" } do
    for _, arm in ipairs(exp.arms) do
      local asked = #names == 0 and class ~= "observe" or tables.contains(names, arm.name)
      if arm.class == class and asked then list[#list + 1] = arm end
    end
  end
  return list
end

local function command(args, name)
  local part = args.shard and " --shard " .. args.shard or ""
  return ("rlab hunt %s --arm %s --budget %s --seed %s"):format(args.experiment, name, args.budget,
    args.seed) .. part
end

local function write(one, args, ending, text)
  local must, fs = require "rlab.must", require "rlab.fs"
  local file = ("%s/%s-%s.%s"):format(args.runs, one.base.id, one.arm.name, ending)
  must(fs.mkdir(args.runs))
  must(fs.write(file, text(file)))
  return file
end

local function scenario_text(one, args, path)
  local found = { of = path, arm = one.arm.name, breaks = one.found.read.broken, faults = one.found.faults }
  return function(file)
    return require("rlab.hunt.scenario").text(found, command(args, one.arm.name), one.found.read.says,
      file .. (args.seed ~= "7" and " --seed " .. args.seed or ""))
  end
end

-- What was tried, and what was found as a scenario.
local function write_down(one, args, path)
  write(one, args, "json", function()
    return require("rlab.json").encode(one:record(), { pretty = true, gaps = true }) .. "\n"
  end)
  if one.found then one.view:written(one, write(one, args, "lua", scenario_text(one, args, path))) end
end

-- The promises of one arm, by the record that `rlab hunt` wrote when nothing was broken.
local function promises_of(args, exp)
  if not args.promises then return nil end
  local text = require("rlab.fs").read(args.promises)
  local ok, found = pcall(require("rlab.json").decode, text or "")
  if not ok or type(found) ~= "table" or type(found.promises) ~= "table" or #found.promises == 0 then
    usage("--promises takes the record of a hunt, such as runs/hunt/%s-NAME.json, not '%s'", exp.id,
      args.promises)
  end
  if #args.arm ~= 1 or args.arm[1] ~= found.arm then
    usage("those are the promises of %s: say --arm %s", tostring(found.arm), tostring(found.arm))
  end
  return found.promises
end

local function shard_of(args)
  if not args.shard then return nil end
  return require("rlab.run.set.shard").of(args.shard)
    or usage("--shard takes I/N, such as 1/4, not '%s'", args.shard)
end

local function hunt_all(args, exp, path)
  local clock, arms, hunts = require "rlab.clock", chosen(exp, args.arm), {}
  local opts = { base = exp, seed = whole(args, "seed", 0),
    jobs = exp.disrupts and 1 or whole(args, "jobs", 1), runs = args.runs, keep = args.keep,
    only = args.check, promises = promises_of(args, exp), shrink = not args.no_shrink, shard = shard_of(args),
    view = require("rlab.hunt.view").new { quiet = args.quiet } }
  local budget, began = budget_of(args), clock.ns()
  opts.view:head(exp, { arms = #arms, budget = budget, seed = opts.seed, shard = args.shard })
  for i, arm in ipairs(arms) do
    local left = budget - (clock.ns() - began) / 1e9
    local own = require("rlab.tables").merged(opts, { arm = arm, budget = left / (#arms - i + 1) })
    hunts[i] = require("rlab.hunt.arm").hunt(own)
    write_down(hunts[i], args, path)
  end
  local code = require("rlab.hunt.verdict").code(hunts)
  opts.view:sum_up(hunts, code, args.runs)
  return code
end

function hunt.run(args)
  if args.replay then return replay(args) end
  if not args.experiment then usage "which experiment? rlab hunt E-004, or --replay FILE" end
  local experiment = require "rlab.experiment"
  local path = experiment.find(args.experiment, require "rlab.note")
  return hunt_all(args, experiment.load(path), experiment.word(path))
end

return hunt
