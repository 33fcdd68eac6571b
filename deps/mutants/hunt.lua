-- hunt.lua [--count 10] [--seed 1] [--budget 60s] [--least 7] [--only ID] [--list]: breaks one mechanism at a
-- time, drawn by the seed, and hunts the right arm that rests on it. Run by deps/test.sh (make hunt-mutants),
-- from the project's root, on a stack.
--
-- The hunt is told the arm, and what that arm promises when nothing is broken; not what is broken, nor which
-- check or which fault shows it. Drawn are the mutants that violate a right arm of an experiment; passed over
-- are those that break the lab itself, and those whose judge is no promise of a hunt: a number, or a check
-- that needs the planned fault. A schedule that was found is replayed when nothing is broken: where it breaks
-- the arm then, too, it is a finding about the arm, and the mutant is missed. It ends with 1 where fewer than
-- --least of them were found.
package.path = arg[0]:match "^(.*)/[^/]*/" .. "/?.lua;" .. package.path
local catalogue = require "mutants.catalogue"
local json = require "dkjson"
local system = require "mutants.system"
local tree = require "mutants.tree"

local SECONDS = 400 -- a hunt that takes longer is stopped, and has found nothing

local function words_of(args)
  local words = { count = "10", seed = "1", budget = "60s" }
  for i = 1, #args do
    local name = args[i]:match "^%-%-(%a+)$"
    if name == "list" then words.list = true elseif name then words[name] = args[i + 1] end
  end
  for _, name in ipairs { "count", "seed", "least" } do
    words[name] = words[name] and math.tointeger(tonumber(words[name]))
  end
  if not (words.count and words.seed) then error("--count and --seed take whole numbers", 0) end
  return words
end

local function is_candidate(m, only)
  if only and m.id ~= only then return false end
  return m.run and m.exit == 1 and m.arms and not (m.waits or m.slow) and not m.file:find "^lua/rlab/lab/"
end

local function candidates(seed, only)
  local list = {}
  for _, m in ipairs(catalogue.all()) do
    if is_candidate(m, only) then list[#list + 1] = m end
  end
  return catalogue.shuffled(list, seed)
end

-- ---- one hunt ----

local function hunt(m, where, words)
  local folder = ("../hunts/%s"):format(where)
  system.capture("cd %s && timeout --foreground -k 10 %d ./rlab hunt %s --arm %s --runs %s --no-shrink %s \z
    >../said 2>&1", tree.path(), SECONDS, m.run, m.arms[1], folder, words)
  local file = ("%s/hunts/%s/%s-%s.json"):format(tree.root(), where, m.run, m.arms[1])
  return system.exists(file) and json.decode(system.read(file)) or
    { why_not = system.read(tree.root() .. "/said"):sub(-200), promises = {}, trials = {}, seconds = 0 }
end

local whole = {} -- what an arm promises when nothing is broken, by its name

-- -> the record's file, as the copy sees it, its promises | nil, why the arm cannot be hunted
local function promises_of(m)
  local key = m.run .. "-" .. m.arms[1]
  if not whole[key] then
    assert(tree.build(m))
    whole[key] = hunt(m, "whole", "--budget 1s --seed 1")
  end
  local record = whole[key]
  -- a trial that says nothing takes nothing from the promises, which come before it
  if record.why_not and #record.trials == 0 then return nil, "cannot be hunted: " .. record.why_not end
  if record.found then return nil, "breaks when nothing is broken: " .. record.found.says end
  return ("../hunts/whole/%s.json"):format(key), record.promises
end

local function contains(list, item)
  for _, one in ipairs(list) do
    if one == item then return true end
  end
  return false
end

local function says(faults)
  if #faults == 0 then return "no fault at all" end
  local list = {}
  for i, f in ipairs(faults) do
    list[i] = ("%s %s %s%s"):format(f.service or f.wire, f.point or f.api or f.statement, f.act,
      f.only and " if " .. f.only or "")
  end
  if #list > 3 then list = { list[1], ("%d more"):format(#list - 2), list[#list] } end
  return table.concat(list, " + ")
end

local HOLDS, BREAKS = 0, 1 -- exit codes of a replay
local REPLAYS = 4

-- What was found, when nothing is broken -> "found": it held twice, or once and the others say nothing;
-- "arm": it breaks the arm then, too; "unsure"
local function replayed(m)
  local held = 0
  assert(tree.build(m))
  for _ = 1, REPLAYS do
    local _, code = system.capture("cd %s && timeout --foreground -k 10 %d ./rlab hunt --replay \z
      ../hunts/%s/%s-%s.lua --seed 1 --runs ../hunts/%s/unbroken >>../said 2>&1", tree.path(), SECONDS, m.id,
      m.run, m.arms[1], m.id)
    if code == BREAKS then return "arm" end
    held = held + (code == HOLDS and 1 or 0)
    if held == 2 then break end
  end
  return held > 0 and "found" or "unsure"
end

local ADDS = { found = "", plain = "",
  arm = "; breaks the arm without the mutant, too: a finding about the arm",
  unsure = "; no replay without the mutant could be judged" }

-- -> "found" | "plain" | "missed" | "arm" | "unsure", what was said. The tree is whole again.
local function outcome_of(record, m)
  if record.why_not then return "missed", record.why_not end
  if not record.found then return "missed", ("%d trials"):format(#record.trials) end
  local word = #record.found.faults > 0 and replayed(m) or "plain"
  return word, ("trial %d: %s, by %s%s"):format(#record.trials, table.concat(record.found.breaks, " "),
    says(record.found.faults), ADDS[word])
end

-- ---- all of them ----

local function show(word, m, seconds, text)
  print(("  %-7s %-36s %-28s %5.0f s  %s"):format(word, m.id, m.run .. " " .. m.arms[1], seconds,
    (text:gsub("%s+", " "))))
  io.flush()
end

-- -> nothing where its judge is no promise
local function try(m, words, score)
  local file, promises = promises_of(m)
  if not (file and contains(promises, m.check)) then
    return show("-", m, 0, "passed over: " .. (file and m.check .. " is no promise" or promises))
  end
  local undo = assert(tree.apply(m))
  local built, why = tree.build(m)
  if not built then error("does not compile: " .. why, 0) end
  local told = ("--budget %s --seed %d --promises %s"):format(words.budget, words.seed, file)
  local record = hunt(m, m.id, told)
  undo()
  local word, text = outcome_of(record, m)
  score.tried, score[word] = score.tried + 1, (score[word] or 0) + 1
  show(word == "plain" and "found" or word, m, record.seconds or 0, text)
end

local function go(words)
  local score = { tried = 0, found = 0, plain = 0 }
  for _, m in ipairs(candidates(words.seed, words.only)) do
    if score.tried == words.count then break end
    try(m, words, score)
  end
  local found = score.found + score.plain
  local line = "hunts: %d of %d mutants found (seed %d, budget %s): %d by a fault, %d without any; %d missed"
  print("\n" .. line:format(found, score.tried, words.seed, words.budget, score.found, score.plain,
    score.tried - found))
  return score.tried == words.count and found >= (words.least or math.ceil(words.count * 0.7))
end

local function main(args)
  local words = words_of(args)
  if words.list then
    for i, m in ipairs(candidates(words.seed, words.only)) do print(i, m.id, m.run, m.arms[1], m.check) end
    return true
  end
  tree.choose "hunts"
  tree.copy()
  local ok, result = pcall(go, words)
  tree.remove()
  if not ok then error(result, 0) end
  return result
end

local ok, result = pcall(main, arg)
if not ok then io.stderr:write("hunts: ", tostring(result), "\n") end
os.exit(ok and result)
