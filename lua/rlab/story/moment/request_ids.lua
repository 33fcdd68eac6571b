-- E-025's moment: a command whose first answer was lost, and one that was repeated while it was in flight.
local function of(list, id)
  local found = {}
  for _, one in ipairs(list) do
    if one.id == id then found[#found + 1] = one end
  end
  return found
end

local function statuses(seen, id)
  local words = {}
  for i, answer in ipairs(of(seen.heard, id)) do words[i] = tostring(answer.status) end
  return #words > 0 and table.concat(words, ", ") or "nothing"
end

local function bad(text) return text:find "4%d%d" ~= nil end

local function of_command(seen, id)
  local rows, heard = #of(seen.rows, id), statuses(seen, id)
  return ("%d row%s; %s"):format(rows, rows == 1 and "" or "s", heard), rows ~= 1 or bad(heard)
end

return function(seen, arm)
  local unheard, unheard_bad = of_command(seen, "unheard-01")
  local in_flight, in_flight_bad = of_command(seen, "in-flight-01")
  local reused, other = statuses(seen, "reused-01"), statuses(seen, "other-tenant-01")
  return { says = "rows in the ledger, and the statuses that the client heard",
    { "first answer lost", unheard, unheard_bad }, { "repeated in flight", in_flight, in_flight_bad },
    { "its id for another command", reused, not (bad(reused) or arm.settings.ids) },
    { "the id of another tenant", other, bad(other) } }
end
