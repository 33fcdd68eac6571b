-- What a run created on shared servers, written down before it is created, so that a run that was killed
-- leaves nothing the next one trips over.
local fs = require "rlab.fs"
local json = require "rlab.json"
local lock = require "rlab.stack.lock"
local must = require "rlab.must"
local neighbours = require "rlab.run.neighbours"
local process = require "rlab.process"
local sql_name = require "rlab.sql_name"
local state = require "rlab.stack.state"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Ledger = {}
Ledger.__index = Ledger

local function folder()
  return require("rlab.stack").home() .. "/open-runs"
end

-- What cannot be written down is not made: a full disk ends the run before it leaves something behind.
local function save(ledger)
  must(fs.write(ledger.path, json.encode { pid = ledger.pid, start = ledger.start, items = ledger.items,
    needs = ledger.needs, disrupts = ledger.disrupts, undisturbed = ledger.undisturbed,
    onlooker = ledger.onlooker }))
end

-- open(namespace, exp) -> Ledger of this process, which others read: what the experiment needs and disrupts
function M.open(namespace, exp)
  must(fs.mkdir(folder()))
  local pid = process.self()
  local ledger = setmetatable({ path = folder() .. "/" .. namespace .. ".json", pid = pid,
    start = process.start_time(pid),
    namespace = namespace, items = json.array {}, known = {},
    needs = exp.needs, disrupts = exp.disrupts, undisturbed = exp.undisturbed,
    onlooker = exp.onlooker }, Ledger)
  save(ledger)
  return ledger
end

