-- The rules of `promtool check metrics` (prometheus/client_golang, testutil/promlint), and those of the text
-- format 0.0.4 that a scrape depends on. What a metric of the type untyped is called is its own affair.
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local tools = require "rlab.stack.tools"

local M = {}

local NOT_BASE = { "nanoseconds?", "microseconds?", "milliseconds?", "minutes?", "hours?", "days?", "weeks?",
  "kelvins?", "fahrenheit", "kilobytes?", "kibibytes?", "megabytes?", "mebibytes?", "gigabytes?",
  "gibibytes?", "bits?", "percent", "millivolts?", "grams?", "kilograms?" }
local SHORT = { "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d" }
local TYPES = { "counter", "gauge", "histogram", "summary" }

local function has_word(name, word) return ("_" .. name .. "_"):find("_" .. word .. "_") ~= nil end

local function ends(name, ending) return name:sub(-#ending) == ending end

-- The rules that look at one family: f(family) -> what is wrong | nil
local rules = {
  function(f) if not f.help or f.help == "" then return "no help text" end end,
  function(f)
    if f.kind == "counter" and not ends(f.name, "_total") then
      return 'counters should have "_total" suffix'
    end
    if f.kind ~= "counter" and ends(f.name, "_total") then
      return 'non-counter metrics should not have "_total" suffix'
    end
  end,
  function(f)
    if f.kind == "histogram" or f.kind == "summary" then return end
    for _, ending in ipairs { "_count", "_sum" } do
      if ends(f.name, ending) then
        return ('non-histogram and non-summary metrics should not have "%s" suffix'):format(ending)
      end
    end
    if f.kind ~= "histogram" and ends(f.name, "_bucket") then
      return 'non-histogram metrics should not have "_bucket" suffix'
    end
    if f.labels.le then return 'non-histogram metrics should not have "le" label' end
    if f.labels.quantile then return 'non-summary metrics should not have "quantile" label' end
  end,
  function(f)
    for _, word in ipairs(TYPES) do
      if has_word(f.name, word) then return "metric name should not include type '" .. word .. "'" end
    end
  end,
  function(f)
    if f.name:find ":" then return "metric names should not contain ':'" end
    if f.name:find "%l%u" then return "metric names should be written in 'snake_case' not 'camelCase'" end
    for label in pairs(f.labels) do
      if label:find "%l%u" then return "label names should be written in 'snake_case' not 'camelCase'" end
    end
  end,
  function(f)
    for _, word in ipairs(SHORT) do
      if has_word(f.name, word) then return "metric names should not contain abbreviated units" end
    end
    for _, word in ipairs(NOT_BASE) do
      if has_word(f.name, word) then return "use base unit instead of " .. word end
    end
  end,
}

-- ---- reading ----

local function family(families, order, name)
  local f = families[name]
  if not f then
    f = { name = name, labels = {}, samples = 0 }
    families[name], order[#order + 1] = f, f
  end
  return f
end

local function family_of(families, order, name)
  for _, ending in ipairs { "_bucket", "_sum", "_count" } do
    local short = ends(name, ending) and families[name:sub(1, -#ending - 1)]
    if short and (short.kind == "histogram" or short.kind == "summary") then return short end
  end
  return family(families, order, name)
end

-- Where the value that begins at `from` ends: at a quotation mark that is not escaped.
local function end_of(text, from)
  while true do
    local at = text:find('["\\]', from)
    if not at or text:sub(at, at) == '"' then return at end
    from = at + 2
  end
end

local function labels_of(text, wrong)
  local labels, at = {}, 1
  while at <= #text do
    local name, from = text:match('^([%a_][%w_]*)="()', at)
    local stop = name and end_of(text, from)
    if not stop then return labels, wrong("labels that cannot be read: " .. text:sub(at)) end
    if labels[name] then wrong("the label " .. name .. " is there twice") end
    labels[name] = true
    at = text:match("^,?()", stop + 1)
  end
  return labels
end

-- parse(text) -> list of families {name, kind, help, labels = set, samples}, list of what is wrong
function M.parse(text)
  local families, order, problems, seen, last = {}, {}, {}, {}, nil
  for line in text:gmatch "([^\n]*)\n" do
    local function wrong(what) problems[#problems + 1] = line:sub(1, 120) .. ": " .. what end
    local comment, name, rest = line:match "^# (%u+) ([%w_:]+) (.*)$"
    if comment == "HELP" then
      family(families, order, name).help = rest
    elseif comment == "TYPE" then
      local f = family(families, order, name)
      if f.kind or f.samples > 0 then wrong "a second TYPE, or one behind samples" end
      f.kind = rest
    elseif line ~= "" then
      local metric, inner, value = line:match "^([%a_:][%w_:]*)({.*}) (%S+)$"
      if not metric then metric, value = line:match "^([%a_:][%w_:]*) (%S+)$" end
      if not metric or not (tonumber(value) or value:find "^[+-]?Inf$" or value == "NaN") then
        wrong "no sample"
      else
        local f = family_of(families, order, metric)
        if last ~= f and f.samples > 0 then wrong "its family does not stand together" end
        f.samples, last = f.samples + 1, f
        local key = metric .. (inner or "")
        if seen[key] then wrong "a second sample of the same labels" end
        seen[key] = true
        for label in pairs(labels_of(inner and inner:sub(2, -2) or "", wrong)) do
          local own = label == "le" and f.kind == "histogram" or label == "quantile" and f.kind == "summary"
          if not own then f.labels[label] = true end
        end
      end
    end
  end
  if text ~= "" and text:sub(-1) ~= "\n" then problems[#problems + 1] = "the last line does not end" end
  return order, problems
end

-- promtool(text) -> what `promtool check metrics` says of it, "" when all is well; nil where none is here
--   (make observe fetches it)
function M.promtool(text)
  local tool = layout.cache() .. "/prometheus/bin/promtool"
  if not fs.exists(tool) then return nil end
  local path = os.tmpname()
  assert(fs.write(path, text))
  local said, status = tools.output({ "sh", "-c", '"$0" check metrics <"$1" 2>&1', tool, path }, "60s")
  os.remove(path)
  return status and status.code == 0 and said or ("%s (%s)"):format(said, status and status.code)
end

-- problems(text) -> list of "name: what is wrong", empty when all is well
function M.problems(text)
  local families, problems = M.parse(text)
  for _, f in ipairs(families) do
    for i, rule in ipairs(rules) do
      local what = (f.kind ~= "untyped" or i == 1) and rule(f)
      if what then problems[#problems + 1] = f.name .. ": " .. what end
    end
  end
  return problems
end

return M
