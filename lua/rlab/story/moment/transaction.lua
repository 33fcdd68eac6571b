-- E-007's moment: records that were acknowledged behind a transaction, from the producer to the reader.
local batch = require "rlab.story.batch"

return function(seen, arm)
  if arm.class == "observe" then return nil end
  local dirty = arm.settings.isolation == "read_uncommitted"
  local acked, given = batch.with_prefix(seen.ru0, "plain0"), batch.with_prefix(seen.rc0, "plain0")
  local aborted = batch.with_prefix(seen.ru0, "tx")
  local reader = dirty and ("%d, and %d that were aborted"):format(#acked, #aborted)
    or #given < #acked and ("%d of %d for %.1f s"):format(#given, #acked, seen.unseen_seconds)
    or ("all %d after %.1f s"):format(#given, seen.unseen_seconds)
  local open, off = seen.window_held == true, dirty and #aborted > 0 or #given < #acked
  return { says = "a writer dies in its transaction, another goes on",
    { "producer", ("%d acknowledged"):format(#acked) },
    { "old transaction", open and "stays open" or "is ended" },
    { dirty and "read_uncommitted reader" or "read_committed reader", reader, off } }
end
