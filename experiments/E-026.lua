-- E-026: thirty commands. The eleventh has its outbox id and stands still before its COMMIT while those
-- behind it commit, and the relay polls in between. Which rows does it send, and which never?
local claims = require "rlab.story.relay.claims"
local gap = require "rlab.story.relay.commit_gap"
local tables = require "rlab.tables"

local COMMANDS, ACCOUNTS = 30, 6
local ROLLED_BACK, HELD, NEXT = 5, 11, 21 -- NEXT is of HELD's account
local SENT = 8 -- of these the relay knows before it stands still
local WAIT, LOOKS, CHANCES = 0.2, 50, 20

local function plan(lab)
  local list = lab:plan(COMMANDS, ACCOUNTS)
  for i, one in ipairs(list) do one.account = 2 + i % (ACCOUNTS - 1) end
  list[HELD].account, list[NEXT].account = 1, 1
  return list
end

local function part(list, from, to) return table.move(list, from, to, 1, {}) end

-- Everything that is committed while the eleventh is open, and what the relay sends of it.
local function meanwhile(lab, at, list, seen, send)
  send(1, ROLLED_BACK - 1)
  gap.roll_back(lab, at.command, list[ROLLED_BACK])
  send(ROLLED_BACK, SENT)
  lab:owed("passes-a-rollback", "what lies behind a rolled-back id is sent",
    function() return gap.published(lab) >= SENT end)
  local looks, frozen = gap.looks(at.relay), at.relay:freeze()
  send(SENT + 1, HELD - 1)
  local open = gap.hold(lab, at.command, list[HELD])
  send(HELD + 1, NEXT - 1)
  local following = gap.behind(lab, at.command, list[NEXT])
  frozen.thaw()
  lab:owed("goes-on", "the relay sends what is committed, or looks at the hole again and again", function()
    return gap.published(lab) >= NEXT - 2 or gap.looks(at.relay) >= looks + LOOKS
  end)
  seen.while_open = lab:records(lab:event_topic())
  return open, following
end

-- Both entries of account 1 are to be there at the relay's next poll.
local function commit_both(at, open, following, ok)
  local go_on = gap.freeze(at.relay)
  tables.append(ok, open.commit())
  tables.append(ok, following())
  go_on()
end

local function story(lab, at, list)
  local seen = { ok = {} }
  local function send(from, to) tables.append(seen.ok, gap.send(lab, at.command, part(list, from, to))) end
  local open, following = meanwhile(lab, at, list, seen, send)
  commit_both(at, open, following, seen.ok)
  seen.open_s = open.seconds
  send(NEXT + 1, COMMANDS)
  lab:owed("published", "the last command is in the topic", function()
    return gap.published(lab) >= COMMANDS - 1
      and lab:record_of(lab:records(lab:event_topic()), list[COMMANDS].id) ~= nil
  end)
  gap.more_polls(lab, at.relay, CHANCES)
  lab:drain { outbox = false }
  return seen
end

local function look(lab, seen, held)
  local stores = lab:stores()
  seen.ledger, seen.effects, seen.sums = stores.ledger, stores.effects, stores.sums
  seen.outbox = stores.outbox
  seen.records, seen.committed = lab:records(lab:event_topic()), lab:committed()
  seen.missing_ids, seen.ids_behind = gap.ids(lab, stores.request, held.id)
  seen.held, seen.amount = held.id, held.amount
  seen.overtook = #seen.while_open - (HELD - 1)
  seen.off = stores.sums.view - stores.sums.ledger
  return seen
end

local function says(lab, seen)
  if not lab:record_of(seen.records, seen.held) then
    return ("%s is committed and never sent: %+d cents"):format(seen.held, seen.off)
  end
  if seen.overtook > 0 then
    return ("%s is sent late, behind %d others; none lost"):format(seen.held, seen.overtook)
  end
  return ("what is behind %s waits for it, %.1f s; none lost"):format(seen.held, seen.open_s)
end

