-- Judging what a system did from its own stores: the ids that one of them holds against those of another.
local core = require "rlab.check.core"
local task = require "rlab.task"

local M = {}

M.CLAIMS = { "lost", "twice", "phantom" }

-- Ids that a system may have been told of while one of the two was read are in neither wrong: what must be in
-- the other is read before it, what must have a cause there is held against what was read after it.
local function read(of, in_, unknown, connections)
  local seen = { before = of.read(connections) }
  seen.in_ = in_.read(connections)
  seen.of = of.text:find "^file:" and seen.before or of.read(connections)
  seen.unknown = unknown and unknown.read(connections).ids
  return seen
end

local function known(set, seen)
  return seen.unknown and set - seen.unknown or set
end

-- Bags may be large, and the collector sees of each a few bytes only.
local function forget(seen)
  for _, found in ipairs { seen.before, seen.in_, seen.of } do found.ids:close() end
  if seen.unknown then seen.unknown:close() end
end

-- Ids that are there more often than they should, as they are held by the other one.
local function too_often(seen)
  local list = {}
  for _, one in ipairs(seen.in_.ids:duplicates()) do
    local due = seen.of.ids:count(one.id)
    if due > 0 and one.count > due then list[#list + 1] = one.id end
  end
  return list
end

local says = {
  lost = function(lab, seen)
    local set = known(seen.before.ids:distinct() - seen.in_.ids, seen)
    if #set > 0 and seen.in_.removed then
      return core.inconclusive(lab, "lost", "%s not there, of a log that has lost its beginning",
        core.plural(#set, "id"))
    end
    return core.empty_set(lab, "lost", set, "each id is there", "%s missing", { word = "id" })
  end,
  twice = function(lab, seen)
    return core.empty_set(lab, "twice", too_often(seen), "none is there too often", "%s there too often",
      { word = "id" })
  end,
  phantom = function(lab, seen)
    local set = known(seen.in_.ids:distinct() - seen.of.ids, seen)
    for _, where in ipairs(seen.in_.nameless) do set = set + core.bag_of { where .. " (no id)" } end
    return core.empty_set(lab, "phantom", set, "each one there has a cause", "%s without a cause",
      { word = "id" })
  end,
}

local function floor(lab, seen, at_least)
  local n = #seen.before.ids
  if n >= at_least then return end
  core.inconclusive(lab, "enough", "%s, at least %d are needed to say anything", core.plural(n, "id"),
    at_least)
end

local function nameless(lab, seen)
  local n = #seen.before.nameless
  if n > 0 then
    core.inconclusive(lab, "named", "%s without an id, such as %s", core.plural(n, "entry"):gsub("ys", "ies"),
      seen.before.nameless[1])
  end
end

local function judged(seen, what)
  local lab = { checks = {}, label = "verify" }
  floor(lab, seen, what.at_least)
  nameless(lab, seen)
  for _, claim in ipairs(what.claims) do says[claim](lab, seen) end
  return lab.checks
end

local function word_of(checks)
  local word = "holds"
  for _, check in ipairs(checks) do
    if check.name == "enough" then return "inconclusive" end
    if check.outcome == "violated" then return "violated" end
    if check.outcome == "inconclusive" then word = "inconclusive" end
  end
  return word
end

-- judge{of =, in_ =, unknown =, claims = {"lost", ...}, at_least = 1, within = seconds, connections =} ->
--   word, checks, seen: sources (rlab.verify.source), read anew until all holds or the time has passed
function M.judge(what)
  local seen, checks, word
  task.wait_until(function()
    if seen then forget(seen) end
    seen = read(what.of, what.in_, what.unknown, what.connections)
    checks = judged(seen, what)
    word = word_of(checks)
    return word == "holds"
  end, { at_most = what.within, every = "500ms" })
  return word, checks, seen
end

return M
