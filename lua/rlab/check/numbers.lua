-- Checks over numbers and over the state of two stores: sums, limits, and a cache that is not its source's.
local core = require "rlab.check.core"
local units = require "rlab.units"

local add, unmeasured = core.add, core.unmeasured
local M = {}

-- Nothing was counted: that says as much as the instrument that counted it, so a control must show that it
-- moves. -> check | nil
local function counts_nothing(lab, name, what, value, control)
  if value ~= 0 or control ~= nil then return nil end
  return core.inconclusive(lab, name, "0%s, and no control shows that the counter moves",
    what and " " .. what or "")
end

-- equals{name =, got =, want =, what = "records", control =}: two numbers or words that must agree; a 0 needs
-- a control
function M.equals(lab, a)
  local nothing = counts_nothing(lab, a.name, a.what, a.got, a.control)
  if nothing then return nothing end
  local same, got = a.got == a.want, tostring(a.got) .. (a.what and " " .. a.what or "")
  return add(lab, a.name, {
    value = type(a.got) == "number" and a.got or nil, unit = a.unit,
    outcome = same and "holds" or "violated",
    sentence = same and got .. ", as it must be" or ("%s, it must be %s"):format(got, tostring(a.want)),
    counterexamples = same and {}
      or { { id = a.name, note = ("got %s, want %s"):format(tostring(a.got), tostring(a.want)) } },
  })
end

local function number_words(value)
  return math.type(value) == "float" and ("%.2f"):format(value) or tostring(value)
end

-- enough{name =, seen =, at_least =, unit =, what =}: the floor of an arm, such as operations that were
-- accepted; with less nothing else is proved. It holds or is inconclusive, and expects to hold.
function M.enough(lab, a)
  local text = ("%s%s, at least %s"):format(number_words(a.seen),
    a.unit and " " .. core.unit_for(a.seen, a.unit) or "", number_words(a.at_least))
  local sentence = a.what and a.what .. ": " .. text or text
  local check = a.seen >= a.at_least and add(lab, a.name, { outcome = "holds", sentence = sentence,
    value = a.seen, unit = a.unit }) or core.inconclusive(lab, a.name, "%s", sentence)
  check.floor = true
  return check:expect "holds"
end

local function sums_note(a)
  local text = ("ledger %s"):format(a.ledger)
  if a.account then text = ("%s, account %s"):format(text, a.account) end
  return a.view and ("%s, view %s"):format(text, a.view) or text
end

