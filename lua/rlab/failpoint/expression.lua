-- Failpoint expressions, read and counted a second time: what the hits of a log should have done, by the
-- grammar's words alone (engine/fault/point/parse.h). Nothing of the engine that is under test is asked.
local units = require "rlab.units"

local M = {}

-- ---- reading ----

-- A quoted text, or what stands before a character of `ends` -> text, place behind it
local function text_at(s, at, ends)
  local quote = s:match("^[\"']", at)
  if not quote then
    local raw = s:match("^[^" .. ends .. "]*", at)
    return raw:match "^(.-)%s*$", at + #raw
  end
  local out, i = {}, at + 1
  while s:sub(i, i) ~= quote do
    if i > #s then error(("'%s' has no closing quote"):format(s), 0) end
    if s:sub(i, i) == "\\" then i = i + 1 end
    out[#out + 1] = s:sub(i, i)
    i = i + 1
  end
  return table.concat(out), i + 1
end

local function skip(s, at) return s:match("^%s*()", at) end

local function limits_at(s, at, term)
  while true do
    at = skip(s, at)
    local number, sign, behind = s:match("^([%d.]+)%s*([%%*])()", at)
    if not number then break end
    if sign == "%" then term.percent = tonumber(number) else term.count = math.tointeger(tonumber(number)) end
    at = behind
  end
  local kth, behind = s:match("^#%s*(%d+)()", at)
  if kth then term.kth, at = math.tointeger(tonumber(kth)), behind end
  return at
end

-- What the log calls the arguments of an action.
local function note_args(term, first, second)
  if term.action == "sleep" then
    term.seconds = units.duration(first)
  elseif term.action == "exit" then
    term.number = math.tointeger(tonumber(first))
  else
    term.arg, term.number = first, second and math.tointeger(tonumber(second)) or nil
  end
end

local function action_at(s, at, term)
  at = skip(s, at)
  local word, behind = s:match("^([%w_]+)()", at)
  if not word then error(("'%s': an action is missing at column %d"):format(s, at), 0) end
  term.action, at = word, behind
  local inside = s:match("^%s*%(()", at)
  if not inside then return at end
  local first, second
  first, at = text_at(s, skip(s, inside), word == "barrier" and ",)" or ")")
  at = skip(s, at)
  if s:sub(at, at) == "," then second, at = text_at(s, skip(s, at + 1), ")") end
  note_args(term, first, second)
  return s:match("^%s*%)()", at) or error(("'%s': ')' is missing at column %d"):format(s, at), 0)
end

local function value_at(s, at)
  if s:match("^[\"']", at) then return text_at(s, at, "") end
  local stop = at
  while stop <= #s and not s:match("^[%s%[]", stop) and s:sub(stop, stop + 1) ~= "->" do stop = stop + 1 end
  return s:sub(at, stop - 1), stop
end

local function conditions_at(s, at, term)
  local word = "if"
  while true do
    local behind = s:match("^%s*" .. word .. "%f[^%w_]()", at)
    if not behind then break end
    local key, value_from = s:match("^%s*([%w_.%-]+)%s*=%s*()", behind)
    if not key then error(("'%s': a condition is key=value"):format(s), 0) end
    term.conds[#term.conds + 1] = { key = key }
    term.conds[#term.conds].value, at = value_at(s, value_from)
    word = "and"
  end
  local pid, behind = s:match("^%s*%[%s*pid%s*(%d+)%s*%]()", at)
  if pid then term.pid, at = math.tointeger(tonumber(pid)), behind end
  return at
end

-- parse(text) -> list of terms {percent, count, kth, action, arg, number, seconds, conds = {{key, value}},
--   pid, text}; raises what is wrong
function M.parse(text)
  local terms, at = {}, 1
  repeat
    local term, from = { percent = 100, conds = {} }, skip(text, at)
    at = conditions_at(text, action_at(text, limits_at(text, from, term), term), term)
    term.text = text:sub(from, at - 1)
    terms[#terms + 1] = term
    local next_at = text:match("^%s*%->()", at)
    local more = next_at ~= nil
    at = next_at or at
  until not more
  if skip(text, at) <= #text then
    error(("'%s': '->' or the end is expected at column %d"):format(text, at), 0)
  end
  return terms
end

-- ---- counting ----

local function fits(term, hit)
  if term.pid and term.pid ~= hit.pid then return false end
  for _, cond in ipairs(term.conds) do
    local value = (hit.ctx or {})[cond.key]
    if value == nil or tostring(value) ~= cond.value then return false end
  end
  return true
end

local function within_limits(term, state)
  if term.kth then return state.seen >= term.kth and state.seen < term.kth + (term.count or 1) end
  return not term.count or state.fired < term.count
end

-- The term that takes this hit; 0: none does. What a chance decides is taken as the log has it.
local function taker(terms, states, hit)
  local chosen = 0
  for i, term in ipairs(terms) do
    if fits(term, hit) then
      states[i].seen = states[i].seen + 1
      if chosen == 0 and within_limits(term, states[i]) and (term.percent >= 100 or hit.term == i) then
        chosen = i
      end
    end
  end
  if chosen > 0 then states[chosen].fired = states[chosen].fired + 1 end
  return chosen
end

local function ctx_words(hit)
  local list = {}
  for key, value in pairs(hit.ctx or {}) do list[#list + 1] = ("%s=%s"):format(key, value) end
  table.sort(list)
  return list[1] and (" (%s)"):format(table.concat(list, ", ")) or ""
end

local function first_act(hits, from)
  for i = from, #hits do
    if hits[i].action ~= "off" then return ("; hit %d%s did"):format(hits[i].hit, ctx_words(hits[i])) end
  end
  return ""
end

-- nil when the hit did what the term says, else what is wrong
local function differs(terms, want, hits, i)
  local hit, term = hits[i], terms[want]
  local due = term and term.action or "off"
  if hit.term == want then
    local same = hit.action == due and hit.arg == (term and term.arg) and hit.number == (term and term.number)
      and (hit.seconds == nil or math.abs(hit.seconds - term.seconds) < 1e-3)
    return not same and ("hit %d%s did '%s', not '%s'"):format(i, ctx_words(hit), tostring(hit.action), due)
      or nil
  end
  if due ~= "off" then
    return ("hit %d%s was to %s and did not%s"):format(i, ctx_words(hit), due, first_act(hits, i))
  end
  return ("hit %d%s was not to act, and did '%s'"):format(i, ctx_words(hit), tostring(hit.action))
end

-- How often a term that was armed must have acted: all that it may, where that is limited.
local function missing(term, fired)
  if term.action == "off" then return nil end
  local due = term.percent >= 100 and (term.count or 1) or 1
  local enough = fired >= due
  return not enough and ("'%s' acted %d of %d times"):format(term.text, fired, due) or nil
end

-- replay(text, hits) -> the hits that acted | nil, why the log is not what the expression says. hits: of one
--   arming, all of them, as the log has them {hit, term, action, ctx, pid, ...}
function M.replay(text, hits)
  local terms, states, acts = M.parse(text), {}, {}
  for i in ipairs(terms) do states[i] = { seen = 0, fired = 0 } end
  for i, hit in ipairs(hits) do
    if hit.hit ~= i then
      return nil, ("the log has hit %s where hit %d belongs"):format(tostring(hit.hit), i)
    end
    local wrong = differs(terms, taker(terms, states, hit), hits, i)
    if wrong then return nil, wrong end
    if hit.action ~= "off" then acts[#acts + 1] = hit end
  end
  if #hits == 0 then return nil, "it was never reached" end
  for i, term in ipairs(terms) do
    local short = missing(term, states[i].fired)
    if short then return nil, ("%s in %d hits"):format(short, #hits) end
  end
  return acts
end

return M
