-- report.write(dir): reads what a run left in dir (result.json, samples.jsonl, history.jsonl) and writes
-- report.html, one file that needs no network. report.render(result, samples, history) is the same without
-- files.
local fs = require "rlab.fs"
local json = require "rlab.json"
local compare = require "rlab.report.compare"
local held = require "rlab.report.held"
local html = require "rlab.report.html"
local page = require "rlab.report.page"
local proofs = require "rlab.report.proofs"

local report = {}

local SOURCE = debug.getinfo(1, "S").source

-- An asset is embedded in the program; in a checkout it lies beside this file.
function report.asset(name)
  local ok, host = pcall(require, "rlab.core_host")
  local text = ok and host.embedded("lua/rlab/report/assets/" .. name)
  if text then return text end
  local folder = SOURCE:match("^@(.*)init%.lua$")
  local f = assert(io.open((folder or "") .. "assets/" .. name, "rb"))
  text = f:read("a")
  f:close()
  return text
end

-- JSON's null has no place in a report: a field that is null is a field that is not there.
local function without_null(v)
  if v == json.null or type(v) == "userdata" then return nil end
  if type(v) ~= "table" then return v end
  local out = {}
  for key, item in pairs(v) do out[key] = without_null(item) end
  return out
end

-- Lines of JSON. A last line that was cut off by a crash is left out; a bad one in the middle is an error.
local function json_lines(text, name)
  local out, n, bad = {}, 0, nil
  for line in text:gmatch("[^\n]+") do
    n = n + 1
    if bad then return nil, bad end
    local ok, v, err = pcall(json.decode, line)
    if ok and v ~= nil and v ~= json.null then
      out[#out + 1] = without_null(v)
    else
      bad = ("%s, line %d: %s"):format(name, n, tostring(ok and err or v))
    end
  end
  return out
end

local function read_lines(dir, name)
  if not fs.exists(dir .. "/" .. name) then return {} end
  local text, err = fs.read(dir .. "/" .. name)
  if not text then return nil, err end
  return json_lines(text, name)
end

-- load(dir) -> {result=, samples=, history=} | nil, err
function report.load(dir)
  local text, err = fs.read(dir .. "/result.json")
  if not text then return nil, err end
  local ok, result, why = pcall(json.decode, text)
  if not ok or type(result) ~= "table" then
    return nil, dir .. "/result.json: " .. tostring(ok and why or result)
  end
  local data = { result = without_null(result) }
  data.samples, err = read_lines(dir, "samples.jsonl")
  if not data.samples then return nil, err end
  data.history, err = read_lines(dir, "history.jsonl")
  if not data.history then return nil, err end
  return data
end

local SHELL = [[
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="generator" content="rlab">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>{title}</title><style>{!css}</style></head>
<body><main>
{!body}</main>{!foot}<script>{!js}</script></body></html>
]]

-- shell{title=, body=, foot=, js=}: the frame that report.html and index.html share.
function report.shell(parts)
  return html.fill(SHELL, { title = parts.title, body = parts.body, foot = parts.foot, js = parts.js,
    css = report.asset "palette.css" .. report.asset "report.css" })
end

function report.render(result, samples, history)
  result = require("rlab.report.shape").sound(result)
  local timeline = require "rlab.report.timeline"
  local moment = require "rlab.report.moment"
  local checks = require "rlab.report.checks"
  local function drawn(value) return json.encode(value, { gaps = true }) end
  local body = { page.head(result), timeline.render(result, samples or {}, drawn),
    moment.render(result.moment), held.render(result),
    checks.render(result), compare.tables(result), compare.measured(result), page.why(result),
    proofs.render(result),
    page.settings(result),
    page.reproduce(result, history or {}) }
  local run = result.run or {}
  return report.shell {
    title = ("%s %s: %s"):format(result.id or "", result.title or "", result.sentence or ""),
    body = table.concat(body),
    foot = html.fill("<footer>{name} · rlab {rlab}</footer>", run), js = report.asset "report.js",
  }
end

-- write(dir) -> path of report.html | nil, err
function report.write(dir)
  local data, err = report.load(dir)
  if not data then return nil, err end
  local path = dir .. "/report.html"
  local ok
  ok, err = fs.write(path, report.render(data.result, data.samples, data.history))
  if not ok then return nil, err end
  return path
end

return report