-- The observed arm has no relay: SQL of its own, while the eleventh is open.
local function ask(lab, at, list)
  gap.roll_back(lab, at.command, list[1])
  local seen = { ok = gap.send(lab, at.command, part(list, 1, HELD - 1)) }
  local open = gap.hold(lab, at.command, list[HELD])
  seen.claims = claims.ask(lab)
  tables.append(seen.ok, open.commit())
  lab:issued("commands", #seen.ok, HELD)
  seen.says = ("a mark by condition waits for the open row (%d); SKIP LOCKED finds the other %d"):format(
    seen.claims.committed, seen.claims.skip_locked)
  return seen
end

local function run(lab, arm)
  lab:event_topic { partitions = 1 }
  lab:accounts(ACCOUNTS)
  local list = plan(lab)
  local at = gap.services(lab, arm.settings, NEXT - 2 - SENT)
  if not at.relay then return ask(lab, at, list) end
  lab:watch_pipeline { "lag", "applied" }
  local seen = look(lab, story(lab, at, list), list[HELD])
  seen.says = says(lab, seen)
  lab:number("the transaction was open", seen.open_s, "s")
  lab:number("sent meanwhile from behind it", seen.overtook, "events")
  lab:number("money off", seen.off, "cents")
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

local function sent_while_open(arm)
  local ids = {}
  for i = 1, arm.settings.gaps == "safe" and HELD - 1 or NEXT - 1 do
    if i ~= HELD then ids[#ids + 1] = ("cmd-%04d"):format(i) end
  end
  return ids
end

return experiment {
  id = "E-026",
  title = "Commit-order gap in a cursor relay",
  question = "Can a relay read the outbox by `id > last`?",
  claim = "Ids are handed out before COMMIT, so a row can appear below the cursor: it is never sent, and no \z
    error says so. A flag finds it late; a cursor is safe if it stops at a hole that may still be filled.",
  lesson = "Commit order is not id order. Keep a flag per row, or stop at a hole until all writers that \z
    were open have ended; no fixed wait is long enough.",
  needs = { "kafka", "mysql" }, seconds = 7,
  -- Who stops at holes waits for each transaction of the server that writes, whosever it is.
  undisturbed = true,
  side_by_side = { { "ignores-holes", "waits-200-ms", "status-flag", "claims" } },
  telling = { { "lost", "committed events never sent" }, { "conservation", "money off" } },
  arms = {
    wrong "ignores-holes" { says = "a cursor: id > last", mark = "cursor", gaps = "ignore" },
    wrong "waits-200-ms" { says = "a cursor that waits 200 ms at a hole, then takes it for a rollback",
      mark = "cursor", gaps = "wait", gap_wait = "200ms" },
    right "status-flag" { says = "published_at, set by primary key; rows below the last one are looked for",
      mark = "update" },
    right "stops-at-holes" { says = "a cursor that stops at a hole until no transaction that was open can \z
      fill it", mark = "cursor", gaps = "safe" },
    observe "claims" { says = "claims by SQL, while the transaction is open" },
  },

  run = run,

  moment = require "rlab.story.moment.commit_gap",
  checks = function(lab, seen, arm)
    if arm.class == "observe" then return claims.check(lab, seen.claims, HELD - 1) end
    local lost = { wrong = { seen.held }, right = "holds" }
    lab.check.lost { of = seen.ok, in_ = seen.records, at_least = COMMANDS }:expect(lost)
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records, at_least = COMMANDS }:expect(lost)
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect "holds"
    lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    lab.check.duplicate_publish { of = seen.records, at_least = COMMANDS - 1 }:expect "holds"
    lab.check.reorder { of = seen.records, what = "publish" }:expect "holds"
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects }
      :expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect { wrong = -seen.amount, right = 0 }
    lab.check.same { name = "sent-while-open", got = seen.while_open, what = "events sent while it was open",
      want = sent_while_open(arm) }:expect "holds"
    if arm.settings.gaps == "wait" then
      lab.check.enough { name = "open", seen = seen.open_s, at_least = WAIT, unit = "s",
        what = "the transaction was open" }
    end
    lab.check.agree { { "accepted", #seen.ok, COMMANDS, "commands accepted" },
      { "rolled-back", seen.missing_ids, 1, "id that nobody has" },
      { "behind", seen.ids_behind, COMMANDS - HELD, "outbox ids are higher than the held one's" } }
  end,

  verdict = function(arms)
    local ignores, waits, flag, stops = arms["ignores-holes"], arms["waits-200-ms"], arms["status-flag"],
      arms["stops-at-holes"]
    if not (ignores and waits and flag and stops) then return nil end
    return ("An event committed behind its cursor is lost, %+d cents, also after a wait of 200 ms; a flag \z
      sends it late, behind %d; a cursor that stops at holes keeps %.1f s of order."):format(ignores.off,
      flag.overtook, stops.open_s)
  end,
}
