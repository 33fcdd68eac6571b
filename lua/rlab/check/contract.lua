-- What each check takes, and what it must have seen to be able to speak. One home: rlab.check calls every
-- check through here, live and when `rlab check` judges stored evidence.
-- A mistake of the script (an argument that is missing, misspelt or of the wrong type, a list with a hole, a
-- row without the column that is compared) raises: such a check would compare nothing and hold.
-- A list that is empty or shorter than `at_least`, a number that nobody measured, or a control that saw
-- nothing, is no mistake but says nothing: the check is inconclusive.
-- Every check takes `control`: how much its instrument saw, a number or { what =, seen = number }. It is the
-- positive control of a check whose sides may be empty, or whose number may be zero.
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local function fail(name, fmt, ...)
  error(("check.%s: %s"):format(name, fmt:format(...)), 0)
end

-- ---- types ----

local function is_bag(value) return type(value) == "userdata" end

-- A list has its entries at 1, 2, 3 ...: one that has more entries than that has a hole.
local function has_hole(value)
  local n, highest = 0, 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 then return true end
    n, highest = n + 1, math.max(highest, key)
  end
  return n ~= highest
end

local function check_list(name, key, value)
  if type(value) ~= "table" then fail(name, "'%s' is a list, this is a %s", key, type(value)) end
  if has_hole(value) then fail(name, "'%s' is no list without holes", key) end
end

local function has_id(entry)
  if type(entry) == "table" then entry = entry.id end
  return type(entry) == "string" or math.type(entry) == "integer"
end

local types = {}

function types.ids(name, key, value)
  if is_bag(value) then return end
  check_list(name, key, value)
  for i, entry in ipairs(value) do
    if not has_id(entry) then
      fail(name, "'%s' has no id at %d: a text, an integer, or a row with one", key, i)
    end
  end
end

function types.rows(name, key, value, columns)
  if is_bag(value) then return end
  check_list(name, key, value)
  for i, row in ipairs(value) do
    if type(row) ~= "table" then
      fail(name, "'%s' is a list of rows with %s, at %d is a %s", key, table.concat(columns, ", "), i,
        type(row))
    end
    for _, column in ipairs(columns) do
      if row[column] == nil or type(row[column]) == "userdata" then
        fail(name, "'%s' has no %s in row %d", key, column, i)
      end
    end
  end
end

types.list = check_list

function types.details(name, key, value)
  if not is_bag(value) then check_list(name, key, value) end
end

function types.plain(name, key, value)
  local kind = type(value)
  if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
    fail(name, "'%s' is a number, a text, or true or false, this is a %s", key, kind)
  end
end

-- A table, a number, a text, true or false, a function: words for Lua's own.
for kind, words in pairs { table = "a table", number = "a number", string = "a text",
  boolean = "true or false", ["function"] = "a function" } do
  types[kind] = function(name, key, value)
    if type(value) ~= kind then fail(name, "'%s' is %s, this is a %s", key, words, type(value)) end
  end
end

local CONTROL = { "what", "seen" }

function types.control(name, _, value)
  if type(value) == "number" then return end
  types.table(name, "control", value)
  for key in pairs(value) do
    if not tables.contains(CONTROL, key) then
      fail(name, "a control is a number, or { what =, seen = }; it has no '%s'", tostring(key))
    end
  end
  types.string(name, "control.what", value.what)
  types.number(name, "control.seen", value.seen)
end

-- ---- declarations ----

-- "ids", "ids?" (may be left out), "rows:key,version?" -> { kind, columns, optional }
local function parse_type(text)
  local kind, columns, optional = text:match "^(%l+):?([%w_,]*)(%??)$"
  local list = {}
  for column in columns:gmatch "[^,]+" do list[#list + 1] = column end
  return { kind = kind, columns = list, optional = optional == "?" }
end

-- declare{ takes = { of = "ids", ... }, speaks = { "of", "in_" }, measures = { "value" }, named = } ->
--   contract. speaks: the lists that may not be empty, the first of them not shorter than `at_least`;
--   measures: what the world says, and may not have said; named: the name without `name`.
function M.declare(contract)
  local speaks, args = contract.speaks or {}, {}
  for key, text in pairs(contract.takes) do args[key] = parse_type(text) end
  args.control = args.control or parse_type "control?"
  args.name = args.name or parse_type "string?"
  if speaks[1] then args.at_least = args.at_least or parse_type "number?" end
  return { args = args, names = tables.sorted_keys(args), speaks = speaks, named = contract.named,
    measures = contract.measures or {} }
end

local function check_names(name, contract, a)
  if type(a) ~= "table" then
    fail(name, "takes a table: lab.check.%s { %s = ... }", name, contract.names[1])
  end
  for key in pairs(a) do
    if not contract.args[key] then
      fail(name, "unknown argument '%s'; %s", tostring(key), options.advice(key, contract.names))
    end
  end
end

-- check(name, contract, a): raises what is wrong with the arguments
function M.check(name, contract, a)
  check_names(name, contract, a)
  for _, key in ipairs(contract.names) do
    local arg, value = contract.args[key], a[key]
    if value == nil and not arg.optional then fail(name, "'%s' is missing", key) end
    if value ~= nil then types[arg.kind](name, key, value, arg.columns) end
  end
end

-- agree(rows): raises what is wrong with the rows of check.agree
function M.agree(rows)
  check_list("agree", "rows", rows)
  if #rows == 0 then fail("agree", "needs rows { name, got, want, what }") end
  for i, row in ipairs(rows) do
    types.table("agree", "row " .. i, row)
    for key in pairs(row) do
      if key ~= "control" and not (math.type(key) == "integer" and key >= 1 and key <= 4) then
        fail("agree", "a row is { name, got, want, what, control = }; row %d has '%s'", i, tostring(key))
      end
    end
  end
end

-- ---- what was seen ----

-- Why a control shows nothing | nil when it does.
local function idle(control)
  local seen = type(control) == "table" and control.seen or control
  if seen > 0 then return nil end
  return type(control) == "table" and ("its control, %s, saw %s"):format(control.what, seen)
    or "its control saw nothing"
end

local function unmeasured(contract, a)
  for _, key in ipairs(contract.measures) do
    if a[key] == nil or a[key] ~= a[key] then
      return (a.what and a.what:gsub("^is ", "") or ("'%s'"):format(key)) .. " was not measured"
    end
  end
end

local function too_short(contract, a)
  for i, key in ipairs(contract.speaks) do
    local floor, n = i == 1 and a.at_least or nil, a[key] and #a[key]
    local word = key:gsub("_$", "")
    if n and floor and n < floor then
      return ("'%s' has %d of the %s that must be there"):format(word, n, floor)
    end
    if n == 0 and not a.control then
      return ("'%s' is empty, and no control shows that its reader works"):format(word)
    end
  end
end

-- silent(contract, a) -> nil when the check may speak, else why it cannot
function M.silent(contract, a)
  return unmeasured(contract, a) or a.control and idle(a.control) or too_short(contract, a)
end

return M
