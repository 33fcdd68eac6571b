-- One trial: a run of one arm with a schedule, and what it says: broken, held, or not to be judged.
local err = require "rlab.err"
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local scenario = require "rlab.hunt.scenario"
local tables = require "rlab.tables"

local M = {}

local ENDS = { INTERRUPTED = true, TERMINATED = true, CANCELLED = true, UNREACHABLE = true }

local function defaults(declared)
  local values = {}
  for name, option in pairs(declared or {}) do values[name] = option.default end
  return values
end

local function made(base, plan)
  local source = { path = base.path, text = "" }
  local exp = experiment.environment(source).experiment(scenario.definition(base, plan))
  exp.path = base.path -- whose roles run
  return exp
end

-- What the checks of a result say. A debt that was not kept is told, and is no find: a fault may cost time.
function M.read(result, breaks)
  local read = { broken = {}, judged = false, dir = result.dir, seconds = result.run.duration }
  for _, check in ipairs(result.checks) do
    if tables.contains(breaks, check.name) and not check.debt then
      if check.outcome == "violated" then
        table.insert(read.broken, check.name)
        read.says = read.says or ("%s: %s"):format(check.name, check.sentence)
      end
      read.judged = read.judged or check.outcome ~= "inconclusive"
    elseif check.debt and check.outcome == "violated" then
      read.reason = ("%s %s"):format(check.name, check.sentence)
    end
  end
  read.reason = not read.judged and (read.reason or (result.arms[1] or {}).reason) or nil
  return read
end

-- run(base, plan, {seed =, runs =, close_later =}) -> result of the run | nil, why it could not be run
function M.run(base, plan, opts)
  local view = require("rlab.run.view").new { silent = true }
  local ok, result = pcall(require("rlab.run").execute, made(base, plan), { seed = opts.seed, view = view,
    runs = opts.runs, options = opts.options or defaults(base.options), unrecorded = true,
    close_later = opts.close_later })
  if ok then return result end
  if not err.is(result) then error(result, 0) end
  if ENDS[result.name] then error(result, 0) end
  return nil, result.message
end

-- A fault that did not happen is not covered; where none did, nothing was tried.
local function note_faults(read, plan)
  read.happened = plan.happened or {}
  if #plan.faults == 0 or #read.happened > 0 or #read.broken > 0 or not read.judged then return end
  read.judged, read.reason = false, "none of its faults happened"
end

-- try(base, plan, opts) -> {broken = names, judged =, happened = faults, says =, reason =, dir =, seconds =};
--   the folder of one that held is not kept
function M.try(base, plan, opts)
  plan.search = true
  local result, failure = M.run(base, plan, opts)
  if not result then return { broken = {}, judged = false, happened = {}, reason = failure } end
  local read = M.read(result, plan.breaks)
  note_faults(read, plan)
  if read.judged and #read.broken == 0 and not opts.keep then
    fs.remove(read.dir)
    read.dir = nil
  end
  return read
end

return M
