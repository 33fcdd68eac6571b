-- rlab merge: joins the runs and the hunts of several shards, and says what the whole says.
local exit = require "rlab.exit"
local usage = require "rlab.usage" "merge: "

local merge = { name = "merge",
  help = "join the runs or hunts of several shards (rlab run all --shard 1/4) and judge all" }

function merge.args(parser)
  parser:argument("dirs", "folders of runs, one or more"):args "+"
  parser:option("--into", "the folder for all of them", "runs")
  parser:option("--junit", "also write JUnit XML to this file")
  parser:flag("--json", "print the results as JSON")
  parser:flag("-q --quiet", "only the last line")
end

local function known(dirs)
  local fs = require "rlab.fs"
  for _, dir in ipairs(dirs) do
    if not fs.exists(dir) then usage("there is no folder '%s'", dir) end
  end
end

local function put_json(results)
  local json = require "rlab.json"
  print(json.encode(json.array(results), { pretty = true, gaps = true }))
end

-- A set of which something is missing says nothing as a whole, unless what is there is worse.
local function code_of(results, hunts, missing)
  local of_hunts = { exit = require("rlab.hunt.verdict").code(hunts) }
  local worst = require("rlab.run.set").worst(require("rlab.tables").append({ of_hunts }, results))
  return #missing > 0 and worst == exit.ok and exit.inconclusive or worst
end

-- Hunts stand in a folder of their own, or in `hunt` beside the runs. A part that was joined into itself
-- would be counted again the next time.
local function join_hunts(args)
  local fs, shards, hunts = require "rlab.fs", require "rlab.hunt.shards", {}
  for _, sub in ipairs { "", "/hunt" } do
    local dirs, into = {}, args.into .. sub
    for i, dir in ipairs(args.dirs) do
      dirs[i] = dir .. sub
      if #shards.records(dirs[i]) > 0 and fs.realpath(dirs[i]) == fs.realpath(into) then
        usage("--into is one of the folders to join, %s: name another", into)
      end
    end
    require("rlab.tables").append(hunts, shards.join(dirs, into))
  end
  return hunts
end

local function show_hunts(hunts, args)
  if #hunts == 0 or args.json then return end
  local view = require("rlab.hunt.view").new { quiet = args.quiet }
  for _, hunt in ipairs(hunts) do view:joined(hunt) end
  view:sum_up(hunts, require("rlab.hunt.verdict").code(hunts), args.into)
end

local function join_histograms(results, args)
  local histograms = require "rlab.run.histograms"
  local list = histograms.joined(results)
  histograms.write(list, args.into)
  if #list > 0 and not (args.json or args.quiet) then print("\n" .. histograms.grid(list, 2)) end
end

function merge.run(args)
  known(args.dirs)
  local shard, tables = require "rlab.run.set.shard", require "rlab.tables"
  local shards = require "rlab.hunt.shards"
  local hunts = join_hunts(args)
  local results = shard.join(args.dirs, args.into, shards.trials_of(args.dirs))
  if #results + #hunts == 0 then usage("no run and no hunt is in %s", table.concat(args.dirs, ", ")) end
  local missing = tables.append(shard.missing(args.dirs, results), shards.missing(hunts))
  require("rlab.run.set.view").new { silent = args.json, quiet = args.quiet }:sum_up(results, nil, args.into)
  join_histograms(results, args)
  show_hunts(hunts, args)
  if args.json then put_json(results) end
  if args.junit then
    require("rlab.must")(require("rlab.fs").write(args.junit, require("rlab.report.junit").text(results)))
  end
  for _, line in ipairs(missing) do io.stderr:write("rlab: merge: ", line, "\n") end
  return code_of(results, hunts, missing)
end

return merge
