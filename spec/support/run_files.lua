-- What a run left in its folder, against the schemas of docs/: result.json, evidence.json, each line of
-- samples.jsonl and history.jsonl, and the JUnit file.
local form = require "rlab.check.form"
local fs = require "rlab.fs"
local json = require "rlab.json"
local schema = require "spec.support.json_schema"
local xml = require "spec.support.xml"

local M = {}

local MOST = 20 -- problems of a file that are told

local function described(name)
  return assert(json.decode(assert(fs.read(("docs/%s.schema.json"):format(name)))))
end

local function add(list, found)
  for i = 1, math.min(#found, MOST) do list[#list + 1] = found[i] end
end

local function whole(list, dir, name)
  local value = assert(json.decode(assert(fs.read(("%s/%s.json"):format(dir, name)))))
  add(list, schema.problems(described(name), value, name))
end

-- f(value, name of the line) for each line; the file ends with one
local function each_line(dir, name, f)
  local text, n = assert(fs.read(("%s/%s.jsonl"):format(dir, name))), 0
  assert(text == "" or text:sub(-1) == "\n", name .. ".jsonl: its last line is cut off")
  for line in text:gmatch "[^\n]+" do
    n = n + 1
    f(assert(json.decode(line)), ("%s line %d"):format(name, n))
  end
end

local function lines(list, dir, name)
  local one, found = described(name), {}
  each_line(dir, name, function(value, at)
    for _, problem in ipairs(#found < MOST and schema.problems(one, value, at) or {}) do
      found[#found + 1] = problem
    end
  end)
  add(list, found)
end

-- Each lane's time goes on.
local function rising(list, dir)
  local last, found = {}, {}
  each_line(dir, "samples", function(row, at)
    local lane = row.arm or ""
    if last[lane] and row.t < last[lane] then found[#found + 1] = at .. ": t goes back" end
    last[lane] = row.t
  end)
  add(list, found)
end

-- problems(dir [, junit file]) -> list of what does not fit
function M.problems(dir, junit)
  local list = {}
  whole(list, dir, "result")
  whole(list, dir, "evidence")
  lines(list, dir, "samples")
  rising(list, dir)
  lines(list, dir, "history")
  list[#list + 1] = form.problem(dir .. "/history.jsonl")
  if junit then add(list, schema.problems(described "junit", xml.decode(assert(fs.read(junit))), "junit")) end
  return list
end

-- The verdict's own words (rlab.run.disturbance) for a check or a wait whose word the machine has taken, and
-- a debt's (rlab.lab.owed), whose clock stood still for most of the time.
local EXPLAINED = { "; but .* for a processor", "; but .* stood still", "; but .* was stopped",
  "were quiet: the machine is too busy$" }

local function explained(reason)
  for _, pattern in ipairs(EXPLAINED) do
    if (reason or ""):find(pattern) then return true end
  end
  return false
end

-- too_busy(dir) -> why the run is inconclusive, if of each arm that is the verdict says that the machine kept
--   somebody from his work; else nil: what did not come about, or was too little, is red. That somebody has
--   waited is no reason by itself, for a run makes its own servers wait on a quiet machine, too.
function M.too_busy(dir)
  local result, unsure = assert(json.decode(assert(fs.read(dir .. "/result.json")))), 0
  for _, arm in ipairs(result.arms) do
    if arm.outcome == "inconclusive" then
      if not explained(arm.reason) then return nil end
      unsure = unsure + 1
    end
  end
  return unsure > 0 and result.sentence or nil
end

return M
