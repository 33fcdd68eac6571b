-- The MySQL server under test: RLAB_TEST_MYSQL is "host:port user password". A spec whose server is missing
-- fails.
local mysql = require "rlab.mysql"

local host, port, user, password =
  assert(os.getenv "RLAB_TEST_MYSQL", "RLAB_TEST_MYSQL is not set"):match "^(%S+):(%d+) (%S+) ?(%S*)$"
assert(host, "RLAB_TEST_MYSQL is not \"host:port user password\"")

local M = { host = host, port = math.tointeger(tonumber(port)), user = user, password = password,
  database = "rlab_spec" }

function M.options(options)
  local all = { host = host, port = M.port, user = user, password = password, database = M.database }
  for key, value in pairs(options or {}) do all[key] = value end
  if all.database == "" then all.database = nil end
  return all
end

function M.connect(options)
  return assert(mysql.connect(M.options(options)))
end

function M.ok(value, failure)
  if failure ~= nil then error(failure, 2) end
  return value
end

-- create(): an empty database for the spec; drop() removes it
function M.create()
  local db <close> = M.connect { database = "" }
  M.ok(db:exec("DROP DATABASE IF EXISTS " .. M.database))
  M.ok(db:exec("CREATE DATABASE " .. M.database))
end

function M.drop()
  local db <close> = M.connect { database = "" }
  M.ok(db:exec("DROP DATABASE " .. M.database))
end

return M
