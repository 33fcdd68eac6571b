-- A command as a client of the command service sends it, and what its answer says.
local http = require "rlab.http"
local json = require "rlab.json"

local M = {}

-- What an answer, or its absence, says of the command: 2xx done, 4xx refused, anything else unknown. A
-- connection that was refused carried nothing.
local function verdict_of(answer, failure)
  if answer and answer.status < 300 then return "ok" end
  if answer and answer.status < 500 then return "fail", ("HTTP %d"):format(answer.status) end
  if answer then return "info", ("HTTP %d"):format(answer.status) end
  return failure.name == "CONNECT" and "fail" or "info", tostring(failure)
end

-- send(url, {id, account, amount}, at_most) -> "ok" | "fail" | "info", why, the answer | nil
function M.send(url, command, at_most)
  local body = json.encode { request_id = command.id, amount = command.amount }
  local answer, failure = http.post(("%s/accounts/%d/entries"):format(url, command.account), body,
    { timeout = at_most, headers = { ["content-type"] = "application/json" } })
  local kind, why = verdict_of(answer, failure)
  return kind, why, answer
end

return M
