-- How a value looks: lists of records as grids, tables pretty and bounded, and bytes, NULL, the empty
-- string and a tombstone told apart.
local characters = require "rlab.text"
local clock = require "rlab.clock"
local err = require "rlab.err"
local null = require "rlab.null"
local tables = require "rlab.tables"
local term = require "rlab.term"

local M = {}

local LOOKED_AT, MAX_ITEMS, MAX_DEPTH, MAX_TEXT, MAX_HEX = 50, 20, 4, 2000, 16

M.most_rows = 50 -- that are shown of a result

-- well-known fields come first, in this order; the rest follows by name
local ORDER = {}
for i, name in ipairs { "id", "name", "host", "port", "group", "topic", "partition", "partitions", "offset",
  "low", "lso", "hw", "leo",
  "committed", "end", "lag", "leader", "epoch", "replicas", "isr", "state", "timestamp", "time", "key",
  "value", "headers" } do
  ORDER[name] = i
end

local function field_before(a, b)
  local x, y = ORDER[a] or 1000, ORDER[b] or 1000
  if x ~= y then return x < y end
  return tostring(a) < tostring(b)
end

-- UTF-8 with at most a control character in eight bytes, which is shown as an escape.
local function is_text(s)
  return utf8.len(s) and 8 * select(2, s:gsub("[\0-\8\11\12\14-\31\127]", "")) <= #s
end

