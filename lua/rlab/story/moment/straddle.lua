-- E-033's moment: the partition that moved, from the batch to who takes over.
return function(seen)
  local at, again = seen.after[tostring(seen.moved)], #seen.again
  local fields = { says = ("partition %d moves while 25 of its records are in a batch"):format(seen.moved),
    { "committed by its new owner", tostring(seen.before[tostring(seen.moved)]) },
    { "committed when the batch is over", tostring(at), at < seen.before[tostring(seen.moved)] },
    { "delivered again", ("%d record%s"):format(again, again == 1 and "" or "s"), again > 1 } }
  if #seen.lost > 0 then
    fields[#fields + 1] = { "never applied", ("%d records"):format(#seen.lost), true }
  end
  if seen.doubled > 0 then
    fields[#fields + 1] = { "applied twice", ("%d records"):format(seen.doubled), true }
  end
  return fields
end
