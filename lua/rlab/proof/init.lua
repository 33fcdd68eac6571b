-- Proofs: values that say what the lab itself has seen of a fault. A value is made where it was seen (by
-- lab.proof.NAME and by the parts of the lab), is judged by its facts, and says its own sentence.
local kinds = require "rlab.proof.kinds"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local Proof = {}
Proof.__index = Proof
Proof.__metatable = "proof"

local made = setmetatable({}, { __mode = "k" })

-- of(kind, facts) -> proof; facts are plain values
function M.of(kind, facts)
  local value = setmetatable({ kind = kind, facts = facts }, Proof)
  made[value] = true
  return value
end

-- is(value) -> whether the lab made it
function M.is(value)
  return type(value) == "table" and made[value] == true
end

-- judge(kind, facts) -> sentence | nil, what is missing; of stored facts, too, whatever became of them
function M.judge(kind, facts)
  local judge = kinds[kind]
  if not judge then return nil, ("there is no proof of the kind '%s'"):format(tostring(kind)) end
  if type(facts) ~= "table" then return nil, "the proof is empty" end
  local ok, sentence, why = pcall(judge, facts)
  if not ok then return nil, "the proof cannot be read" end
  return sentence, why
end

-- all(list) -> whether each of these proofs is one, and their sentences, or what the first lacks
function M.all(list)
  local words = {}
  for i, one in ipairs(list) do
    local sentence, why = M.judge(one.kind, one.facts)
    if not sentence then return false, why end
    words[i] = sentence
  end
  if not words[1] then return false, "nothing was seen of it" end
  return true, table.concat(words, "; ")
end

-- lacking(told, stored, arm) -> names of the faults of an arm and of the setup whose stored proofs are none,
--   each with the reason; told: what result.json says of the faults, stored: what evidence.json kept of them,
--   in the same order
function M.lacking(told, stored, arm)
  local names = {}
  for i, fault in ipairs(told) do
    if fault.arm == nil or fault.arm == arm then
      local kept = stored[i] or {}
      local ok, why = M.all(kept.proofs or {})
      if kept.name ~= fault.name or kept.arm ~= fault.arm then ok, why = false, "its proof was not stored" end
      if not (ok and fault.fired) then names[#names + 1] = ("%s (%s)"):format(fault.name, why) end
    end
  end
  return names
end

-- proof:sentence() -> what was seen, or what is missing
function Proof:sentence()
  local sentence, why = M.judge(self.kind, self.facts)
  return sentence or why
end

-- bind(lab) -> the table behind lab.proof: lab.proof.exit(child, { signal = "KILL" })
function M.bind(lab)
  local makers = require "rlab.proof.makers"
  return setmetatable({}, { __index = function(_, name)
    local maker = makers[name]
    if not maker then
      error(("there is no proof '%s'%s"):format(tostring(name),
        options.hint(name, tables.sorted_keys(makers))), 2)
    end
    return function(...) return maker(lab, ...) end
  end })
end

return M
