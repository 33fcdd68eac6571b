-- A set of runs: several experiments, several times; one after the other in this process, or side by side as
-- processes of their own, where they agree (rlab.run.neighbours). Those that freeze or kill what the others
-- need come last, one by one, as do those that nobody may disturb.
local defer = require "rlab.defer"
local exit = require "rlab.exit"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local neighbours = require "rlab.run.neighbours"
local process = require "rlab.process"
local tables = require "rlab.tables"
local rng = require "rlab.rng"
local task = require "rlab.task"

local M = {}

local CLEANS_UP_IN = "30s"
local RESULT_MAX = "256MiB"

-- ---- which, and in which order ----

-- longest_first(exps) -> the same, so that a set that runs them side by side does not wait in the end for a
--   long one that began late. One that does not say its seconds may be long.
function M.longest_first(exps)
  local list, place = table.move(exps, 1, #exps, 1, {}), {}
  for i, exp in ipairs(exps) do place[exp] = i end
  table.sort(list, function(a, b)
    local x, y = a.seconds or math.huge, b.seconds or math.huge
    if x ~= y then return x > y end
    return place[a] < place[b]
  end)
  return list
end

-- rounds(exps, {times=, seed=, shuffle=, until_fail=}) -> iterator of { experiment =, seed = }: each `times`
-- times, with seeds counting up. Shuffled or until one fails they come round by round, all in each; until one
-- fails without `times` for ever.
function M.rounds(exps, opts)
  local times = opts.times or opts.until_fail and math.huge or 1
  local by_round = opts.shuffle or opts.until_fail
  return coroutine.wrap(function()
    for round = 1, by_round and times or 1 do
      local list = opts.shuffle and rng.new(opts.seed + round - 1):shuffle(exps) or exps
      for _, exp in ipairs(list) do
        for i = by_round and round or 1, by_round and round or times do
          coroutine.yield { experiment = exp, seed = opts.seed + i - 1 }
        end
      end
    end
  end)
end

-- ---- a run as a process of its own ----

-- A run that is not waited for any more gets the time to clean up.
local function ends_well(p)
  return defer(function()
    if p:status() then return end
    p:kill "INT"
    p:wait(CLEANS_UP_IN)
  end)
end

-- read_result(run, text, ended, complaint) -> the result that a run printed; one without arms when it printed
--   none
function M.read_result(run, text, ended, complaint)
  local ok, result = pcall(json.decode, text)
  if ok and type(result) == "table" and result.exit then return result end
  local code = ended.code ~= exit.ok and ended.code or exit.bug -- who has no result has not passed
  return { id = run.experiment.id, exit = code, verdict = "not-run", run = { seed = run.seed, duration = 0 },
    arms = {}, checks = {}, faults = {},
    sentence = complaint:match "^[^\n]+" or ended.signal and "ended by SIG" .. ended.signal
      or ("ended with exit code %d"):format(code) }
end

-- child(run, words, folder) -> result; `words` are further words of `rlab run`, `folder` is the run's own. It
--   ends with this process.
function M.child(run, words, folder)
  local cmd = tables.append({ must(fs.self_exe()) }, require("rlab.stack").words())
  tables.append(cmd, { "run", require("rlab.experiment").word(run.experiment.path), "--json",
    "--seed", tostring(run.seed), "--folder", folder, "--die-with-parent", tostring(process.self()) })
  table.move(words, 1, #words, #cmd + 1, cmd)
  local p <close> = must(process.spawn { cmd = cmd, max_output = RESULT_MAX })
  local _ <close> = ends_well(p)
  local ended = must(p:wait())
  local text, complaint = p:output()
  return M.read_result(run, text, ended, complaint)
end

-- ---- the runners ----

local rank = { [exit.ok] = 0, [exit.wrong_held] = 1, [exit.right_violated] = 2, [exit.inconclusive] = 3 }
local NO_VERDICT = 4

-- has_verdict(result) -> boolean: one that could not be run has none
function M.has_verdict(result) return rank[result.exit] ~= nil end

-- worst(results) -> the exit code of the set: that of its worst verdict; one without a verdict is worse still
function M.worst(results)
  local code = exit.ok
  for _, result in ipairs(results) do
    if (rank[result.exit] or NO_VERDICT) > (rank[code] or NO_VERDICT) then code = result.exit end
  end
  return code
end

-- Whoever stops a run because of the state of the cluster wants no other one there.
local function ends_the_set(result, until_fail)
  return result.aborted ~= nil or until_fail and result.exit ~= exit.ok
end

-- in_turn(runs, execute, until_fail) -> results; one that an abort condition stopped is the last
function M.in_turn(runs, execute, until_fail)
  local results = {}
  for run in runs do
    results[#results + 1] = execute(run, #results + 1)
    if ends_the_set(results[#results], until_fail) then break end
  end
  return results
end

-- Those that agree with everybody who disrupts nothing and bears company, and those that do not.
local function sorted_out(runs)
  local all, peaceful, beside, alone = {}, {}, {}, {}
  for run in runs do
    all[#all + 1] = run
    local exp = run.experiment
    if not exp.disrupts and not exp.undisturbed then peaceful[#peaceful + 1] = exp end
  end
  for _, run in ipairs(all) do
    table.insert(neighbours.agrees_with_all(run.experiment, peaceful) and beside or alone, run)
  end
  return beside, alone
end

-- The first of the queue that agrees with all of those | nil, taken out of it.
local function take_fitting(queue, running)
  for i, run in ipairs(queue) do
    if neighbours.agrees_with_all(run.experiment, running) then return table.remove(queue, i) end
  end
end

-- side_by_side(runs, jobs, execute, until_fail) -> results, in the order in which they ended: at most `jobs`
--   at a time, and last, one by one, those that hurt others, each with one that it does not hurt, if any
function M.side_by_side(runs, jobs, execute, until_fail)
  local beside, alone = sorted_out(runs)
  local results, running, failed = {}, {}, false
  local function one(run)
    running[run] = run.experiment
    local result = execute(run)
    running[run] = nil
    results[#results + 1] = result
    failed = failed or ends_the_set(result, until_fail)
  end
  local function work(queue)
    while #queue > 0 and not failed do
      local run = take_fitting(queue, running)
      if run then one(run) else task.sleep "50ms" end
    end
  end
  local groups = { beside }
  for _, run in ipairs(alone) do
    groups[#groups + 1] = { run, take_fitting(beside, { run.experiment }) }
  end
  for _, queue in ipairs(groups) do
    task.group(function(group)
      for _ = 1, jobs do group:spawn(work, queue) end
    end)
  end
  return results
end

return M
