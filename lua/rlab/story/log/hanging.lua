-- A transaction that was committed when one replica was alone: its records are on both, its marker is not. On
-- the other one, once that is elected, it is open, and its coordinator has ended it (KAFKA-20716).
local bag = require "rlab.bag"
local batch = require "rlab.story.batch"
local must = require "rlab.must"
local writer = require "rlab.story.writer"

local M = {}

local Hanging = {}
Hanging.__index = Hanging

-- Brokers that died and came back leave every coordinator with the one that stayed, for some minutes.
local function spread_coordinators(admin)
  local state, list = admin:topic "__transaction_state", {}
  for i, p in ipairs(state and state.partitions or {}) do
    list[i] = { topic = "__transaction_state", partition = p.partition }
  end
  if #list > 0 then admin:elect_leaders { type = "preferred", partitions = list } end
end

-- A transactional producer whose coordinator is another broker than that one, which is to stand still.
local function producer_of_another(lab, broker)
  spread_coordinators(lab.run.admin)
  for i = 1, 12 do
    local id = lab:name("writer-" .. i)
    local producer = lab:producer { transactional_id = id, linger_ms = 0 }
    must(producer:init_transactions "20s")
    if must(lab.run.admin:transaction(id)).coordinator ~= broker then return id, producer end
  end
  lab:give_up("broker %d coordinates every transaction", broker)
end

-- begin(lab, replicas, ids) -> hanging: a transaction with these records, which all replicas have
function M.begin(lab, replicas, ids)
  local hanging = setmetatable({ lab = lab, ids = ids,
    topic = lab:topic("transaction", { assignment = { replicas }, min_isr = 1 }) }, Hanging)
  hanging.id, hanging.producer = producer_of_another(lab, replicas[2])
  must(hanging.producer:begin())
  must(hanging.producer:submit(batch.of(hanging.topic, 0, ids)))
  must(hanging.producer:flush "10s")
  lab:await("all replicas have the records of the transaction", function()
    local now = lab:offsets(hanging.topic, 0)
    for _, id in ipairs(replicas) do
      if not (now and now.leo_by and now.leo_by[id] == #ids) then return false end
    end
    return true
  end)
  return hanging
end

-- hanging:commit(alone): acknowledged, and seen by who reads committed records; only that broker is in sync
function Hanging:commit(alone)
  self.lab:await("the ISR of the transaction's topic", function()
    return self.lab:isr_is(self.topic, { alone })
  end)
  must(self.producer:commit "20s")
  self.lab:settled(self.topic, 0)
end

local function read_committed(hanging) return hanging.lab:ids(hanging.lab:read(hanging.topic)) end

-- hanging:look() -> seen {ids, behind, before, after}: what is written behind it, and what a read_committed
--   reader gets before the transaction is aborted and after
function Hanging:look()
  local lab, seen = self.lab, { ids = self.ids, behind = batch.ids("B", #self.ids) }
  lab:fault "a committed transaction without its marker"
    :fired(lab.proof.transaction(self.id, "CompleteCommit"), lab.proof.held_back(self.topic)):over()
  lab:send_all(lab:producer { linger_ms = 0 }, batch.of(self.topic, 0, seen.behind), seen.behind)
  seen.before = read_committed(self)
  lab:await("the transaction that hangs is found and aborted", function()
    local found = lab.run.admin:abort_hanging(self.topic, 0)
    return found and #found == 1
  end)
  lab:await("nothing holds back the LSO", function() return writer.held_back(lab, self.topic) == false end)
  seen.after = read_committed(self)
  return seen
end

-- of_arm(seen, aborted) -> what an arm saw: before the transaction was aborted, or after; hidden: how many
--   lie behind it and are not read
function M.of_arm(seen, aborted)
  local read = aborted and seen.after or seen.before
  return { ids = seen.ids, behind = seen.behind, read = read, control = seen.after,
    hidden = #(bag.from(seen.behind) - bag.from(read)),
    says = ("%d of %d committed records are read, %d of %d behind them"):format(
      #(bag.from(seen.ids) & bag.from(read)), #seen.ids, #(bag.from(seen.behind) & bag.from(read)),
      #seen.behind) }
end

-- check(lab, seen): what lies behind is unseen until the transaction is aborted; its own records are gone for
--   those who read committed ones, committed as they were. For checks.
function M.check(lab, seen)
  lab.check.unseen { of = seen.behind, seen = seen.read, control = { what = "the reader, once it was aborted",
    seen = #seen.control } }:expect { wrong = seen.behind, right = "holds" }
  lab.check.agree { { "behind", #seen.behind, #seen.ids, "records were acknowledged behind it" } }
  lab.check.lost { name = "committed-and-gone", of = seen.ids, in_ = seen.control }:expect(seen.ids)
end

return M
