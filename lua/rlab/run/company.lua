-- Arms that run beside one another and meet: one fault of a server hits all of them, and is done once.
local M = {}

local Company = {}
Company.__index = Company

-- new(n) -> company of so many arms, all of which are here from the start
function M.new(n)
  return setmetatable({ here = n, waiting = {}, outcomes = {}, left = {} }, Company)
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

-- company:come(lab, act) -> the number of the meeting that it waits for
function Company:come(lab, act)
  self.waiting[lab] = act
  return #self.outcomes + 1
end

-- company:outcome(lab, number) -> {ok, result} of the act of that meeting | nil while somebody is to come;
--   who asks first when all are there does his own
function Company:outcome(lab, number)
  if self.outcomes[number] then return self.outcomes[number] end
  if self.acting or count(self.waiting) < self.here then return nil end
  self.acting = true
  local ok, result = pcall(self.waiting[lab])
  self.waiting, self.acting = {}, false
  self.outcomes[number] = { ok = ok, result = result }
  return self.outcomes[number]
end

-- company:leave(lab): nobody waits for it any more; once more changes nothing
function Company:leave(lab)
  if self.left[lab] then return end
  self.here, self.waiting[lab], self.left[lab] = self.here - 1, nil, true
end

return M
