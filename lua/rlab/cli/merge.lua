-- rlab merge: joins the runs of several shards, and says what the whole set says.
local exit = require "rlab.exit"
local usage = require "rlab.usage" "merge: "

local merge = { name = "merge",
  help = "join the runs of several shards (rlab run all --shard 1/4) and judge all" }

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
local function code_of(results, missing)
  local worst = require("rlab.run.set").worst(results)
  return #missing > 0 and worst == exit.ok and exit.inconclusive or worst
end

function merge.run(args)
  known(args.dirs)
  local shard = require "rlab.run.shard"
  local results = shard.join(args.dirs, args.into)
  if #results == 0 then usage("no run is in %s", table.concat(args.dirs, ", ")) end
  local missing = shard.missing(args.dirs, results)
  require("rlab.run.set_view").new { silent = args.json, quiet = args.quiet }:sum_up(results, nil, args.into)
  if args.json then put_json(results) end
  if args.junit then
    require("rlab.must")(require("rlab.fs").write(args.junit, require("rlab.report.junit").text(results)))
  end
  for _, line in ipairs(missing) do io.stderr:write("rlab: merge: ", line, "\n") end
  return code_of(results, missing)
end

return merge
