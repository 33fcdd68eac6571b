-- Services whose servers are not there: they start, say so in their health, and answer what needs none.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local tables = require "rlab.tables"

local M = {}

local AWAY = { "--port", "0", "--mysql", "mysql://a:b@127.0.0.1:1/c", "--redis", "redis://127.0.0.1:1/0",
  "--brokers", "127.0.0.1:1", "--failpoints", "--drain-timeout", "1s" }

-- What each needs besides.
M.words = { command = {}, relay = {}, consumer = {}, query = {}, exporter = {}, replay = { "--topic", "t" } }

-- run(words[, armed[, env]]) -> process of `rlab WORDS`, with RLAB_FAILPOINTS
function M.run(words, armed, env)
  return assert(process.spawn { cmd = tables.append({ fs.self_exe() }, words), stdout = "capture",
    stderr = "stdout", env = tables.merged({ RLAB_FAILPOINTS = armed or "" }, env) })
end

-- service(name[, words[, armed[, env]]]) -> process of a service
function M.service(name, words, armed, env)
  local all = tables.append({ "service", name }, M.words[name])
  return M.run(tables.append(tables.append(all, words or {}), AWAY), armed, env)
end

-- ready(process) -> its URL
function M.ready(p)
  for line in p:lines() do
    local said = json.decode(line)
    if said and said.say == "ready" then return "http://127.0.0.1:" .. said.port end
  end
  error("it did not start: " .. p:output())
end

return M
