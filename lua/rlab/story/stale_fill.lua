-- A stale fill, provoked: a reader has loaded an account and stands still before it writes the entry; the
-- account changes and is invalidated; then the reader goes on. Only a lease or a version refuses its value.
local cache = require "rlab.cache"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

-- A tombstone that ran out meanwhile, or a lease, would refuse nothing: this is less than either lives.
local AT_MOST = 4.0

local function await_pause(lab, query, before)
  lab:await(query.name .. " at query.before_fill", function()
    return #query:hits "query.before_fill" > before
  end)
end

-- across(lab, query, account, change): change() happens while the reader stands still, and returns when the
--   cache was told. The entry is taken out first, for there is no load without a miss.
function M.across(lab, query, account, change)
  local before, began, answer = #query:hits "query.before_fill", lab:now(), nil
  query:failpoint("query.before_fill", ("1*pause if account=%d"):format(account), { must_fire = true })
  must(lab:redis():call("DEL", cache.key(lab:prefix(), account)))
  local reader = lab:background("the reader that is to stand still", function()
    answer = must(query:get("/accounts/" .. account))
  end)
  await_pause(lab, query, before)
  change()
  query:failpoint("query.before_fill", "off")
  reader:join()
  local took = lab:now() - began
  if took > AT_MOST then
    lab:give_up("the reader of account %d stood still for %.1f s, a tombstone lives for 5.0 s", account, took)
  end
  lab:event("a reader of account %d held version %s until the invalidation was over", account,
    json.decode(answer.body).version)
end

return M
