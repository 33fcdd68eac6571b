-- A stack of somebody's own: servers that rlab neither started nor owns, at the addresses of a file
-- (rlab.stack.external.file). Nothing of them is configured; they are killed and frozen by drivers that the
-- file names, or not at all (rlab.stack.external.server). What a run makes there begins with the file's
-- prefix.
local err = require "rlab.err"
local file = require "rlab.stack.external.file"
local fs = require "rlab.fs"
local guard = require "rlab.stack.external.guard"
local handle = require "rlab.stack.handle"
local layout = require "rlab.stack.layout"
local must = require "rlab.must"
local options = require "rlab.options"
local probe = require "rlab.stack.external.probe"
local servers = require "rlab.stack.external.server"
local tables = require "rlab.tables"
local task = require "rlab.task"
local urls = require "rlab.urls"

local M = {}

local PARTS = { "kafka", "mysql", "redis", "registry" }

local function refuse(fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = "USAGE", message = fmt:format(...) }
end

-- ---- the stack ----

local Stack = {}

function Stack.__index(_, key) return Stack[key] or handle.methods[key] end

Stack.__close = handle.methods.close
Stack.__name = "stack"
function Stack.__tostring(stack) return ("stack external (%s)"):format(table.concat(stack.parts, ", ")) end

-- Those that a story has named so far; a heartbeat watches none.
function Stack:servers()
  local list = {}
  for _, name in ipairs(tables.sorted_keys(self.held)) do list[#list + 1] = self.held[name] end
  return list
end

function Stack:server(name)
  if not self.held[name] then
    local known = probe.names(self)
    if not known[name] then
      return refuse("no server '%s' on this external stack; %s", name,
        options.advice(name, tables.sorted_keys(known)))
    end
    self.held[name] = servers.of(self, known[name])
  end
  return self.held[name]
end

function Stack.partitionable(_, on)
  if not on then return false end
  return refuse "the brokers of an external stack do not reach one another through rlab's proxy"
end

local probes = {
  kafka = function(stack) return stack.admin:cluster { at_most = "5s" } end,
  mysql = function(stack)
    local db <close>, failure = require("rlab.mysql").connect(stack:mysql_opts())
    return db and true, failure
  end,
  redis = function(stack)
    local conn <close>, failure = require("rlab.redis").connect(stack:redis_opts())
    return conn and true, failure
  end,
}

function Stack:health()
  local list = {}
  for _, part in ipairs(self.parts) do
    local ok, failure = true, nil
    if probes[part] then ok, failure = probes[part](self) end
    list[#list + 1] = { server = part, ok = ok and true or false, why = not ok and tostring(failure) or nil }
  end
  return list
end

local function sick(stack)
  for _, one in ipairs(stack:health()) do
    if not one.ok then return ("%s: %s"):format(one.server, one.why) end
  end
end

local function restored(stack)
  local list = {}
  for _, server in ipairs(stack:servers()) do
    local hurt = server.fault
    local ok, failure = server:restore()
    if not ok then return nil, failure end
    if hurt then list[#list + 1] = server.name .. " put back" end
  end
  return list
end

-- What drivers did is undone by drivers; nothing else can be mended here, it is waited for.
function Stack:heal(opts)
  local mended, lasting = restored(self)
  if not mended then return nil, lasting end
  local why
  local whole, late = task.wait_until(function()
    why = sick(self)
    return why == nil
  end, { at_most = opts and opts.at_most or "40s", every = "200ms", what = "the external stack" })
  if whole then return true, mended end
  late.message = ("the external stack does not answer: %s"):format(why or "but it does now")
  return nil, late
end

-- ---- opening ----

local function nodes_of(cluster)
  local nodes = {}
  for i, broker in ipairs(cluster.brokers) do
    nodes[i] = { id = broker.id, name = ("kafka-%d"):format(broker.id), host = broker.host,
      port = broker.port }
  end
  return nodes
end

local function login(section)
  local at = tables.picked(section, { "host", "port", "user", "password", "db", "tls", "ca", "cert", "key" })
  if at.tls == "off" then at.tls = nil end
  return at
end

local openers = {
  kafka = function(stack, section)
    stack.admin = must(require("rlab.kafka").admin { brokers = section.brokers, at_most = "20s" })
    local profile = guard.kafka(stack.admin, section)
    stack.kafka = tables.merged(profile, { brokers = section.brokers,
      nodes = nodes_of(must(stack.admin:cluster())) })
  end,
  mysql = function(stack, section)
    stack.mysql = login(section)
    local db <close> = must(require("rlab.mysql").connect(stack:mysql_opts()))
    guard.mysql(db, section)
    stack.versions.mysql = must(db:value "SELECT VERSION()")
  end,
  redis = function(stack, section)
    stack.redis = login(section)
    local conn <close> = must(require("rlab.redis").connect(stack:redis_opts()))
    guard.redis(conn, section)
  end,
  registry = function(stack, section) stack.registry = { url = section.url } end,
}

local function wanted(needs, found)
  local list = {}
  for _, part in ipairs(PARTS) do
    if found[part] and (not needs or tables.contains(needs, part)) then list[#list + 1] = part end
  end
  return list
end

-- home(found) -> the folder of what rlab notes of that stack: what was left there is removed there
function M.home(found)
  local store = found.mysql or found.redis or { host = "none", port = 0 }
  local at = found.kafka and found.kafka.brokers or urls.address(store.host, store.port)
  return ("%s/external/%s"):format(layout.home(), (at:gsub("[^%w.-]+", "_"):sub(1, 100)))
end

-- What a server refused, with the right that would mend it.
local function told(failure)
  if not err.is(failure) then error(failure, 0) end
  local lacks = require("rlab.stack.secure.rights").missing(tostring(failure))
  if lacks then failure.message = ("%s; %s"):format(failure.message, lacks) end
  return failure
end

local function opened(stack, found)
  for _, part in ipairs(stack.parts) do openers[part](stack, found[part]) end
  return stack
end

-- The stack before anything of it is asked.
local function closed(found, opts)
  local home = M.home(found)
  must(fs.mkdir(home))
  return setmetatable({ kind = "external", parts = wanted(opts.needs, found), reused = true, held = {},
    home = home, ctx = { home = home }, versions = {}, path = found.path, file = found, faults = opts.faults,
    abort_if = found.abort_if }, Stack)
end

-- undo(path, text) -> true | nil, err: what a dead run's ledger says that it did to a server
function M.undo(path, text)
  local found = file.read(path)
  file.adopt(found)
  local stack = closed(found, {})
  stack.kafka = found.kafka and { brokers = found.kafka.brokers }
  stack.mysql, stack.redis = found.mysql and login(found.mysql), found.redis and login(found.redis)
  return servers.undo(stack, text)
end

-- open{path =, needs =, disrupts =, faults =, what =} -> stack | nil, err
function M.open(opts)
  local found = file.read(opts.path)
  local why = opts.needs and guard.unfit(opts, found)
  if why then return refuse("%s cannot run on an external stack: %s", opts.what or "this", why) end
  file.adopt(found)
  local stack = closed(found, opts)
  local ok, failure = pcall(opened, stack, found)
  if not ok then
    stack:close()
    return nil, told(failure)
  end
  handle.enter(stack, opts.what)
  return stack
end

-- status() -> rows as rlab.stack.status
function M.status(path)
  local stack <close> = must(M.open { path = path })
  local list = { columns = { "server", "state", "why" } }
  for i, one in ipairs(stack:health()) do
    list[i] = { server = one.server, state = one.ok and "up" or "down", why = one.why }
  end
  return list
end

return M
