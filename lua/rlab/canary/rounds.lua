-- The rounds of a canary whose rows are still in the stores: what was seen of each and when, and what
-- rlab.canary.judge says of it. A round is kept after its verdict, so that an effect that comes late or twice
-- corrects it. Owned by the canary's task; the reader of the topic calls rounds:read() from its own.
local judge = require "rlab.canary.judge"

local M = {}

local Rounds = {}
Rounds.__index = Rounds

-- So many are kept: of those whose effect is there, and of those that may still come.
local SETTLED, OPEN = 100, 1000

-- new{within = seconds, now = f() -> seconds, ask = f(ids) -> {[id] = {sent, parked, effects}} | nil, why,
--   tell = f(round, before)} -> rounds. tell is called when a round has another verdict than `before`
function M.new(opts)
  return setmetatable({ within = opts.within, now = opts.now, ask = opts.ask, tell = opts.tell, by_id = {},
    list = {}, n = 0 }, Rounds)
end

-- rounds:begin(id) -> round {n, id, facts}, whose time begins now
function Rounds:begin(id)
  self.n = self.n + 1
  local round = { n = self.n, id = id, began = self.now(), within = self.within,
    facts = { answer = "info", effects = 0, absent_s = 0, why = "its answer has not come" } }
  self.by_id[id], self.list[#self.list + 1] = round, round
  return round
end

-- rounds:answered(round, "ok" | "fail" | "info", why): what was said of its command
function Rounds:answered(round, answer, why)
  round.facts.answer, round.facts.why = answer, why
  round.answered_s = self.now() - round.began
end

-- rounds:read(id): its record was read from the topic
function Rounds:read(id)
  local round = self.by_id[id]
  if not round then return end
  round.facts.record = true
  round.record_s = round.record_s or self.now() - round.began
end

-- Who made what: the command its row, the relay the record, the consumer the effect.
local function hops_of(round)
  local came, record = round.facts.came_s, round.record_s
  local hops = { command = round.answered_s, total = came }
  if record and round.answered_s then
    hops.relay = math.max(0, record - round.answered_s)
    hops.consumer = math.max(0, came - record)
  end
  return hops
end

local function keep(facts, found, from, to)
  facts.row, facts.sent, facts.parked = found ~= nil, found and found.sent, found and found.parked
  local effects = found and found.effects or 0
  facts.effects = math.max(facts.effects, effects)
  if facts.effects == 0 then facts.absent_s = from else facts.came_s = facts.came_s or to end
end

-- What was known once is not unknown because nobody can look just now; while the command's answer is under
-- way its time is not known.
local function undecided(round, age)
  if round.verdict and round.facts.unread then return true end
  return not round.answered_s and age < round.within
end

local function decide(self, round, age)
  if undecided(round, age) then return end
  local before, verdict, why = round.verdict, judge.of(round.facts, age, round.within)
  if not verdict or verdict == before then return end
  round.verdict, round.why = verdict, why
  if round.facts.came_s and not round.hops then round.hops = hops_of(round) end
  self.tell(round, before)
end

local function ids_of(list)
  local ids = {}
  for i, round in ipairs(list) do ids[i] = round.id end
  return ids
end

-- rounds:look(list): at the stores, for these rounds
function Rounds:look(list)
  if #list == 0 then return end
  local from = self.now()
  local found, why = self.ask(ids_of(list))
  local to = self.now()
  for _, round in ipairs(list) do
    round.facts.unread = not found and why or nil
    if found then keep(round.facts, found[round.id], from - round.began, to - round.began) end
    decide(self, round, from - round.began)
  end
end

local function is_settled(round) return judge.settled(round.verdict, round.facts) end

-- rounds:all() -> those that are kept, oldest first
function Rounds:all() return table.move(self.list, 1, #self.list, 1, {}) end

-- rounds:overdue() -> those with a verdict that can still change for the better
function Rounds:overdue()
  local list = {}
  for _, round in ipairs(self.list) do
    if round.verdict and not is_settled(round) then list[#list + 1] = round end
  end
  return list
end

-- rounds:forget() -> ids of those that need not be looked at any more, oldest first: their verdict stands
function Rounds:forget()
  local kept, gone, room = {}, {}, { [true] = SETTLED, [false] = OPEN }
  for i = #self.list, 1, -1 do
    local round = self.list[i]
    local settled = is_settled(round)
    room[settled] = room[settled] - 1
    table.insert(room[settled] >= 0 and kept or gone, 1, round)
  end
  for _, round in ipairs(gone) do self.by_id[round.id] = nil end
  self.list = kept
  return ids_of(gone)
end

return M
