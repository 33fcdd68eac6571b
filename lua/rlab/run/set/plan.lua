-- The plan of a set of runs: which, with which seeds, in which order, written down before the first begins,
-- and of each the folder before it begins and the exit code after it; so that a set that was cut off can be
-- gone on with (rlab run --resume). It is runs/sets/TIME.json; whoever works on it holds the lock TIME.lock
-- beside it, which ends with its process. A run that has its result.json has its verdict, noted or not.
local clock = require "rlab.clock"
local fingerprint = require "rlab.fingerprint"
local fs = require "rlab.fs"
local json = require "rlab.json"
local kept = require "rlab.run.kept"
local must = require "rlab.must"
local session_of = require "rlab.run.session"
local usage = require "rlab.usage" "--resume: "

local M = {}

local Plan = {}
Plan.__index = Plan

local SCHEMA = 1
local WHO = "rlab run" -- in the lock, for those who meet it

local function save(plan)
  must(fs.write(plan.path .. ".json", json.encode(plan.note, { pretty = true }) .. "\n", { sync = true }))
end

-- ---- a new one ----

local function folder_of(runs) return runs .. "/sets" end

local function print_of(exp) return fingerprint(require("rlab.experiment").text(exp.path)) end

-- One set that was cut off can be gone on with: the last. Those that others work on stay.
local function forget_others(folder)
  for _, name in ipairs(fs.list(folder) or {}) do
    local path = folder .. "/" .. (name:match "^(.+)%.json$" or "")
    local lock <close> = fs.exists(path .. ".json") and fs.lock(path .. ".lock", WHO) or nil
    if lock then
      fs.remove(path .. ".json")
      fs.remove(path .. ".lock")
    end
  end
end

local function own_place(folder)
  local stamp, n = os.date "!%Y%m%d-%H%M%S", 1
  local path = ("%s/%s"):format(folder, stamp)
  local lock, failure = fs.lock(path .. ".lock", WHO)
  while not lock and failure.name == "LOCKED" do
    n = n + 1
    path = ("%s/%s.%d"):format(folder, stamp, n)
    lock, failure = fs.lock(path .. ".lock", WHO)
  end
  return path, must(lock, failure)
end

local function rows_of(list)
  local rows, prints, row_of = json.array {}, {}, {}
  for i, one in ipairs(list) do
    local exp = one.experiment
    prints[exp] = prints[exp] or print_of(exp)
    rows[i] = { id = exp.id, file = exp.path, print = prints[exp], seed = one.seed }
    row_of[one] = rows[i]
  end
  return rows, row_of
end

-- begin(runs, list, asked) -> plan (closable) of the list {experiment, seed}; runs: the folder of results;
--   asked: what the command line said, for whoever goes on with it
function M.begin(runs, list, asked)
  local folder = folder_of(runs)
  must(fs.mkdir(folder))
  forget_others(folder)
  local path, lock = own_place(folder)
  local rows, row_of = rows_of(list)
  local plan = setmetatable({ runs = runs, path = path, lock = lock, row_of = row_of, ran = {},
    note = { schema = SCHEMA, began = clock.iso(), rlab = require "rlab.version",
      stack = json.array(require("rlab.stack").words()), asked = asked, runs = rows } }, Plan)
  save(plan)
  return plan
end

-- ---- one that was begun ----

