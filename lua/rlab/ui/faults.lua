-- The faults that are armed on the stack: the rules of its proxy, and the failpoints of one service by its
-- port. The words are the prompt's (rlab.repl.words.faults).
local err = require "rlab.err"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

local Faults = {}
Faults.__index = Faults

-- new(clients) -> faults; clients: rlab.repl.clients
function M.new(clients)
  local words = {}
  require "rlab.repl.words.faults"({ clients = clients }, words)
  return setmetatable({ words = words }, Faults)
end

local RULE = { "id", "proto", "action", "on", "matched", "fired", "held", "owner" }
local PROXY = { "name", "proto", "listen", "upstream", "state", "open", "toxic_names" }
local POINT = { "name", "expr", "hits", "fired", "help" }

local function only(fields, rows)
  local list = json.array {}
  for i, row in ipairs(rows) do
    list[i] = {}
    for _, name in ipairs(fields) do list[i][name] = row[name] end
  end
  return list
end

-- faults:proxy() -> {rules, proxies}
function Faults:proxy()
  return { rules = only(RULE, must(self.words.rules())), proxies = only(PROXY, must(self.words.proxies())) }
end

-- faults:unrule(id): the rule is gone, and what it held goes on
function Faults:unrule(id)
  must(self.words.unrule(id))
  return { removed = id }
end

-- A port of this machine and nothing else: the console asks no other machine in a page's name.
local function port_of(port)
  if math.type(port) == "integer" and port >= 1 and port <= 65535 then return port end
  error(err.new { domain = "rlab", code = 0, name = "USAGE",
    message = "a service is said by its port, 1 to 65535" }, 0)
end

-- faults:points(port) -> {points}
function Faults:points(port)
  return { points = only(POINT, must(self.words.failpoints(port_of(port)))) }
end

-- faults:arm(port, name, expr) -> {points} with that one; expr "off" disarms it
function Faults:arm(port, name, expr)
  local ok, rows, failure = pcall(self.words.failpoint, port_of(port), name, expr)
  if not ok then
    if err.is(rows) then error(rows, 0) end
    error(err.new { domain = "rlab", code = 0, name = "USAGE",
      message = (tostring(rows):gsub("^[^:]+:%d+: ", "")) }, 0)
  end
  return { points = only(POINT, must(rows, failure)) }
end

return M
