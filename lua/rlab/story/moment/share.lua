-- E-032's moment: what each of the three places has of the sixty records when all is over.
local function some(n) return ("%d of 60"):format(n) end

return function(seen, arm)
  local s, bad = arm.settings, arm.class == "wrong"
  local dead, bare, healthy = #seen.archived, #seen.bare, s.fault == "crash" and 59 or 60
  local held = { crash = "a record kills its member",
    outage = ("the downstream is away for %.1f s"):format(seen.away or 0),
    freeze = "two members freeze with all of them" }
  local fields = { says = held[s.fault],
    { "effects", ("%d of %d healthy ones"):format(healthy - #seen.unprocessed, healthy),
      #seen.unprocessed > 0 },
    { "the DLQ", some(dead), dead > 1 or s.enabled == false } }
  if dead > 0 then
    fields[#fields + 1] = { "of it with the record", bare > 0 and "none" or tostring(dead), bare > 0 }
  end
  if #seen.again > 0 then fields[#fields + 1] = { "done twice", some(#seen.again), bad } end
  fields[#fields + 1] = { "told to a member", seen.told == 0 and "nothing" or ("%d errors"):format(seen.told),
    bad and seen.told == 0 }
  return fields
end
