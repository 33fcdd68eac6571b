-- E-022's moment: what the job did, and what the view has of it: of the account that a live event overtook,
-- or of all rows.
local function view(seen)
  local bad = #seen.unbuilt + #seen.wrong
  return { "view rows", bad == 0 and ("all %d right"):format(seen.compared)
    or ("%d of %d empty"):format(#seen.unbuilt, seen.compared), bad > 0 }
end

local function overtaken(seen)
  local last = seen.raced[#seen.raced]
  local off = last.version < 3
  return { says = ("account %s: a live event comes between the job's read and its write"):format(last.key),
    { "live event", "version 3" },
    { "the job, with version 2", off and "writes it over that" or "passes it over", off },
    { "view row", ("version %d"):format(last.version), off } }
end

local did = {}

did["all-at-once"] = function(seen)
  return { "topic of live events", ("%d records of the job"):format(#seen.sent) },
    { "live events", ("p99 %.0f ms, %.0f before"):format(seen.during, seen.before),
      seen.during > 5 * seen.before }
end

did["original-ids"] = function(seen)
  return { "topic", ("%d old events again"):format(#seen.sent) },
    { "dedup table", ("%d of them are new"):format(#seen.repairs) }
end

did["old-timestamps"] = function(seen)
  return { "topic of its own", ("%d records with the time of yesterday"):format(#seen.sent) },
    { "consumer", ("%d applied"):format(#seen.repairs) }
end

did["no-checkpoint"] = function(seen)
  return { "after its crash", "the job begins anew" },
    { "rows written", ("%d for %d"):format(seen.written, seen.compared), seen.written > seen.compared }
end

did["older-version"] = function(seen)
  return { "guard", "the version of the oldest entry" },
    { "rows written", ("%d for %d"):format(seen.written, seen.compared) }
end

did["failed-is-done"] = function()
  return { "a chunk", "fails" }, { "checkpoint", "moves over it" }
end

did["own-topic"] = function(seen)
  return { "topic of its own", ("%d records"):format(#seen.sent) },
    { "group of its own", ("%d applied"):format(#seen.repairs) }
end

return function(seen, arm)
  if arm.name == "no-guard" or arm.name == "chunks" then
    return overtaken(seen)
  end
  if not did[arm.name] then return nil end
  local cause, effect = did[arm.name](seen)
  return { says = seen.done and "the job says done" or "the job does not say done", cause, effect,
    view(seen) }
end
