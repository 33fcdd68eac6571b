-- What a run's result says, fact by fact, and where two runs differ.
local M = {}

local function number_words(value)
  return math.type(value) == "float" and ("%.4g"):format(value) or tostring(value)
end

local function facts_of(result)
  local facts = { verdict = result.verdict, seed = result.run.seed,
    duration = ("%.1f s"):format(result.run.duration) }
  for name, value in pairs(result.run.options or {}) do facts["option " .. name] = tostring(value) end
  for _, number in ipairs(result.numbers or {}) do
    facts["setup: " .. number.name] = tostring(number.value)
  end
  for _, fault in ipairs(result.faults or {}) do
    if not fault.fired then facts[("fault %s/%s"):format(fault.arm or "setup", fault.name)] = "no proof" end
  end
  for _, arm in ipairs(result.arms) do
    facts["arm " .. arm.name] = arm.outcome
    for _, number in ipairs(arm.numbers or {}) do
      facts[("%s: %s"):format(arm.name, number.name)] = number_words(number.value)
        .. (number.unit and " " .. number.unit or "")
    end
  end
  for _, one in ipairs(result.checks) do
    facts[("check %s/%s"):format(one.arm, one.name)] = one.outcome .. ", " .. one.sentence
  end
  for name, version in pairs(result.stack.versions or {}) do facts["version " .. name] = version end
  return facts
end

-- differing(result, other) -> rows {what, a, b} by what: facts that are not the same in both; "-" where one
--   has none
function M.differing(result, other)
  local a, b, names, rows = facts_of(result), facts_of(other), {}, {}
  for name in pairs(a) do names[name] = true end
  for name in pairs(b) do names[name] = true end
  for name in pairs(names) do
    if a[name] ~= b[name] then
      rows[#rows + 1] = { what = name, a = tostring(a[name] or "-"), b = tostring(b[name] or "-") }
    end
  end
  table.sort(rows, function(x, y) return x.what < y.what end)
  return rows
end

return M
