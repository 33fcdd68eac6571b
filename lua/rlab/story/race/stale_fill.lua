-- Stale fills, provoked: a value that was true when it was read gets to the cache after the account has
-- changed. In each race somebody stands still at a failpoint until the others are done, so that no race is
-- left to chance.
local cache = require "rlab.cache"
local held = require "rlab.story.race.held"
local json = require "rlab.json"
local must = require "rlab.must"
local units = require "rlab.units"

local M = {}

local function drop(lab, account)
  must(lab:redis():call("DEL", cache.key(lab:prefix(), account)))
end

local function read(query, account)
  return json.decode(must(query:get("/accounts/" .. account)).body).version
end

local TOMBSTONE = 5 -- seconds that it is to live, whatever wrote it

-- refuser(lab, query, account, began) -> f: what is to refuse the reader's value is an entry or a tombstone
--   written after `began`, or a lease taken then; f() gives up where it may have run out since, and not
--   where it went before its time
local function refuser(lab, query, account, began)
  local fill, ends = query.settings.fill, math.huge
  if fill == "versioned" then
    local left = must(lab:redis():call("PTTL", cache.key(lab:prefix(), account))) / 1000
    ends = math.max(lab:now() + left, began + TOMBSTONE)
  elseif fill == "lease" then
    ends = began + units.duration(query.settings.lease)
  end
  return function()
    if lab:now() < ends then return end
    lab:give_up("the fill of account %d came %.1f s after what was to refuse it had run out", account,
      lab:now() - ends)
  end
end

-- across(lab, query, account, change) -> the version that a reader has loaded before change(), which returns
--   when the cache was told, and fills afterwards. The entry is taken out first, for there is no load without
--   a miss.
function M.across(lab, query, account, change)
  local began, version, in_time = lab:now(), nil, nil
  held(lab, query, "query.before_fill", "account=" .. account, function()
    drop(lab, account)
    version = read(query, account)
  end, function()
    change()
    in_time = refuser(lab, query, account, began)
  end)
  in_time()
  lab:event("a reader of account %d held version %s until the invalidation was over", account, version)
  return version
end

-- before_commit(lab, at, account, change) -> the version that a reader has loaded and filled while
--   at.consumer has written the change and not committed it: after a DEL that came before the transaction.
--   change() sends it, and what its writer does to the cache is done when it returns.
function M.before_commit(lab, at, account, change)
  local version, sent
  held(lab, at.consumer, "consumer.in_tx", "account=" .. account, function()
    change()
    sent = true
  end, function()
    lab:await("the answer to who changes the account", function() return sent end)
    drop(lab, account)
    version = read(at.query, account)
  end)
  lab:event("a reader of account %d filled version %s before the commit", account, version)
  return version
end

-- late_put(lab, command, account, first, others): first() sends a command of the account, which is committed
--   and stands still before what it puts into the cache; others() happens, a later one of the account in it
function M.late_put(lab, command, account, first, others)
  held(lab, command, "cmd.after_commit", "key=" .. account, first, others)
  lab:event("the write of account %d went on after a later one", account)
end

-- behind(lab, at, account, change) -> the version that a reader loads from at.replica, which stands behind,
--   when change() has been applied and the cache told; it has caught up then
function M.behind(lab, at, account, change)
  local fault = at.replica:lag_behind(account, change)
  local in_time = refuser(lab, at.query, account, lab:now())
  local version = read(at.query, account)
  in_time()
  lab:event("a reader of account %d got version %s from the replica after the invalidation", account, version)
  fault.catch_up()
  return version
end

return M
