-- Checks over a history of sends and polls: one of Jepsen's classes each (rlab.check.history finds them).
local core = require "rlab.check.core"
local history = require "rlab.check.history"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}
local SHOWN = 8

local found_in = setmetatable({}, { __mode = "k" }) -- one look at a history serves all its checks

local function find(a)
  local known = found_in[a.history]
  if not known or known.complete ~= a.complete then
    known = { complete = a.complete, classes = history.find(a.history, { complete = a.complete }) }
    found_in[a.history] = known
  end
  return known.classes
end

local function partition_of(key)
  return math.tointeger(tonumber(tostring(key):match "%d+$"))
end

local function ids_of(cases)
  local ids, seen = {}, {}
  for _, one in ipairs(cases) do
    if not seen[one.id] then ids[#ids + 1] = one.id end
    seen[one.id] = true
  end
  return ids
end

local function known_class(class)
  if tables.contains(history.classes, class) then return end
  error(("check.kafka: no class '%s'%s"):format(tostring(class), options.hint(class, history.classes)), 3)
end

-- kafka{history = operations, class = "lost-write", settings = {...}, complete = true, name =}: no case of
-- the class. One that is normal under the settings is told and violates nothing; `complete` says that the
-- history's readers have read every partition to its end.
function M.kafka(lab, a)
  known_class(a.class)
  local cases = find(a)[a.class]
  local ids, shown = ids_of(cases), {}
  for i = 1, math.min(#cases, SHOWN) do
    local one = cases[i]
    shown[i] = { id = one.id, key = tostring(one.key), partition = partition_of(one.key),
      offset = one.offset, note = one.note }
  end
  local why = #cases > 0 and history.normal(a.class, a.settings)
  local sentence = #cases == 0 and "no " .. a.class
    or ("%s of %s"):format(core.plural(#cases, "case"), a.class)
  return core.add(lab, a.name or a.class, {
    outcome = (#cases == 0 or why) and "holds" or "violated", ids = ids, counterexamples = shown,
    more = math.max(0, #cases - SHOWN),
    value = #cases, sentence = why and ("%s, normal here: %s"):format(sentence, why) or sentence,
  })
end

return M
