-- A second writer, whose client keeps what Redis did not take and writes it when Redis answers again: by then
-- another process has written what is newer.
local http = require "rlab.http"
local json = require "rlab.json"

local M = {}

local FIRST, LAST = 1861, 1880 -- accounts that nobody else writes or reads
local REPLAY = "cmd.before_replay"

-- The accounts by the names that checks have for them.
M.ACCOUNTS = {}
for id = FIRST, LAST do M.ACCOUNTS[#M.ACCOUNTS + 1] = tostring(id) end

-- start(lab, how) -> the writer: a command service with cache = how; what it kept it writes when it is let go
function M.start(lab, how)
  return lab:service("command", { cache = how }, { [how == "queued" and "must_fire" or "failpoints"] = {
    [REPLAY] = "#1 pause" } })
end

local function post(at, service, word)
  for id = FIRST, LAST do
    local value = { id = ("%s-%d"):format(word, id), account = id }
    local answer = at.lab:op(service.name, "entry", value, function()
      return http.request { method = "POST", url = ("%s/accounts/%d/entries"):format(service.url, id),
        headers = { ["content-type"] = "application/json" }, timeout = "5s",
        body = json.encode { request_id = value.id, amount = 100 } }
    end)
    if not answer or answer.status ~= 201 then
      at.lab:give_up("%s was not written: %s", value.id, answer and answer.status or "no answer")
    end
  end
end

-- before(at): while Redis is gone, each account's first version, by the writer
function M.before(at)
  post(at, at.writer, "first")
  at.kept = at.writer:metric "rlab_command_cache_kept"
end

local function newest(at)
  local cached = 0
  for id = FIRST, LAST do at.query:get("/accounts/" .. id) end
  for _, row in ipairs(at.lab:cache()) do
    if row.key >= FIRST and row.key <= LAST and row.version == 2 and row.state ~= "tombstone" then
      cached = cached + 1
    end
  end
  return cached == #M.ACCOUNTS
end

-- after(at): Redis is back: each account's second version, by the other command service, and in the cache by
--   a reader; only then the writer goes on
function M.after(at)
  post(at, at.command, "second")
  at.lab:await("the second versions to be cached", function() return newest(at) end, "10s")
  if at.settings.writer == "queued" then at.writer:await_hit(REPLAY, "10s") end
  at.writer:resume(REPLAY)
  at.lab:await("the writer to have written what it kept",
    function() return at.writer:metric "rlab_command_cache_kept" == 0 end, "10s")
end

-- seen(at, cache, views) -> {kept, cache, views}: what the writer kept, and what the stores hold of its
--   accounts
function M.seen(at, cached, views)
  local seen = { kept = at.kept, cache = json.array {}, views = json.array {} }
  for name, rows in pairs { cache = cached, views = views } do
    for _, row in ipairs(rows) do
      if row.key >= FIRST and row.key <= LAST then table.insert(seen[name], row) end
    end
  end
  return seen
end

-- says(seen) -> in words, with the first of the accounts that are old in the cache
function M.says(seen)
  local version, old, first = {}, 0, nil
  for _, row in ipairs(seen.views) do version[row.key] = row.version end
  for _, row in ipairs(seen.cache) do
    if row.version < version[row.key] then old, first = old + 1, first or row end
  end
  local such = first and (", as account %d: version %d, the view has %d"):format(first.key, first.version,
    version[first.key])
  return ("Redis is back: %d of %d accounts are old in it%s"):format(old, #seen.cache, such or "")
end

return M
