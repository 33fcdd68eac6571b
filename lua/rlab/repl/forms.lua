-- Other forms of rows than a grid: a block a row, CSV as RFC 4180 has it, JSON.
local json = require "rlab.json"
local null = require "rlab.null"
local show = require "rlab.repl.show"

local M = {}

-- Bytes that are no UTF-8 are written in hex, whole.
local function plain(value)
  if type(value) == "string" and not utf8.len(value) then
    return "0x" .. value:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  end
  return value
end

local function field(value)
  if value == nil or value == null then return "" end
  if type(value) == "table" and not (getmetatable(value) or {}).__tostring then value = json.encode(value) end
  local text = tostring(plain(value))
  if text == "" or text:find '[",\r\n]' or text:find "^%s" or text:find "%s$" then
    return '"' .. text:gsub('"', '""') .. '"'
  end
  return text
end

local function csv(rows, columns)
  local lines = {}
  local function put(text_of)
    local fields = {}
    for i, column in ipairs(columns) do fields[i] = field(text_of(column)) end
    lines[#lines + 1] = table.concat(fields, ",")
  end
  put(function(column) return column.name end)
  for _, row in ipairs(rows) do put(function(column) return row[column.key] end) end
  return table.concat(lines, "\n")
end

local function as_json(rows, columns)
  local list = json.array {}
  for i, row in ipairs(rows) do
    local object = {}
    for _, column in ipairs(columns) do object[column.name] = plain(row[column.key]) end
    list[i] = object
  end
  return json.encode(list, { pretty = true })
end

local forms = { csv = csv, json = as_json, vertical = show.blocks }

-- The columns with names of their own: of two "id" the second is id_2.
local function named(columns)
  local seen, list = {}, {}
  for i, column in ipairs(columns) do
    seen[column.name] = (seen[column.name] or 0) + 1
    local twin = seen[column.name] > 1
    list[i] = { name = twin and ("%s_%d"):format(column.name, seen[column.name]) or column.name,
      key = column.key }
  end
  return list
end

-- names() -> the forms there are, sorted
function M.names() return require("rlab.tables").sorted_keys(forms) end

-- written(form, rows) -> text; rows: a list of tables, such as sql and lag give
function M.written(form, rows) return forms[form](rows, named(show.columns(rows))) end

return M
