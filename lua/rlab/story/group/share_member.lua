-- A member of a share group, in a process of its own: it takes what the broker gives it, writes one row of
-- effect for each record, and says which records are accepted, released or rejected. The practices differ in
-- when that is committed, in what is done about a record that fails, and in the setting of the group.
local fail = require "rlab.fail"
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

-- A value that nobody can decode.
M.UNDECODABLE = "undecodable"

local DUPLICATE = 1062
local GATE_AT_MOST = 300
local COMMIT_AT_MOST = "20s" -- long: an answer that is late is no refusal

local Member = {}
Member.__index = Member

function Member:acknowledge(record, word) must(self.share:acknowledge(record, word)) end

-- The leader refuses what is no longer this member's.
function Member:commit()
  local ok, failure = self.share:commit(COMMIT_AT_MOST)
  if not ok then self.ctx.say("refused", { name = failure.name, message = failure.message }) end
  if ok and self.args.gate then self.ctx.say "committed" end
end

-- -> whether it is done, now or before
function Member:handle(record)
  fail.point("share.handle", { id = record.value, delivery = record.delivery_count })
  local done, failure = self.db:exec("INSERT INTO effect (id, delivery, member) VALUES (?, ?, ?)",
    record.value, record.delivery_count, self.args.name)
  return done or failure.code == DUPLICATE
end

-- Whether it has killed so many before us. The broker counts for a whole batch; but what is committed record
-- by record does not come again, so the first of a batch is the one that its last member did not survive.
function Member:is_deadly(record, place)
  local tries = self.args.tries
  return tries and place == 1 and record.delivery_count > tries
end

-- -> the word for the broker | nil while it cannot be handled
function Member:fate_of(record, place)
  if record.value == M.UNDECODABLE or self:is_deadly(record, place) then return "reject" end
  return self:handle(record) and "accept" or nil
end

-- A record that cannot be handled now, and those behind it.
function Member:give_back(batch, from)
  local delivery, pause = batch[from].delivery_count, self.args.pause
  self.ctx.say("released", { n = #batch - from + 1, delivery = delivery })
  if pause then task.sleep(pause * 2 ^ (delivery - 1)) end
  for i = from, #batch do self:acknowledge(batch[i], "release") end
  self:commit()
end

-- The last step of a batch is somebody else's, who may take long.
function Member:pass_gate()
  self.ctx.say "handled"
  must(self.db:value("SELECT GET_LOCK(?, ?)", self.args.gate, GATE_AT_MOST))
  must(self.db:value("SELECT RELEASE_LOCK(?)", self.args.gate))
end

function Member:work_off(batch)
  for i, record in ipairs(batch) do
    local word = self:fate_of(record, i)
    if not word then return self:give_back(batch, i) end
    self:acknowledge(record, word)
    if self.args.commit == "record" then self:commit() end
  end
  if self.args.gate then self:pass_gate() end
  if self.args.commit ~= "record" then self:commit() end
end

-- role(ctx): a member, for roles = { member = share_member.role }. args: client and mysql (settings), topic,
--   name; commit ("record", else once a batch), tries (deliveries after which it rejects the first record of
--   a batch unseen), pause (seconds before it releases, doubled with each delivery), gate (a lock of MySQL
--   that it needs at the end of a batch). It says took, released, handled, committed, refused and
--   error.
function M.role(ctx)
  local share <close> = must(require("rlab.kafka").share_consumer(ctx.args.client))
  local db <close> = must(require("rlab.mysql").connect(ctx.args.mysql))
  local member = setmetatable({ ctx = ctx, args = ctx.args, share = share, db = db }, Member)
  must(share:subscribe(ctx.args.topic))
  while true do
    local batch, failure = share:poll "1s"
    if not batch then
      ctx.say("error", { name = failure.name, message = failure.message })
    elseif #batch > 0 then
      ctx.say("took", { n = #batch, delivery = batch[#batch].delivery_count })
      member:work_off(batch)
    end
  end
end

return M
