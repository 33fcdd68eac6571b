-- Checks over numbers and over the state of two stores: sums, limits, and a cache that is behind its source.
local core = require "rlab.check.core"

local add, unmeasured = core.add, core.unmeasured
local M = {}

-- equals{name =, got =, want =, what = "records"}: two numbers or words that must agree
function M.equals(lab, a)
  if a.got == nil or a.want == nil then return unmeasured(lab, a.name, a.what) end
  local same, got = a.got == a.want, tostring(a.got) .. (a.what and " " .. a.what or "")
  return add(lab, a.name, {
    value = type(a.got) == "number" and a.got or nil,
    outcome = same and "holds" or "violated",
    sentence = same and got .. ", as it must be" or ("%s, it must be %s"):format(got, tostring(a.want)),
    counterexamples = same and {}
      or { { id = a.name, note = ("got %s, want %s"):format(tostring(a.got), tostring(a.want)) } },
  })
end

-- agree{ {name, got, want, what}, ... }: several of them, each expected to hold
function M.agree(lab, rows)
  for _, row in ipairs(rows) do
    M.equals(lab, { name = row[1], got = row[2], want = row[3], what = row[4] }):expect "holds"
  end
end

local function sums_note(a)
  local text = ("ledger %s"):format(a.ledger)
  if a.account then text = ("%s, account %s"):format(text, a.account) end
  return a.view and ("%s, view %s"):format(text, a.view) or text
end

-- conservation{ledger = sum, account = sum, view = sum, unit = "cents"}: sum ledger = sum account = sum
-- view; account or view may be left out. Its value is how far the view (or the account) is off. A command
-- of unknown outcome is in all of them or in none.
function M.conservation(lab, a)
  local name = a.name or "conservation"
  if a.ledger == nil or (a.view == nil and a.account == nil) then return unmeasured(lab, name, "the sum") end
  local account_off, view_off = a.account and a.account - a.ledger or 0, a.view and a.view - a.ledger or 0
  local off = view_off ~= 0 and view_off or account_off
  local who = view_off ~= 0 and "the view" or "the accounts"
  local holds = account_off == 0 and view_off == 0
  return add(lab, name, {
    value = off, unit = a.unit, outcome = holds and "holds" or "violated",
    sentence = holds and ("ledger and %s agree on %s"):format(a.view and "view" or "accounts",
      tostring(a.ledger))
      or ("%s %s off by %+d %s"):format(who, view_off ~= 0 and "is" or "are", off, a.unit or ""),
    counterexamples = holds and {} or { { id = "sum", note = sums_note(a) } },
  })
end

-- bound{name =, value =, at_least =, at_most =, unit =, what =}
function M.bound(lab, a)
  if a.value == nil then return unmeasured(lab, a.name, a.what) end
  local low, high = a.at_least or -math.huge, a.at_most or math.huge
  local limit = a.at_most and ("at most %s"):format(a.at_most) or ("at least %s"):format(tostring(a.at_least))
  local value = math.type(a.value) == "float" and ("%.2f"):format(a.value) or tostring(a.value)
  local inside = a.value >= low and a.value <= high
  return add(lab, a.name, {
    outcome = inside and "holds" or "violated", bound = limit, value = a.value, unit = a.unit,
    sentence = ("%s%s%s, limit %s"):format(a.what and a.what .. " " or "", value,
      a.unit and " " .. a.unit or "", limit),
    counterexamples = inside and {} or { { id = a.name, note = value } },
  })
end

-- amplification{operations = of the origin, logical = operations that people asked for, at_most = 1, what =
-- "database reads per expiry"}
function M.amplification(lab, a)
  local name = a.name or "amplification"
  if a.operations == nil or a.logical == nil then return unmeasured(lab, name, a.what) end
  if a.logical == 0 then
    return core.inconclusive(lab, name, "%s: there was no operation to be multiplied", name)
  end
  local factor = a.operations / a.logical
  if factor == math.floor(factor) then factor = math.tointeger(factor) end
  local inside = factor <= (a.at_most or 1)
  local text = math.type(factor) == "float" and ("%.2f"):format(factor) or tostring(factor)
  return add(lab, name, {
    outcome = inside and "holds" or "violated", value = factor, bound = ("at most %s"):format(a.at_most or 1),
    sentence = ("%s %s, limit %s"):format(text, a.what or "operations of the origin for one", a.at_most or 1),
    counterexamples = inside and {}
      or { { id = name, note = ("%d operations for %d"):format(a.operations, a.logical) } },
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

-- stale_cache{cache = rows {key, version}, views = rows {key, version}, at_least = keys that must be
-- cached}: when all is quiet no cached version may be behind its source's. With fewer cached keys than
-- stated nothing is proved.
function M.stale_cache(lab, a)
  local name, cached, source, rows = a.name or "stale-cache", values_of(a.cache), {}, {}
  if #cached < (a.at_least or 1) then
    return core.inconclusive(lab, name, "%s: only %s cached, %d stated", name,
      core.plural(#cached, "account"), a.at_least or 1)
  end
  for _, row in ipairs(a.views) do source[tostring(row.key)] = row.version end
  for _, row in ipairs(cached) do
    local now = source[tostring(row.key)] or 0
    if row.version < now then
      rows[#rows + 1] = { id = tostring(row.key), key = row.key,
        note = ("cached version %d, the view has %d"):format(row.version, now) }
    end
  end
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = row.id end
  return core.empty_set(lab, name, ids, ("all %s fresh"):format(core.plural(#cached, "cached account")),
    "%s stale in the cache",
    { details = rows, word = "account" })
end

return M