-- The sums as each store holds them, for the report's picture.
local function sums_held(a)
  local held = {}
  for _, key in ipairs { "ledger", "account", "view" } do
    if a[key] then held[#held + 1] = { store = key, text = ("%s %s"):format(a[key], a.unit or "") } end
  end
  return held
end

-- How far a is from b. Integers wrap at 64 bits; there the float is near enough, and surely not 0.
local function difference(a, b)
  local exact = math.type(a) == "integer" and math.type(b) == "integer" and units.subtract(a, b)
  return exact or a + 0.0 - b
end

-- The name of a sum that is no number | nil
local function no_sum(a)
  for _, key in ipairs { "ledger", "account", "view" } do
    local value = a[key]
    if value and (value ~= value or value == math.huge or value == -math.huge) then return key end
  end
end

local function off_sentence(who, verb, off, unit)
  local text = math.type(off) == "integer" and ("%+d"):format(off) or ("%+.0f"):format(off)
  return ("%s %s off by %s %s"):format(who, verb, text, unit or "")
end

local function conserved(lab, name, a, account_off, view_off)
  local holds = account_off == 0 and view_off == 0
  return add(lab, name, {
    value = view_off ~= 0 and view_off or account_off, unit = a.unit,
    outcome = holds and "holds" or "violated",
    sentence = holds and ("ledger and %s agree on %s"):format(a.view and "view" or "accounts",
      tostring(a.ledger))
      or view_off ~= 0 and off_sentence("the view", "is", view_off, a.unit)
      or off_sentence("the accounts", "are", account_off, a.unit),
    stores = holds and sums_held(a) or nil,
    counterexamples = holds and {} or { { id = "sum", note = sums_note(a), stores = sums_held(a) } },
  })
end

-- conservation{ledger = sum, account = sum, view = sum, unit = "cents", control =}: sum ledger = sum account
-- = sum view; account or view may be left out. Its value is how far the view (or the account) is off. A
-- command of unknown outcome is in all of them or in none. Sums of 0 need a control.
function M.conservation(lab, a)
  local name = a.name or "conservation"
  if a.view == nil and a.account == nil then return unmeasured(lab, name, "the other sum") end
  local broken = no_sum(a)
  if broken then return core.inconclusive(lab, name, "the sum '%s' is %s", broken, a[broken]) end
  local account_off = a.account and difference(a.account, a.ledger) or 0
  local view_off = a.view and difference(a.view, a.ledger) or 0
  local nothing = account_off == 0 and view_off == 0
    and counts_nothing(lab, name, a.unit, a.ledger, a.control)
  return nothing or conserved(lab, name, a, account_off, view_off)
end

local function limits_of(a)
  if a.at_least == nil and a.at_most == nil then
    error("check.bound: needs 'at_least' or 'at_most': without a limit everything is inside", 0)
  end
  if a.at_least and a.at_most and a.at_least > a.at_most then
    error(("check.bound: at_least %s is above at_most %s"):format(a.at_least, a.at_most), 0)
  end
  local words = {}
  if a.at_least then words[1] = "at least " .. tostring(a.at_least) end
  if a.at_most then words[#words + 1] = "at most " .. tostring(a.at_most) end
  return table.concat(words, " and ")
end

-- Units of time, in seconds.
local TIMES = { s = 1, ms = 1e-3, us = 1e-6 }

-- What cannot have been measured: a time that ends before it begins, or a 0 that nothing controls.
local function not_measured(lab, a)
  if TIMES[a.unit] and a.value < 0 then
    return core.inconclusive(lab, a.name, "%.2f %s is no time that was measured", a.value, a.unit)
  end
  return counts_nothing(lab, a.name, a.unit, a.value, a.control)
end

-- bound{name =, value =, at_least =, at_most =, unit =, what =, why = where the limit comes from, control =}:
-- a 0 needs a control
function M.bound(lab, a)
  local limit = limits_of(a)
  local unseen = not_measured(lab, a)
  if unseen then return unseen end
  local value = number_words(a.value)
  local inside = a.value >= (a.at_least or -math.huge) and a.value <= (a.at_most or math.huge)
  local over = math.max((a.at_least or -math.huge) - a.value, a.value - (a.at_most or math.huge))
  return add(lab, a.name, {
    outcome = inside and "holds" or "violated", bound = limit, value = a.value, unit = a.unit,
    limit_s = TIMES[a.unit] and (a.at_most or a.at_least) * TIMES[a.unit] or nil,
    over_s = TIMES[a.unit] and over * TIMES[a.unit] or nil,
    sentence = ("%s%s%s, limit %s%s"):format(a.what and a.what .. " " or "", value,
      a.unit and " " .. core.unit_for(a.value, a.unit) or "", limit, a.why and " (" .. a.why .. ")" or ""),
    counterexamples = inside and {} or { { id = a.name, note = value } },
  })
end

-- amplification{operations = of the origin, logical = operations that people asked for, at_most = 1, what =
-- "database reads per expiry", control =}: 0 operations of the origin need a control
function M.amplification(lab, a)
  local name, limit = a.name or "amplification", a.at_most or 1
  if limit <= 0 then error("check.amplification: 'at_most' is above 0", 0) end
  if a.logical <= 0 then return core.inconclusive(lab, name, "there was no operation to be multiplied") end
  if a.operations < 0 then return unmeasured(lab, name, a.what) end
  local nothing = counts_nothing(lab, name, a.what, a.operations, a.control)
  if nothing then return nothing end
  local factor = a.operations / a.logical
  factor = math.tointeger(factor) or factor
  local inside = factor <= limit
  return add(lab, name, {
    outcome = inside and "holds" or "violated", value = factor, unit = a.unit,
    bound = ("at most %s"):format(limit),
    sentence = ("%s %s, limit %s"):format(number_words(factor),
      a.what or "operations of the origin for one", limit),
    counterexamples = inside and {}
      or { { id = name, note = ("%s operations for %s"):format(a.operations, a.logical) } },
  })
end

-- A tombstone or a negative entry claims no value, so it cannot be an old one.
local function values_of(cache)
  local list = {}
  for _, row in ipairs(cache) do
    if row.state == nil or row.state == "value" then list[#list + 1] = row end
  end
  return list
end

local function by_account(views)
  local source = {}
  for _, row in ipairs(views) do source[tostring(row.key)] = row end
  return source
end

-- What is wrong with a cached value, in words | nil
local function wrong_value(cached, view)
  if cached.version == nil then error("check.stale_cache: a cached value has no version", 0) end
  if not view then return ("cached version %s, the view has no such account"):format(cached.version) end
  if cached.version < view.version then
    return ("cached version %s, the view has %s"):format(cached.version, view.version)
  end
  if cached.version > view.version then
    return ("cached version %s is ahead of the view's %s"):format(cached.version, view.version)
  end
  if cached.balance ~= nil and view.balance ~= nil and cached.balance ~= view.balance then
    return ("version %s is cached with balance %s, the view has %s"):format(cached.version, cached.balance,
      view.balance)
  end
end

local function value_words(row)
  if not row then return "no such account" end
  local who = tostring(row.key):find "^%d+$" and "account " .. row.key or tostring(row.key)
  return ("%s: version %s"):format(who, row.version)
    .. (row.balance ~= nil and (", balance %s"):format(row.balance) or "")
end

-- What both stores hold of one account.
local function both(cached, view)
  return { { store = "view row", text = value_words(view) },
    { store = "cache entry", text = value_words(cached) } }
end

-- The account that was changed most: it is there that a fresh entry says something.
local function most_changed(cached, source)
  local found
  for _, row in ipairs(cached) do
    if not found or row.version > found.version then found = row end
  end
  return both(found, source[tostring(found.key)])
end

-- stale_cache{cache = rows {key, version, balance}, views = rows {key, version, balance}, at_least = values
-- that must be cached}: when all is quiet each cached value is its source's: not behind it, not ahead of it,
-- of an account that there is, with the balance of its version
function M.stale_cache(lab, a)
  local name, cached, source = a.name or "stale-cache", values_of(a.cache), by_account(a.views)
  local floor, ids, rows = a.at_least or 1, {}, {}
  if #cached < floor then
    return core.inconclusive(lab, name, "only %s cached, %s stated", core.plural(#cached, "account"), floor)
  end
  for _, row in ipairs(cached) do
    local note = wrong_value(row, source[tostring(row.key)])
    if note then
      ids[#ids + 1] = tostring(row.key)
      rows[#rows + 1] = { id = tostring(row.key), key = row.key, note = note, stored_as = row.stored_as,
        stores = both(row, source[tostring(row.key)]) }
    end
  end
  return core.empty_set(lab, name, ids, ("all %s fresh"):format(core.plural(#cached, "cached account")),
    "%s stale in the cache", { details = rows, word = "account",
      stores = #ids == 0 and #cached > 0 and most_changed(cached, source) or nil })
end

return M
