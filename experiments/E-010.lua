-- E-010: code that was written for one Redis meets a cluster: several keys, scripts, a client that does not
-- follow, a slot that moves.
local entries = require "rlab.story.two_entries"
local slot_move = require "rlab.story.slot_move"
local valkey = require "rlab.story.own.valkey"

local ACCOUNTS, ROUNDS = 60, 3 -- each with two entries; how often all are read afterwards
local HALF = ACCOUNTS // 2     -- X: both entries on one node, in two slots; Y: on two nodes

-- One log and one database for all arms: each account was updated once, its event is in the topic.
local function setup(lab)
  local list = {}
  for id = 1, ACCOUNTS do list[id] = { id = ("update-%d"):format(id), account = id, amount = 100 + id } end
  local topic = lab:event_topic { partitions = 1 }
  lab:publish { list = list }
  lab:fact("%d accounts updated once, %d entries to invalidate", ACCOUNTS, 2 * ACCOUNTS)
  return { topic = topic, database = lab:schema() }
end

local function says(arm, seen)
  if arm.settings.reads == "both" and seen.db_reads > ACCOUNTS then
    return ("%d of %d reads went to the database"):format(seen.db_reads, seen.reads)
  end
  if seen.stale > 0 then
    return ("%d of %d entries stay stale, %d updates refused"):format(seen.stale, #seen.cache,
      seen.refused.all)
  end
  if not seen.move then return "no entry is stale, none was refused" end
  return ("no entry is stale; a slot moved under %d reads, %d errors"):format(seen.move.reads,
    seen.move.errors)
end

local function measure(lab, seen)
  seen.stale = 0
  for _, row in ipairs(seen.cache) do seen.stale = seen.stale + (row.version == 0 and 1 or 0) end
  lab:number("stale entries", seen.stale)
  lab:number("updates refused", seen.refused.all)
  lab:number("database reads", seen.db_reads)
  if not seen.move then return end
  local stats = seen.move.stats
  lab:percentiles("read during the move", seen.move.ms, { 50, 99 }, "ms")
  lab:number("redirects per 1000 commands", (stats.moved + stats.asked) * 1000 / stats.commands)
end

local function run(lab, arm)
  local settings = arm.settings
  if settings.server == "valkey" then valkey.open(lab) end
  local list = entries.place(lab, ACCOUNTS, settings.tags)
  local reader, home = lab:cluster_client {}, lab:cluster():homes()
  local db = lab:own(must(mysql.connect(lab.stack:mysql_opts { database = lab.shared.database })))
  local one = settings.client == "one-node" and lab:cluster():primaries()[1]
  local client = one and one.conn or lab:cluster_client {}
  lab:watch(lab.shared.topic, 0, "events")
  entries.fill(reader, list)
  local refused = entries.invalidate(lab, client, list, settings.del)
  local seen = entries.read(reader, db, list, settings.reads or "each", ROUNDS)
  seen.refused, seen.move = refused, settings.move and slot_move[settings.move](lab, client) or nil
  seen.undeclared = settings.header and entries.undeclared(lab, client) or nil
  seen.cache, seen.views = entries.entries(lab, list), entries.views(db)
  seen.off_node = entries.ids(list, function(pair, word) return one and home(pair[word]) ~= one end)
  seen.of_x_and_y = entries.ids(list, function() return true end)
  seen.summaries_of_y = entries.ids(list, function(p, word) return p.kind == "Y" and word == "summary" end)
  measure(lab, seen)
  seen.says = says(arm, seen)
  return seen
end

local CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
local NOT_LOCAL = "Script attempted to access a non local key in a cluster node"
local NOT_ONE_SLOT = "Script attempted to access keys that do not hash to the same slot"

