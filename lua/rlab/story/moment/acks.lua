-- E-009's moment: what was acknowledged, from the producer to the log of the new leader, or to a reader.
local bag = require "rlab.bag"

local function said(sent)
  if #sent.acked == 0 then return ("%d sent, none acknowledged"):format(#sent.sent) end
  return ("%d acknowledged"):format(#sent.acked)
end

local function there(ids, log)
  local n = #(bag.from(ids) & bag.from(log))
  return ("%d of %d"):format(n, #ids), n < #ids
end

-- A crash of the leader, or its absence: what was acknowledged then is seen by a reader, or not.
local function unseen(seen)
  local n, off = there(seen.B.acked, seen.seen_b)
  return { says = "the leader is down, one replica is in sync", { "producer", said(seen.B) },
    { "partition", ("LEO %d, HW %d"):format(seen.leo_b, seen.hw_b), seen.hw_b < seen.leo_b },
    { "a reader", #seen.B.acked == 0 and "nothing was promised" or n, off } }
end

return function(seen, arm)
  if arm.class == "observe" then return nil end
  if arm.name == "acks-1-min-isr-2" or arm.name == "all-min-isr-2" then return unseen(seen) end
  local n, off = there(seen.A.acked, seen.in_topic)
  return { says = "the leader is killed while its follower stands still", { "producer", said(seen.A) },
    { "new leader's log", n, off }, { "a reader, at the end", n, off } }
end
