-- rlab record: how often each arm ran, how often as predicted, and why not.
local exit = require "rlab.exit"
local term = require "rlab.term"
local usage = require "rlab.usage" "record: "

local record = { name = "record", help = "how often each arm was as predicted, over all runs, and why not" }

function record.args(parser)
  parser:argument("experiments", "only these ids"):args "*"
  parser:option("--runs", "folder of the runs", "runs")
  parser:flag("--json", "print JSON")
end

local function ids_of(words)
  local experiment, list = require "rlab.experiment", {}
  for i, word in ipairs(words) do list[i] = experiment.peek(experiment.find(word)).id end
  return list
end

local function dash(n) return n > 0 and n or "-" end

local function arms(total)
  local rows = {}
  for _, one in ipairs(total.experiments) do
    for _, arm in ipairs(one.arms) do
      rows[#rows + 1] = { one.id, arm.class, arm.name, arm.runs, dash(arm.predicted), dash(arm.inconclusive),
        dash(arm.otherwise) }
    end
  end
  local function number(name) return { name = name, align = "right" } end
  return term.grid({ "id", "", "arm", number "runs", number "as predicted", number "inconclusive",
    number "not" }, rows)
end

local function reasons(rows)
  print "\nwhy not as predicted"
  for _, row in ipairs(rows) do
    local head = ("  %3d x  %s %s  "):format(row.times, row.id, row.arm)
    for i, line in ipairs(term.wrap(row.says, math.max(40, term.width() - #head))) do
      print((i == 1 and head or (" "):rep(#head)) .. line)
    end
  end
end

function record.run(args)
  if not require("rlab.fs").exists(args.runs) then
    usage("there is no folder '%s'; run something first: rlab run all", args.runs)
  end
  local track_record = require "rlab.run.track_record"
  local total = track_record.read(args.runs, ids_of(args.experiments))
  if args.json then
    print(require("rlab.json").encode(total, { pretty = true }))
    return exit.ok
  end
  if total.runs == 0 then
    print(("nothing is recorded in %s yet; rlab run all"):format(args.runs))
    return exit.ok
  end
  print(arms(total))
  local why = track_record.reasons(total)
  if #why > 0 then reasons(why) end
  print("\n" .. track_record.sums_up(total))
  return exit.ok
end

return record
