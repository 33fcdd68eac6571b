-- A MySQL schema of a measurement's own, with the tables of the given migrations, and what its server costs.
local clock = require "rlab.clock"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"

local M = {}

local TICKS = 100 -- of the processor clock, a second

local function migrate(db, files)
  for _, name in ipairs(files) do
    local file <close> = assert(io.open("migrations/" .. name))
    for statement in file:read("a"):gsub("%-%-[^\n]*", ""):gmatch "[^;]+" do
      if statement:find "%S" then must(db:exec(statement)) end
    end
  end
end

-- open({host=, port=, user=, password=}, files) -> {db=, at=, schema=}
function M.open(at, files)
  local db = must(mysql.connect { host = at.host, port = at.port, user = at.user, password = at.password })
  local name = ("rlab_bench_%x"):format(clock.ns())
  must(db:exec("CREATE DATABASE " .. name))
  must(db:exec("USE " .. name))
  migrate(db, files)
  return { db = db, at = at, schema = name }
end

function M.drop(store)
  must(store.db:exec("DROP DATABASE " .. store.schema))
  store.db:close()
end

-- server_cpu(at) -> seconds of processor time that the server has used so far; 0 where it runs elsewhere
function M.server_cpu(at)
  local file = io.open(("/proc/%d/stat"):format(process.port_owner(at.port) or 0))
  if not file then return 0 end
  local user, system = file:read("a"):match "^.*%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
  file:close()
  return (tonumber(user) + tonumber(system)) / TICKS
end

return M