local function hex(s)
  local out = s:sub(1, MAX_HEX):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("0x%s%s (%d bytes)"):format(out, #s > MAX_HEX and term.symbol "ellipsis" or "", #s)
end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function cut(s, limit)
  if #s <= limit then return s end
  local at = utf8.offset(s, 0, limit + 1)
  return s:sub(1, (at or limit + 1) - 1)
end

local function quoted(s, limit)
  if not is_text(s) then return hex(s) end
  limit = limit or MAX_TEXT
  local tail = ""
  if #s > limit then
    s = cut(s, limit)
    tail = term.colour("dim", (" +more of %d bytes"):format(#s))
  end
  return '"' .. characters.visible((s:gsub('[\n\r\t"\\]', escapes))) .. '"' .. tail
end

local function number(n)
  if math.type(n) == "integer" then return tostring(n) end
  if n ~= n then return "nan" end
  if n == math.huge or n == -math.huge then return n > 0 and "inf" or "-inf" end
  return (("%.14g"):format(n))
end

local function dim(text)
  return term.colour("dim", text)
end

-- a cell of a grid: text as it is, everything that could be mistaken for text marked
local function cell(value)
  local kind = type(value)
  if value == nil then return "" end
  if value == null then return dim "null" end
  if kind == "string" then
    if value == "" then return '""' end
    if not is_text(value) then return hex(value) end
    return characters.visible(cut(value, 400))
  end
  if kind == "number" then return number(value) end
  if kind == "table" and not getmetatable(value) then return M.line(value, 60) end
  return characters.visible((tostring(value):gsub("[\n\r\t]", " ")))
end
M.cell = cell

local function has_fields(row)
  return type(row) == "table" and not err.is(row) and not (getmetatable(row) or {}).__tostring and #row == 0
    and next(row) ~= nil
end

local function is_records(t)
  if #t == 0 then return false end
  for i = 1, math.min(#t, LOOKED_AT) do
    if not has_fields(t[i]) then return false end
  end
  return true
end

local function names_of(rows)
  local seen, names = {}, {}
  for i = 1, math.min(#rows, LOOKED_AT) do
    for name in pairs(rows[i]) do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names, field_before)
  return names
end

-- The columns of what MySQL sent: by name, or by position where a name is there more than once.
local function columns_sent(names)
  local seen, twins, columns = {}, false, {}
  for i, name in ipairs(names) do
    twins, seen[name] = twins or seen[name] ~= nil, true
    columns[i] = { name = name, key = name }
  end
  for i in ipairs(twins and columns or {}) do columns[i].key = i end
  return columns
end

--- columns(rows) -> {{name =, key =}, ...}: as MySQL sent them, or all fields that the rows have
function M.columns(rows)
  if rows.columns then return columns_sent(rows.columns) end
  local columns = {}
  for i, name in ipairs(names_of(rows)) do columns[i] = { name = tostring(name), key = name } end
  return columns
end

--- blocks(rows, columns[, most]) -> each row as a block, a line a column
function M.blocks(rows, columns, most)
  local lines, width = {}, 0
  if #rows == 0 then return dim "(no rows)" end
  for _, column in ipairs(columns) do width = math.max(width, term.display_width(column.name)) end
  for i = 1, math.min(#rows, most or #rows) do
    lines[#lines + 1] = dim(("row %d"):format(i))
    for _, column in ipairs(columns) do
      lines[#lines + 1] = ("  %s  %s"):format(term.pad(column.name, width),
        (column.format or cell)(rows[i][column.key]))
    end
  end
  if most and #rows > most then lines[#lines + 1] = dim(("+%d more"):format(#rows - most)) end
  return table.concat(lines, "\n")
end

-- Columns as term.grid has them, from names or descriptions.
local function described_of(columns)
  local described = {}
  for i, c in ipairs(columns) do
    if type(c) ~= "table" then c = { name = tostring(c), key = c } end
    described[i] = tables.merged({ format = cell, max = 60, key = c.name }, c)
  end
  return described
end

--- rows (records) as a grid; `columns` as for term.grid, or nil for all fields. On a terminal that is too
--- narrow for more than one column of it, a block a row.
function M.grid(rows, columns, opts)
  opts = opts or {}
  if #rows == 0 then return dim "(no rows)" end
  local described = described_of(columns or M.columns(rows))
  local how = { max_rows = opts.max_rows or M.most_rows, width = opts.width, indent = opts.indent }
  if not opts.always and term.is_tty() and not term.grid_fits(described, rows, how) then
    return M.blocks(rows, described, how.max_rows)
  end
  return term.grid(described, rows, how)
end

-- One grid for each set of rows that a statement brought.
local function sets_text(rows)
  local texts = { M.grid(rows) }
  for _, set in ipairs(rows.more or {}) do texts[#texts + 1] = M.grid(set) end
  return table.concat(texts, "\n\n")
end

--- what MySQL sent, of one result set or several: tostring draws it, its rows stay readable for scripts
function M.answer(rows)
  return setmetatable(rows, { __tostring = sets_text, __name = "listing" })
end

local function key_text(k)
  if type(k) == "string" and k:match "^[%a_][%w_]*$" then return k end
  return "[" .. (type(k) == "string" and quoted(k, 60) or tostring(k)) .. "]"
end

local pretty

local function sorted_keys(t)
  local n, keys = #t, {}
  for k in pairs(t) do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then keys[#keys + 1] = k end
  end
  table.sort(keys, field_before)
  return keys, n
end

local function items_of(t, depth, seen)
  local keys, n = sorted_keys(t)
  local items, total = {}, n + #keys
  for i = 1, math.min(n, MAX_ITEMS) do items[#items + 1] = pretty(t[i], depth + 1, seen) end
  for _, k in ipairs(keys) do
    if #items >= MAX_ITEMS then break end
    items[#items + 1] = key_text(k) .. " = " .. pretty(t[k], depth + 1, seen)
  end
  if total > #items then items[#items + 1] = dim(("+%d more"):format(total - #items)) end
  return items
end

local function pretty_table(t, depth, seen)
  if next(t) == nil then return "{}" end
  if seen[t] then return dim "(seen above)" end
  if depth >= MAX_DEPTH then return dim(#t > 0 and ("{%d items}"):format(#t) or "{...}") end
  seen[t] = true
  local items = items_of(t, depth, seen)
  seen[t] = nil
  local flat = "{ " .. table.concat(items, ", ") .. " }"
  if not flat:find "\n" and term.display_width(flat) + depth * 2 <= math.min(term.width(), 100) - 4 then
    return flat
  end
  local pad = ("  "):rep(depth + 1)
  return "{\n" .. pad .. table.concat(items, ",\n" .. pad) .. "\n" .. ("  "):rep(depth) .. "}"
end

function pretty(value, depth, seen)
  local kind = type(value)
  if value == null then return "null" end
  if kind == "string" then return quoted(value, depth > 0 and 200 or nil) end
  if kind == "number" then return number(value) end
  if kind == "table" and not (getmetatable(value) or {}).__tostring then
    return pretty_table(value, depth, seen)
  end
  return tostring(value)
end

--- one line, at most `width` columns
function M.line(value, width)
  return term.fit((pretty(value, 0, {}):gsub("%s*\n%s*", " ")), width or term.width())
end

local function rows_of_batch(batch)
  local rows = {}
  for i = 1, math.min(#batch, M.most_rows + 1) do rows[i] = batch[i] end
  return rows
end

--- Kafka records as a grid: a tombstone is not an empty string
function M.records(list, opts)
  local total = #list
  if total == 0 then return dim "(no records)" end
  local rows = {}
  for i = 1, math.min(total, opts and opts.max_rows or M.most_rows) do
    local r = list[i]
    local key, value = r.key, r.value
    rows[i] = {
      partition = r.partition, offset = r.offset, timestamp = r.timestamp, topic = r.topic,
      headers = r.headers,
      key = key == nil and null or key,
      value = (value == nil or value == null) and term.colour("wrong", "tombstone") or cell(value),
    }
  end
  local columns = { "partition", "offset", { name = "time", key = "timestamp", format = M.time },
    { name = "key", key = "key" },
    { name = "value", key = "value", format = tostring } }
  local text = M.grid(rows, columns, { max_rows = #rows, indent = opts and opts.indent, always = true })
  if total > #rows then text = text .. "\n" .. dim(("+%d more"):format(total - #rows)) end
  return text
end

--- milliseconds since 1970 as a time that seek takes; "" for a record without one (-1)
function M.time(ms)
  return math.type(ms) == "integer" and ms >= 0 and clock.iso(ms) or ""
end

local function is_record(value)
  local meta = getmetatable(value)
  local name = type(meta) == "table" and meta.__name or ""
  return type(name) == "string" and name:find "record" ~= nil
end

local function name_of(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and type(meta.__name) == "string" and meta.__name or ""
end

--- the text that the prompt shows for a value
function M.value(value)
  if err.is(value) then return term.colour("wrong", characters.visible(tostring(value), true)) end
  if name_of(value):find "batch" then return M.records(rows_of_batch(value)) end
  if is_record(value) and type(value) == "userdata" then return M.records { value } end
  if type(value) == "table" then
    local meta = getmetatable(value)
    if meta and meta.__tostring then return tostring(value) end
    if value.columns then return sets_text(value) end
    if is_records(value) then return M.grid(value) end
  end
  return pretty(value, 0, {})
end

--- a module of Lua that can be called, too: what is not in it is f's
function M.callable(module, f)
  return setmetatable({}, {
    __index = function(_, key)
      local ok, found = pcall(require, module)
      return ok and found[key] or nil
    end,
    __call = function(_, ...) return f(...) end,
    __name = module,
    __tostring = function() return module .. " (call it, or use its functions)" end,
  })
end

--- a list with a known form: tostring draws it as a grid, its rows stay readable for scripts
function M.listing(rows, columns, opts)
  return setmetatable(rows, {
    __tostring = function(self) return M.grid(self, columns, opts) end,
    __name = "listing",
  })
end

--- all results of a line
-- Drawing asks the value's own metamethods, and these may fail.
local function drawn(value)
  local ok, text = pcall(M.value, value)
  return ok and text or term.colour("wrong", "this value cannot be shown: " .. tostring(text))
end

function M.results(results)
  local texts, n = {}, results.n
  while n > 1 and results[n] == nil do n = n - 1 end -- "value, no error" is a value
  for i = 1, n do texts[i] = drawn(results[i]) end
  local joined = table.concat(texts, "  ")
  return joined:find "\n" and table.concat(texts, "\n") or joined
end

return M