function Ledger:add(kind, name)
  local key = kind .. " " .. name
  if self.known[key] then return end
  self.items[#self.items + 1] = { kind = kind, name = name }
  save(self)
  self.known[key] = true
end

local function without(items, kind, name)
  for i = #items, 1, -1 do
    if items[i].kind == kind and items[i].name == name then table.remove(items, i) end
  end
end

-- ledger:drop(kind, name): it is undone
function Ledger:drop(kind, name)
  without(self.items, kind, name)
  self.known[kind .. " " .. name] = nil
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
  local db <close> = must(require("rlab.mysql").connect(stack:mysql_opts()))
  for _, name in ipairs(names) do must(db:exec("DROP DATABASE IF EXISTS " .. sql_name(name))) end
end

-- f(keys) with some keys of that pattern at a time
local function scan(redis, pattern, f)
  local cursor = "0"
  repeat
    local reply = must(redis:call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
    if #reply[2] > 0 then f(reply[2]) end
    cursor = reply[1]
  until cursor == "0"
end

-- f(redis, keys) with some keys below the prefixes at a time
local function each_keys(stack, prefixes, f)
  if #prefixes == 0 then return end
  local redis <close> = must(require("rlab.redis").connect(stack:redis_opts { timeout = "5s" }))
  for _, prefix in ipairs(prefixes) do
    scan(redis, prefix .. "*", function(keys) f(redis, keys) end)
  end
end

-- Keys of the cluster carry the run's name, behind a hash tag's brace or not; each primary has some.
local function remove_cluster_keys(stack, names)
  local view <close> = must(require("rlab.stack.redis_view").open(stack.redis_cluster.nodes))
  for _, node in ipairs(view:primaries()) do
    for _, name in ipairs(names) do
      scan(node.conn, "*" .. name .. "*", function(keys)
        for _, key in ipairs(keys) do must(node.conn:call("UNLINK", key)) end
      end)
    end
  end
end

local function remove_keys(stack, prefixes)
  each_keys(stack, prefixes, function(redis, keys) must(redis:call("UNLINK", keys)) end)
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
  if stack.kind ~= "local" then return end
  local proxy = require("rlab.proxy").connect("http://127.0.0.1:" .. stack.ports.proxy)
  if proxy then must(proxy:sweep(namespace)) end
end

-- A role names its groups itself, in a process of its own: they are known by the run's namespace.
local function groups_of(admin, items, namespace)
  local names = names_of(items, "group")
  for _, group in ipairs(must(admin:groups())) do
    local id = type(group) == "table" and group.id or group
    if id:sub(1, #namespace + 1) == namespace .. "-" and not tables.contains(names, id) then
      names[#names + 1] = id
    end
  end
  return names
end

-- Those of the names that are still in the list.
local function among(names, list)
  local there, left = {}, {}
  for _, one in ipairs(list) do there[type(one) == "table" and one.id or one] = true end
  for _, name in ipairs(names) do
    if there[name] then left[#left + 1] = name end
  end
  return left
end

-- Some broker did not say what it has: nobody knows then what is gone.
local function whole(list)
  if list.failed and list.failed[1] then error(list.failed[1], 0) end
  return list
end

local SESSION = "8s" -- more than that of any member in our stories

-- Whether a group has members still: one that was killed is in it until its session ends.
local function occupied(result, failure)
  for _, one in ipairs((result or failure).failed or {}) do
    if one.err.name == "NON_EMPTY_GROUP" then return true end
  end
  return false
end

local function remove_groups(admin, names)
  task.wait_until(function() return not occupied(admin:delete_groups(names)) end,
    { at_most = SESSION, every = "100ms" })
end

-- Levels of the cluster, each as it was before it was changed: the first of a feature counts.
local function restore_features(admin, names)
  local left, done = {}, {}
  for _, name in ipairs(names) do
    local feature, level = name:match "^(.+)=(%d+)$"
    if feature and not done[feature] then
      done[feature] = true
      if not admin:set_feature(feature, math.tointeger(level)) then left[#left + 1] = name end
    end
  end
  return left
end

-- A share group's settings outlive it.
local function unset_groups(admin, names)
  local left = {}
  for _, name in ipairs(names) do
    local found, own = admin:configs { group = name, details = true }, {}
    for key, one in pairs(found or {}) do own[#own + 1] = one.source == "group" and key or nil end
    if not found or (#own > 0 and not admin:alter_configs { group = name, delete = own }) then
      left[#left + 1] = name
    end
  end
  return left
end

-- What drivers did to servers of an external stack.
local function undo_faults(names)
  local left = {}
  for _, name in ipairs(names) do
    if not require("rlab.stack").undo(name) then left[#left + 1] = name end
  end
  return left
end

-- By kind, in this order: f(a) removes the names of that kind and returns those that are still there; it
-- raises where nobody can tell. a: {stack, admin, items, namespace, names}
local removers = {
  { kind = "fault", remove = function(a) return undo_faults(a.names) end },
  { kind = "topic", needs = "admin", remove = function(a)
    a.admin:delete_topics(a.names)
    return among(a.names, must(a.admin:topics { internal = true }))
  end },
  { kind = "group", needs = "admin", always = true, remove = function(a)
    local names = groups_of(a.admin, a.items, a.namespace)
    if #names == 0 then return names end
    remove_groups(a.admin, names)
    return among(names, whole(must(a.admin:groups())))
  end },
  { kind = "group-config", needs = "admin", remove = function(a) return unset_groups(a.admin, a.names) end },
  { kind = "feature", needs = "admin", remove = function(a) return restore_features(a.admin, a.names) end },
  { kind = "keys", needs = "redis", remove = function(a) remove_keys(a.stack, a.names) end },
  { kind = "cluster-keys", needs = "redis_cluster",
    remove = function(a) remove_cluster_keys(a.stack, a.names) end },
  { kind = "proxy", remove = function(a) sweep_proxy(a.stack, a.namespace) end },
  { kind = "database", needs = "mysql", remove = function(a) drop_databases(a.stack, a.names) end },
}

local function removed(remover, a)
  local there = not remover.needs or (remover.needs == "admin" and a.admin or a.stack[remover.needs])
  if not there then return a.names end
  local ok, left = pcall(remover.remove, a)
  return ok and (left or {}) or a.names
end

-- remove(stack, admin, items, namespace) -> the items of a run whose removal nobody has confirmed: a server
--   that this run does not have, or that does not answer; what is gone already is fine
local function remove(stack, admin, items, namespace)
  local left = json.array {}
  for _, remover in ipairs(removers) do
    local a = { stack = stack, admin = admin, items = items, namespace = namespace,
      names = names_of(items, remover.kind) }
    if #a.names > 0 or (remover.always and admin) then
      for _, name in ipairs(removed(remover, a)) do left[#left + 1] = { kind = remover.kind, name = name } end
    end
  end
  return left
end

-- ledger:close(stack, admin, keep) -> items that are still there, perhaps: they stay in the ledger, for the
--   next run to remove
function Ledger:close(stack, admin, keep)
  if keep then restore_features(admin, names_of(self.items, "feature")) end
  local left = keep and {} or remove(stack, admin, self.items, self.namespace)
  if #left == 0 then
    fs.remove(self.path)
  else
    self.items = left
    save(self)
  end
  return left
end

-- told(items) -> what is said of those that are still there
function M.told(items)
  local first = items[1].kind .. " " .. items[1].name
  if #items == 1 then return ("%s of this run is still there; the next run removes it"):format(first) end
  return ("%d things of this run are still there, such as %s; the next run removes them")
    :format(#items, first)
end

local function well_formed(found)
  if type(found) ~= "table" or not state.names_process(found) then return false end
  if type(found.items or {}) ~= "table" then return false end
  for _, item in ipairs(found.items or {}) do
    local named = type(item) == "table" and type(item.kind) == "string" and type(item.name) == "string"
    if not named then return false end
  end
  return true
end

-- Each ledger in the folder with its owner's fate: f(path, ledger, alive).
local function each(f)
  for _, name in ipairs(fs.list(folder()) or {}) do
    local path = folder() .. "/" .. name
    local ok, found = pcall(json.decode, name:find "%.json$" and fs.read(path) or "")
    if ok and well_formed(found) then
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

-- left_over() -> the needs of the dead runs that left something | nil
function M.left_over()
  local needs, some = {}, false
  each(function(_, found, alive)
    if alive then return end
    some = true
    for _, need in ipairs(found.needs or {}) do needs[need] = true end
  end)
  return some and tables.sorted_keys(needs) or nil
end

-- f(path, ledger, name) for each fault of a dead run.
local function each_fault(f)
  each(function(path, found, alive)
    for _, name in ipairs(alive and {} or names_of(found.items or {}, "fault")) do f(path, found, name) end
  end)
end

-- put_back(undo): what dead runs did to servers is undone by undo(name) before anybody asks these for
--   anything; its failure is raised, as no run has whole servers then
function M.put_back(undo)
  local some = false
  each_fault(function() some = true end)
  if not some then return end
  local turn = require("rlab.stack").home() .. "/faults.lock"
  local _ <close> = must(lock.take(turn, "rlab: putting servers back", { at_most = "10m" }))
  each_fault(function(path, found, name)
    must(undo(name))
    without(found.items, "fault", name)
    must(fs.write(path, json.encode(tables.merged(found, { items = json.array(found.items) }))))
  end)
end

-- servers_back(say): the same on an external stack, before it is opened: a server that a dead run's driver
--   has killed or frozen would not let anybody in
function M.servers_back(say)
  local stack = require "rlab.stack"
  if stack.use() ~= "external" then return end
  M.put_back(function(text)
    say("a run that died has left this behind, and it is put back: " .. text)
    return stack.undo(text)
  end)
end

-- sweep(stack, admin) -> number of dead runs whose leftovers were all removed; what is left of the others
--   is tried again by the next run that has the servers for it
function M.sweep(stack, admin)
  local swept = 0
  each(function(path, found, alive)
    if alive then return end
    local left = remove(stack, admin, found.items or {}, path:match "([^/]+)%.json$")
    if #left == 0 then
      fs.remove(path)
      swept = swept + 1
    else
      found.items = left
      must(fs.write(path, json.encode(found)))
    end
  end)
  return swept
end

return M
