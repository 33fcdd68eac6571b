-- Checks over a history of sends and polls: one of Jepsen's classes each (rlab.check.history finds them).
local core = require "rlab.check.core"
local history = require "rlab.check.history"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}
local SHOWN = 8

local function partition_of(key)
  return key and math.tointeger(tonumber(key:match "%d+$"))
end

local function ids_of(cases)
  local ids, seen = {}, {}
  for _, one in ipairs(cases) do
    if not seen[one.id] then ids[#ids + 1] = one.id end
    seen[one.id] = true
  end
  return ids
end

local function shown(cases)
  local list = {}
  for i = 1, math.min(#cases, SHOWN) do
    local one = cases[i]
    list[i] = { id = one.id, key = one.key, partition = partition_of(one.key), offset = one.offset,
      note = one.note }
  end
  return list
end

local function known_class(class)
  if tables.contains(history.classes, class) then return class end
  error(("check.kafka: no class '%s'%s"):format(tostring(class),
    options.hint(class, history.classes, "; ")))
end

-- The cases that are to be expected under the settings, with the reason of the first, and the others.
local function sorted_out(class, cases, settings)
  local normal, others, why = {}, {}, nil
  for _, one in ipairs(cases) do
    local reason = history.normal(class, settings, one)
    table.insert(reason and normal or others, one)
    why = why or reason
  end
  return normal, others, why
end

local function sentence_of(class, normal, others, why)
  local words = {}
  if #others > 0 then words[1] = ("%s of %s"):format(core.plural(#others, "case"), class) end
  if #normal > 0 then
    words[#words + 1] = ("%s of %s, normal here: %s"):format(core.plural(#normal, "case"), class, why)
  end
  return words[1] and table.concat(words, "; ") or "no " .. class
end

-- kafka{history = operations, class = "lost-write", settings = {...}, complete = true, name =}: no case of
-- the class. One that is normal under the settings is told and violates nothing; `complete` says that the
-- history's readers have read every partition to its end. A history without what the class speaks of (an
-- acknowledged send, a record that was polled) says nothing.
function M.kafka(lab, a)
  local class, settings = known_class(a.class), history.settings(a.settings)
  local name, found = a.name or class, history.read(a.history)
  local silent = history.silent(class, found)
  if silent then return core.inconclusive(lab, name, "%s", silent) end
  local cases = history.cases(class, found, a)
  local normal, others, why = sorted_out(class, cases, settings)
  local told = #others > 0 and others or normal
  return core.add(lab, name, {
    outcome = #others == 0 and "holds" or "violated", ids = ids_of(told), counterexamples = shown(told),
    more = math.max(0, #told - SHOWN), value = #cases,
    sentence = sentence_of(class, normal, others, why),
  })
end

return M
