-- E-035: sixty requests, each of which publishes one event. Who has a producer, the request or
-- the process? What the brokers keep of each is counted when all of them are closed.
local per_request = require "rlab.story.producer.per_request"

local EVENTS, HANDLERS = 60, 12

local function run(lab, arm)
  local seen = per_request.day(lab, { producer = arm.settings.producer, events = EVENTS,
    handlers = HANDLERS })
  lab:percentiles("a request", seen.times, { 50, 99 }, "ms")
  lab:number("ids granted", #seen.granted)
  lab:number("transactional.ids", #seen.transactional_ids)
  seen.says = ("%d events, producer ids kept: %d, transactional.ids: %d"):format(#seen.records, #seen.known,
    #seen.transactional_ids)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-035", title = "Producer per request",
  question = "What does a producer that is made for one event and closed again leave behind?",
  claim = "Its id. Partitions keep it for a day after the last record and coordinators a transactional.id \z
    for a week, whether the client is there or not; a request waits for the id besides.",
  lesson = "One producer for a process, shared by all its threads, and a transactional.id that stays the \z
    same over restarts.",
  needs = { "kafka", "proxy" }, seconds = 6,
  side_by_side = true, roles = { handlers = per_request.role },
  telling = { { "producers.known", "producer ids that partitions keep" },
    { "transactional.ids", "transactional.ids that coordinators keep" } },
  arms = {
    wrong "producer-per-event" { says = "a new idempotent producer for each event", producer = "fresh" },
    wrong "transactional-id-per-event" { says = "a new producer with a new transactional.id for each event",
      producer = "transactional" },
    right "one-producer" { says = "one idempotent producer for all of them", producer = "shared" },
  },

  run = run,

  moment = require "rlab.story.moment.per_request",
  checks = function(lab, seen, arm)
    local wrong = arm.class == "wrong"
    local ids = wrong and EVENTS or 1
    lab.check.bound { name = "known", value = #seen.known, at_most = 1, unit = "producers",
      what = "are known to the topic's partitions:" }:expect { wrong = "violated", right = "holds" }
    lab.check.agree { { "left", #seen.known, ids, "producer ids are left behind" },
      { "transactions", #seen.transactional_ids, arm.settings.producer == "transactional" and EVENTS or 0,
        "transactional.ids are left behind", control = #seen.records } }
    lab.check.lost { name = "granted", of = seen.known, in_ = seen.granted, at_least = 1 }:expect "holds"
    lab.check.lost { of = seen.ids, in_ = seen.records, at_least = EVENTS }:expect "holds"
    lab.check.duplicate_publish { of = seen.records, at_least = EVENTS }:expect "holds"
  end,

  verdict = function(arms)
    local fresh, transactional, one = arms["producer-per-event"], arms["transactional-id-per-event"],
      arms["one-producer"]
    if not (fresh and transactional and one) then return nil end
    return ("%d events leave %d producer ids with a producer each, %d transactional.ids with one of these \z
      each, and %d id with one producer for all."):format(#one.records, #fresh.known,
      #transactional.transactional_ids, #one.known)
  end,
}
