-- The cache of accounts, as C knows it (engine/flow/cache/scripts.h says what an entry is): keys, entries,
-- scripts, and what a writer does after a change.
local clock = require "rlab.clock"
local host = require "rlab.core_host"
local null = require "rlab.null"
local strict = require "rlab.options"
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

local SCRIPTS = { "put", "lease_fill", "lease_drop", "lease_release", "versioned", "tonumber", "two_step",
  "delta", "reserve" }
local MODES = { "none", "del", "lease", "versioned", "update", "tonumber", "two-step", "delta" }
local TOMBSTONE_MS = 5000
local NUMBERS = { balance = true, version = true, stored = true, soft = true, expires = true, cost = true }

-- The braces give an account's keys one slot of a Redis Cluster.
function M.key(prefix, account) return ("%saccount:{%d}"):format(prefix, account) end
function M.lease_key(prefix, account) return ("%slease:{%d}"):format(prefix, account) end
function M.latest_key(prefix, account) return ("%slatest:{%d}"):format(prefix, account) end

-- of the commands that a command service keeps where MySQL does not take them
function M.pending_key(prefix) return prefix .. "pending" end

-- 20 digits: text that compares as the numbers do
function M.version(n) return ("%020d"):format(n) end

local function one_of(what, word, list)
  if tables.contains(list, word) then return word end
  error(("cache: unknown %s '%s'%s"):format(what, tostring(word), strict.hint(word, list)), 3)
end

function M.source(name)
  return host.embedded("lua/redis/" .. one_of("script", name, SCRIPTS) .. ".lua")
end

local function entry_of(hash)
  if not next(hash) then return nil end
  local entry = { state = hash.state == "none" and "negative" or hash.state or "value" }
  for field, text in pairs(hash) do
    if NUMBERS[field] then entry[field] = math.tointeger(tonumber(text)) end
  end
  return entry
end

function M.read(r, prefix, account)
  local hash, failure = r:call("HGETALL", M.key(prefix, account))
  if not hash then return nil, failure end
  return entry_of(hash) or null
end

-- SCAN may name a key twice, and a key may be gone when it is read
function M.all(r, prefix)
  local found, cursor = {}, "0"
  local pattern = prefix:gsub("[%*%?%[%]\\]", "\\%0") .. "account:{*}"
  repeat
    local reply, failure = r:call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
    if not reply then return nil, failure end
    cursor = reply[1]
    for _, key in ipairs(reply[2]) do
      local id = math.tointeger(tonumber(key:match("^{(.*)}$", #prefix + #"account:" + 1)))
      local entry, why = M.read(r, prefix, id)
      if not entry then return nil, why end
      if entry ~= null then found[id] = entry end
    end
  until cursor == "0"
  return found
end

local function run(r, name, keys, args)
  return r:script(M.source(name)):call(keys, args)
end

local function fields_of(entry, expires)
  return { "balance", entry.balance, "version", M.version(entry.version), "stored",
    entry.stored or clock.unix_ms(), "expires", expires, "cost", 0 }
end

local function said(reply, failure)
  if not reply then return nil, failure end
  return reply > 0 and "written" or reply < 0 and "missing" or "refused"
end

function M.fill(r, prefix, account, entry, options)
  local mode = one_of("mode", options.mode or "plain", { "plain", "lease", "versioned" })
  local ttl = math.floor(units.duration(options.ttl or "60s") * 1000)
  local key, fields = M.key(prefix, account), fields_of(entry, clock.unix_ms() + ttl)
  if mode == "plain" then return said(run(r, "put", { key }, { ttl, table.unpack(fields) })) end
  if mode == "lease" then
    return said(run(r, "lease_fill", { key, M.lease_key(prefix, account) },
      { options.token, ttl, table.unpack(fields) }))
  end
  return said(run(r, "versioned", { key }, { "fill", M.version(entry.version), ttl, table.unpack(fields) }))
end

local changes = {}

changes["none"] = function() return "missing" end

function changes.del(r, prefix, change)
  local reply, failure = r:call("DEL", M.key(prefix, change.account))
  if not reply then return nil, failure end
  return reply > 0 and "written" or "missing"
end

function changes.lease(r, prefix, change)
  local reply, failure = run(r, "lease_drop",
    { M.key(prefix, change.account), M.lease_key(prefix, change.account) }, {})
  if not reply then return nil, failure end
  return reply > 0 and "written" or "missing"
end

function changes.versioned(r, prefix, change)
  return said(run(r, "versioned", { M.key(prefix, change.account) },
    { "tombstone", M.version(change.version), TOMBSTONE_MS, "state", "tombstone" }))
end

local function new_value(change)
  return "balance", change.balance, "stored", clock.unix_ms()
end

function changes.update(r, prefix, change)
  return said(run(r, "versioned", { M.key(prefix, change.account) },
    { "update", M.version(change.version), 0, new_value(change) }))
end

function changes.tonumber(r, prefix, change)
  return said(run(r, "tonumber", { M.key(prefix, change.account) },
    { M.version(change.version), new_value(change) }))
end

changes["two-step"] = function(r, prefix, change)
  return said(run(r, "two_step", { M.key(prefix, change.account), M.latest_key(prefix, change.account) },
    { M.version(change.version), change.event or "", new_value(change) }))
end

function changes.delta(r, prefix, change)
  return said(run(r, "delta", { M.key(prefix, change.account) },
    { M.version(change.version), change.amount }))
end

function M.apply(r, prefix, mode, change)
  return changes[one_of("mode", mode, MODES)](r, prefix, change)
end

function M.reserve(r, prefix, account, amount)
  return run(r, "reserve", { M.key(prefix, account) }, { amount })
end

return M
