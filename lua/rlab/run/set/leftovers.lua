-- What dead runs left on the servers, put back before a set that was cut off goes on: each run removes what
-- it can reach, and this reaches all, also when no run is left.
local ledger = require "rlab.run.ledger"
local must = require "rlab.must"

local M = {}

local function admin_of(stack)
  return stack.kafka and must(require("rlab.kafka").admin { brokers = stack.kafka.brokers, at_most = "20s" })
end

-- put_back(say): the servers are whole, and what those runs made is gone; say(line) is told
function M.put_back(say)
  local needs = ledger.left_over()
  if not needs then return end
  ledger.servers_back(say)
  local stack <close> = must(require("rlab.stack").open { needs = needs, start = true, what = "run --resume",
    say = say })
  local _ <close> = must(stack:exclusive("rlab run --resume",
    { say = function(holder) say("waiting for " .. holder) end }))
  must(stack:heal { at_most = "100s" })
  local admin <close> = admin_of(stack)
  if ledger.sweep(stack, admin) > 0 then say "put back what was left by the run that was cut off" end
end

return M