-- Replies go on behind these texts.
local function begins(lab, name, got, text)
  lab.check.equals { name = name, got = (got or "nothing"):sub(1, #text), want = text }:expect "holds"
end

local function none(lab, name, got, control, what)
  lab.check.equals { name = name, got = got, want = 0, control = control,
    what = what or "errors" }:expect "holds"
end

local function refused(lab, seen, kind, text)
  local row = seen.refused[kind] or { count = 0 }
  begins(lab, "refused-" .. kind, row.text, text)
  lab.check.equals { name = "count-" .. kind, got = row.count, want = HALF, control = #seen.cache,
    what = "updates refused" }:expect "holds"
end

-- Each returns the entries that must be stale; nil: none.
local checks = {}

checks["one-del"] = function(lab, seen)
  refused(lab, seen, "X", CROSSSLOT)
  refused(lab, seen, "Y", CROSSSLOT)
  return seen.of_x_and_y
end
checks["script-of-two-slots"] = checks["one-del"]

checks["undeclared-key"] = function(lab, seen)
  refused(lab, seen, "Y", "ERR " .. NOT_LOCAL)
  none(lab, "refused-X", seen.refused.X and seen.refused.X.count or 0, #seen.cache,
    "where one node has both slots")
  return seen.summaries_of_y
end

checks["no-redirects"] = function(_, seen) return seen.off_node end

checks["error-is-a-miss"] = function(lab, seen)
  lab.check.equals { name = "every-read", got = seen.db_reads, want = seen.reads,
    what = "reads of the database" }:expect "holds"
end

checks["declared-script"] = function(lab, seen)
  begins(lab, "undeclared-X", seen.undeclared.X, NOT_ONE_SLOT)
  begins(lab, "undeclared-Y", seen.undeclared.Y, NOT_LOCAL)
end

local function nothing_at_the_caller(lab, seen)
  none(lab, "refused", seen.refused.all, #seen.cache)
  none(lab, "failed", seen.failed, seen.reads)
end

local function nothing_of_the_move(lab, move)
  none(lab, "move-errors", move.errors, move.reads)
  none(lab, "move-answers", move.wrong, move.reads, "wrong answers")
  lab.check.enough { name = "move-reads", seen = move.reads, at_least = 40, unit = "reads" }
  for _, word in ipairs { "tryagain", "asked" } do
    local count = move.stats and move.stats[word]
    if move.moved_once then
      none(lab, word, count, move.reads, "replies of a half-moved slot")
    else
      lab.check.enough { name = word, seen = count, at_least = 1, unit = "replies" }
    end
  end
  if not move.moved_once then return end
  lab.check.equals { name = "moved-once", got = move.moved_once, want = slot_move.READERS,
    control = move.stats.moved, what = "clients that met MOVED once" }:expect "holds"
end

return experiment {
  id = "E-010",
  title = "Redis Cluster: slots, hash tags, several keys and Lua",
  question = "What breaks when code that was written for one Redis meets a cluster?",
  claim = "Several keys and scripts work within one slot only; an ignored error becomes a stale cache.",
  lesson = "Give keys that belong together one hash tag, or group them by slot; follow MOVED and ASK, try \z
    again after TRYAGAIN, and never take an error for a miss.",
  needs = { "kafka", "mysql", "redis-cluster" }, seconds = 20,
  disrupts = { "redis-cluster" }, -- moves slots
  telling = { { "stale-cache", "stale cache entries" }, { "database-reads", "asked of the database" } },
  arms = {
    wrong "one-del" { says = "one DEL for keys of two slots, its error ignored", del = "one-del" },
    wrong "script-of-two-slots" { says = "EVAL with KEYS in two slots", del = "script" },
    wrong "undeclared-key" { says = "EVAL that touches a key it did not declare", del = "undeclared" },
    wrong "no-redirects" { says = "a client of one node that does not follow MOVED", del = "one-by-one",
      client = "one-node" },
    wrong "error-is-a-miss" { says = "MGET over slots, its error taken for a miss", del = "by-slot",
      reads = "both" },
    right "hash-tags" { says = "both keys carry the account's tag", tags = true, del = "one-del",
      reads = "both", move = "by_hand" },
    right "by-slot" { says = "the client groups keys by slot, follows, tries again", del = "by-slot",
      move = "by_hand" },
    right "declared-script" { says = "a script with a header, its keys declared and tagged", tags = true,
      del = "declared", header = true },
    right "atomic-move" { says = "the slot moves in one step (Valkey 9)", tags = true, del = "one-del",
      reads = "both", move = "in_one_step", server = "valkey" },
  },

  setup = setup, run = run,

  checks = function(lab, seen, arm)
    local stale = checks[arm.name] and checks[arm.name](lab, seen)
    lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = 2 * ACCOUNTS }
      :expect(stale or "holds")
    lab.check.enough { name = "reads", seen = seen.reads, at_least = ROUNDS * ACCOUNTS, unit = "reads" }
    lab.check.bound { name = "database-reads", value = seen.db_reads, at_most = ACCOUNTS, unit = "reads",
      what = "the database was asked for", control = seen.reads }
      :expect(arm.name == "error-is-a-miss" and "violated" or "holds")
    if arm.class == "right" then nothing_at_the_caller(lab, seen) end
    if arm.settings.move then nothing_of_the_move(lab, seen.move or {}) end
  end,

  verdict = function(arms)
    local del, miss, tags = arms["one-del"], arms["error-is-a-miss"], arms["hash-tags"]
    if not (del and miss and tags) then return nil end
    local words = "One DEL over slots is refused %d of %d times; an error taken for a miss sends %d of %d \z
      reads to the database; with hash tags a slot moved under %d reads, %d errors."
    return words:format(del.refused.all, ACCOUNTS, miss.db_reads, miss.reads, tags.move.reads,
      tags.move.errors)
  end,
}
