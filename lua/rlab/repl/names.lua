-- The names that live in the stores, for completion: a background task asks for them after each command,
-- Tab reads what it found.
local clients = require "rlab.repl.clients"
local task = require "rlab.task"

local M = {}
M.__index = M

local MAX_KEYS, PATIENCE = 2000, "3s"

local function point_names()
  local names = {}
  for i, point in ipairs(require("rlab.failpoint.points").list()) do names[i] = point.name end
  return names
end

function M.new()
  return setmetatable({ clients = clients.new(), topics = {}, groups = {}, tables = {}, keys = {},
    services = require("rlab.service").names(),
    points = point_names() }, M)
end

local function sorted(list)
  table.sort(list)
  return list
end

local function ask_kafka(self)
  local admin = self.clients:open "admin"
  if not admin then return end
  local topics = admin:topics()
  if topics then self.topics = sorted(topics) end
  local groups = admin:groups()
  if not groups then return end
  self.groups = {}
  for i, g in ipairs(groups) do self.groups[i] = type(g) == "table" and (g.id or g.group) or g end
  sorted(self.groups)
end

local function ask_mysql(self)
  local db = self.clients:open "mysql"
  if not db then return end
  local rows, failure = db:query [[select table_schema as s, table_name as t from information_schema.tables
    where table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema')
    and table_schema not like 'rlab\_template\_%' limit 2000]]
  if not rows then
    self.clients:forget "mysql"
    return failure
  end
  self.tables = {}
  for i, row in ipairs(rows) do self.tables[i] = row.s .. "." .. row.t end
  sorted(self.tables)
end

local function ask_redis(self)
  local r = self.clients:open "redis"
  if not r then return end
  local cursor, keys = "0", {}
  repeat
    local page = r:call("SCAN", cursor, "COUNT", 500)
    if not page then
      self.clients:forget "redis"
      return
    end
    cursor = tostring(page[1])
    table.move(page[2], 1, #page[2], #keys + 1, keys)
  until cursor == "0" or #keys >= MAX_KEYS
  self.keys = sorted(keys)
end

--- asks again in the background; a refresh that is under way is enough
function M:refresh()
  if self.working or self.closed then return end
  if not self.clients:stack() then return end
  self.working = task.spawn(function()
    for _, ask in ipairs { ask_kafka, ask_mysql, ask_redis } do
      pcall(task.timeout, PATIENCE, ask, self)
      if self.closed then break end
    end
    self.working = nil
  end)
end

function M:close()
  self.closed = true
  if self.working then
    self.working:cancel()
    pcall(self.working.join, self.working)
  end
  task.timeout("5s", function() self.clients:close() end)
end

return M
