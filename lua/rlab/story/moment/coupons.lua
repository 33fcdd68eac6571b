-- E-024's moment: the last coupon, and what the two books say when all is over.
return function(seen, arm)
  local last = 0
  for _, serial in ipairs(seen.serials) do last = last + (serial == "coupon-100" and 1 or 0) end
  local rows, raced = #seen.issued, last > 1
  local fields = { says = "sixteen workers come for the last coupon",
    { "coupon 100", ("issued %d time%s"):format(last, last == 1 and "" or "s"), raced },
    { "rows in MySQL", tostring(rows), rows ~= 100 } }
  if arm.settings.book == "redis" or arm.name == "gate" then
    fields[#fields + 1] = { "Redis has left", tostring(seen.gate), seen.gate < 0 }
  end
  if arm.class == "right" then fields[#fields + 1] = { "MySQL has left", tostring(seen.left) } end
  return fields
end