local function last_of(runs)
  local names = {}
  for _, name in ipairs(fs.list(folder_of(runs)) or {}) do names[#names + 1] = name:match "^(.+)%.json$" end
  table.sort(names)
  return names[#names] and ("%s/%s"):format(folder_of(runs), names[#names])
    or usage("no set of runs was begun in %s", runs)
end

local function take(path)
  local lock, failure = fs.lock(path .. ".lock", WHO)
  if lock then return lock end
  if failure.name ~= "LOCKED" then error(failure, 0) end
  usage("process %d works on %s.json", failure.pid or 0, path)
end

local function read(path)
  local ok, note = pcall(json.decode, fs.read(path .. ".json") or "")
  local sound = ok and type(note) == "table" and note.schema == SCHEMA and type(note.runs) == "table"
  return sound and note or usage("%s.json is no plan that this rlab can read", path)
end

-- The verdict of the run that the row names | nil.
local function verdict_of(plan, row)
  local one = row.run and kept.run(plan.runs, row.run:match "^(.+)/([^/]+)$")
  local result = one and one.result
  if not result or not result.run or result.run.seed ~= row.seed then return nil end
  result.dir = ("%s/%s"):format(plan.runs, row.run)
  return require("rlab.run.set").has_verdict(result) and result or nil
end

-- A run whose verdict was formed and not noted: the rest of what belongs to it may be missing.
local function adopt(plan, row, result)
  must(require("rlab.report").write(result.dir))
  require("rlab.run.track_record").add(plan.runs, result)
  must(require("rlab.report.index").write(plan.runs))
  row.exit = result.exit
end

local function look_up_verdicts(plan)
  for _, row in ipairs(plan.note.runs) do
    local result = verdict_of(plan, row)
    if result and not row.exit then adopt(plan, row, result) end
    plan.ran[row] = result
  end
end

-- open(runs) -> plan (closable) of the last set that was begun there, with the verdicts that it has; one that
--   somebody works on is refused
function M.open(runs)
  local path = last_of(runs)
  local lock = take(path)
  local plan = setmetatable({ runs = runs, path = path, lock = lock, row_of = {}, ran = {},
    note = read(path) }, Plan)
  look_up_verdicts(plan)
  save(plan)
  return plan
end

local function same_stack(plan)
  local now, meant = table.concat(require("rlab.stack").words(), " "), table.concat(plan.note.stack, " ")
  if now ~= meant then usage("the set was begun with %s, not with %s", meant, now) end
end

local function unchanged(row, exp)
  if exp.id == row.id and print_of(exp) == row.print then return end
  usage("%s has changed since the set was begun: its verdicts would not be of one thing; begin anew",
    row.file)
end

-- plan:missing() -> the runs {experiment, seed} that have no verdict, in the order of the plan; what is not
--   what it was when the set began is refused
function Plan:missing()
  local list, loaded = {}, {}
  for _, row in ipairs(self.note.runs) do
    if not self.ran[row] then
      local exp = loaded[row.file] or require("rlab.experiment").load(row.file)
      loaded[row.file] = exp
      unchanged(row, exp)
      list[#list + 1] = { experiment = exp, seed = row.seed }
      self.row_of[list[#list]] = row
    end
  end
  if #list > 0 then
    same_stack(self)
    if self.note.rlab ~= require "rlab.version" then
      usage("the set was begun by rlab %s: begin anew", tostring(self.note.rlab))
    end
  end
  return list
end

-- plan:says() -> how much of it has its verdict
function Plan:says()
  local all, there = #self.note.runs, #self:results()
  local rest = there == all and "nothing is left to run" or ("%d to run"):format(all - there)
  return ("the set of %s: %d of %d have their verdicts, %s"):format(self.note.began, there, all, rest)
end

-- ---- while it is run ----

-- plan:starts(run) -> the folder that is the run's, empty
function Plan:starts(one)
  local row = self.row_of[one]
  local dir = session_of.folder(self.runs, row.id)
  row.run = row.id .. "/" .. dir:match "([^/]+)$"
  save(self)
  return dir
end

-- plan:ends(run, result): one that an abort condition stopped has no verdict of its own, and is run again
function Plan:ends(one, result)
  local row = self.row_of[one]
  self.ran[row] = result
  if result.aborted or not require("rlab.run.set").has_verdict(result) then row.run = nil
  else row.exit = result.exit end
  save(self)
end

-- plan:results() -> of all that were run, by whomever, in the order of the plan
function Plan:results()
  local list = {}
  for _, row in ipairs(self.note.runs) do list[#list + 1] = self.ran[row] end
  return list
end

function Plan:close() self.lock:close() end
Plan.__close = Plan.close

-- ---- no plan ----

local None = {}
None.__index = None

-- none(runs[, folder]) -> what stands for the plan of one run, which is told its folder perhaps, or of a set
--   that has no end
function M.none(runs, folder) return setmetatable({ runs = runs, folder = folder }, None) end

function None:starts(one) return self.folder or session_of.folder(self.runs, one.experiment.id) end
function None.ends() end
function None.__close() end

return M
