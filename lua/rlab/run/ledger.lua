-- What a run created on shared servers, written down before it is created, so that a run that was killed
-- leaves nothing the next one trips over.
local fs = require "rlab.fs"
local json = require "rlab.json"
local neighbours = require "rlab.run.neighbours"
local process = require "rlab.process"

local M = {}

local Ledger = {}
Ledger.__index = Ledger

local function folder()
  return (os.getenv "RLAB_HOME" or ".rlab") .. "/open-runs"
end

local function save(ledger)
  fs.write(ledger.path, json.encode { pid = ledger.pid, start = ledger.start, items = ledger.items,
    needs = ledger.needs, disrupts = ledger.disrupts })
end

-- open(namespace, exp) -> Ledger of this process, which others read: what the experiment needs and disrupts
function M.open(namespace, exp)
  fs.mkdir(folder())
  local pid = process.self()
  local ledger = setmetatable({ path = folder() .. "/" .. namespace .. ".json", pid = pid,
    start = process.start_time(pid),
    namespace = namespace, items = json.array {}, known = {},
    needs = exp.needs, disrupts = exp.disrupts }, Ledger)
  save(ledger)
  return ledger
end

function Ledger:add(kind, name)
  local key = kind .. " " .. name
  if self.known[key] then return end
  self.known[key] = true
  self.items[#self.items + 1] = { kind = kind, name = name }
  save(self)
end

local function names_of(items, kind)
  local list = {}
  for _, item in ipairs(items) do
    if item.kind == kind then list[#list + 1] = item.name end
  end
  return list
end

local function drop_databases(stack, names)
  if #names == 0 then return end
  local db <close> = require("rlab.mysql").connect(stack:mysql_opts())
  for _, name in ipairs(names) do db:exec("DROP DATABASE IF EXISTS " .. name) end
end

-- f(keys) with some keys of that pattern at a time
local function scan(redis, pattern, f)
  local cursor = "0"
  repeat
    local reply = redis:call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
    if reply and #reply[2] > 0 then f(reply[2]) end
    cursor = reply and reply[1] or "0"
  until cursor == "0"
end

-- f(redis, keys) with some keys below the prefixes at a time
local function each_keys(stack, prefixes, f)
  if #prefixes == 0 then return end
  local redis <close> = require("rlab.redis").connect(stack:redis_opts { timeout = "5s" })
  for _, prefix in ipairs(prefixes) do
    scan(redis, prefix .. "*", function(keys) f(redis, keys) end)
  end
end

-- Keys of the cluster carry the run's name, behind a hash tag's brace or not; each primary has some.
local function remove_cluster_keys(stack, names)
  if #names == 0 then return end
  local view <close> = require("rlab.stack.redis_view").open(stack.redis_cluster.nodes)
  for _, node in ipairs(view:primaries()) do
    for _, name in ipairs(names) do
      scan(node.conn, "*" .. name .. "*", function(keys)
        for _, key in ipairs(keys) do node.conn:call("UNLINK", key) end
      end)
    end
  end
end

local function remove_keys(stack, prefixes)
  each_keys(stack, prefixes, function(redis, keys) redis:call("UNLINK", table.unpack(keys)) end)
end

-- ledger:persist(stack): what the run has in Redis stays there, however soon it was to expire
function Ledger:persist(stack)
  if not stack.redis then return end
  each_keys(stack, names_of(self.items, "keys"), function(redis, keys)
    for _, key in ipairs(keys) do redis:call("PERSIST", key) end
  end)
end

-- Its rules, watches and proxies; a proxy that is gone has forgotten them.
local function sweep_proxy(stack, namespace)
  local proxy = require("rlab.proxy").connect("http://127.0.0.1:" .. stack.ports.proxy)
  if proxy then proxy:sweep(namespace) end
end

-- A role names its groups itself, in a process of its own: they are known by the run's namespace.
local function groups_of(admin, items, namespace)
  local names, known = names_of(items, "group"), {}
  for _, name in ipairs(names) do known[name] = true end
  for _, group in ipairs(admin:groups() or {}) do
    local id = type(group) == "table" and group.id or group
    if id:sub(1, #namespace + 1) == namespace .. "-" and not known[id] then names[#names + 1] = id end
  end
  return names
end

-- remove(stack, admin, items, namespace): topics, groups, schemas and keys of a run; what is gone already
-- is fine
local function remove(stack, admin, items, namespace)
  local topics, groups = names_of(items, "topic"), admin and groups_of(admin, items, namespace) or {}
  if admin and #topics > 0 then admin:delete_topics(topics) end
  if admin and #groups > 0 then admin:delete_groups(groups) end
  if stack.redis then pcall(remove_keys, stack, names_of(items, "keys")) end
  if stack.redis_cluster then pcall(remove_cluster_keys, stack, names_of(items, "cluster-keys")) end
  if #names_of(items, "proxy") > 0 then sweep_proxy(stack, namespace) end
  if stack.mysql then pcall(drop_databases, stack, names_of(items, "database")) end
end

function Ledger:close(stack, admin, keep)
  if not keep then remove(stack, admin, self.items, self.namespace) end
  fs.remove(self.path)
end

-- Each ledger in the folder with its owner's fate: f(path, ledger, alive).
local function each(f)
  for _, entry in ipairs(fs.list(folder()) or {}) do
    local path = folder() .. "/" .. (type(entry) == "table" and entry.name or entry)
    local ok, found = pcall(json.decode, fs.read(path) or "")
    if ok and type(found) == "table" and found.pid then
      f(path, found, process.alive(found.pid, found.start))
    end
  end
end

-- others(exp) -> number of runs of other living processes on this stack that it may not run beside
function M.others(exp)
  local n, own = 0, process.self()
  each(function(_, found, alive)
    if alive and found.pid ~= own and not neighbours.agree(exp, found) then n = n + 1 end
  end)
  return n
end

-- sweep(stack, admin) -> number of dead runs whose leftovers were removed
function M.sweep(stack, admin)
  local swept = 0
  each(function(path, found, alive)
    if alive then return end
    local items = found.items or {}
    remove(stack, admin, items, path:match "([^/]+)%.json$")
    -- a run that has MySQL removes the rest
    if not stack.mysql and #names_of(items, "database") > 0 then return end
    fs.remove(path)
    swept = swept + 1
  end)
  return swept
end

return M
