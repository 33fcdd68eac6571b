-- rlab replay: dead-letter topics and group offsets by hand.
local exit = require "rlab.exit"
local must = require "rlab.must"
local term = require "rlab.term"
local units = require "rlab.units"
local usage = require "rlab.usage" "replay: "

local function checked(brokers, where)
  return require("rlab.urls").brokers(brokers) or usage("%s is host:port,host:port, not '%s'", where, brokers)
end

local function brokers_of(args)
  if args.brokers then return checked(args.brokers, "--brokers") end
  local env = os.getenv "RLAB_BROKERS"
  if env and env ~= "" then return checked(env, "RLAB_BROKERS") end
  local stack = require("rlab.stack").current()
  if stack and stack.kafka then return stack.kafka.brokers end
  usage "no brokers: start the stack by rlab up, or say --brokers host:port,..."
end

local function admin_of(args)
  return must(require("rlab.kafka").admin { brokers = brokers_of(args), at_most = "5s" })
end

local function put_json(value)
  print(require("rlab.json").encode(value, { pretty = true }))
  return exit.ok
end

local function put_grid(columns, rows)
  print(term.grid(columns, rows, { indent = 2 }))
end

-- ---- what several verbs take ----

local function common(parser)
  parser:option("--brokers", "host:port,... (default RLAB_BROKERS, or the running stack)")
end

local function dlq_words(parser)
  parser:argument("topic", "the topic whose records failed; its DLQ is TOPIC.dlq")
  parser:option("--dlq", "another name of the dead-letter topic")
  parser:option("--group", "the replayer's group (default TOPIC.replay)")
  common(parser)
end

local function filter_words(parser)
  parser:option("--id", "only this event id, or PARTITION/OFFSET (may be repeated)"):count "*"
  parser:option("--key", "only records of this key")
  parser:option("--class", "only records of this error class")
  parser:option("--header", "only records with this header, NAME=VALUE (may be repeated)"):count "*"
end

local function filter_of(args)
  local headers = {}
  for _, pair in ipairs(args.header or {}) do
    local name, value = pair:match "^([^=]+)=(.*)$"
    if not name then usage("--header takes NAME=VALUE, got '%s'", pair) end
    headers[name] = value
  end
  return require("rlab.replay.reader").filter { ids = args.id, key = args.key, class = args.class,
    headers = headers }
end

local function names_of(args)
  local dlq = require "rlab.dlq"
  return args.dlq or dlq.dlq_topic(args.topic), args.group or dlq.replay_group(args.topic)
end

local function whole(text, name, least)
  local n = units.whole(text)
  if not n or n < least then usage("--%s takes a whole number from %d, not '%s'", name, least, text) end
  return n
end

-- ---- list and show ----

local function rows_of(args, limit, filter)
  local topic, group = names_of(args)
  local admin <close> = admin_of(args)
  local rows, total = require("rlab.replay.reader").list { admin = admin, brokers = brokers_of(args),
    topic = topic, group = group,
    filter = filter or filter_of(args), limit = limit }
  return must(rows, total), total, topic, group
end

local list = { name = "list", help = "the records of a dead-letter topic" }

function list.args(parser)
  dlq_words(parser)
  filter_words(parser)
  parser:option("--limit", "rows at most (default 50)")
  parser:flag("--json", "print JSON")
end

local function line_of(row)
  local story = row.story
  return { place = ("%d/%d"):format(row.partition, row.offset), id = row.id, key = row.key or "",
    class = story.error_class or "",
    attempt = story.attempt or "", replays = story.replay_count,
    state = row.waiting and "waiting" or "done", message = story.error_message or "" }
end

function list.run(args)
  local rows, total, topic, group = rows_of(args, whole(args.limit or 50, "limit", 1))
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = line_of(row) end
  if args.json then return put_json(require("rlab.json").array(lines)) end
  if total == 0 then
    print(("  %s holds no such record"):format(topic))
    return exit.ok
  end
  put_grid({ { name = "place", key = "place" }, { name = "event id", key = "id" },
    { name = "key", key = "key" },
    { name = "error", key = "class" }, { name = "attempt", key = "attempt" },
    { name = "replays", key = "replays" },
    { name = group, key = "state" }, { name = "message", key = "message" } }, lines)
  if total > #rows then print(("  %d more; --limit shows them"):format(total - #rows)) end
  return exit.ok
end

local show = { name = "show", help = "one record of a dead-letter topic with all its headers" }

function show.args(parser)
  dlq_words(parser)
  parser:argument("record", "its event id, or PARTITION/OFFSET")
  parser:flag("--json", "print JSON")
end

function show.run(args)
  local rows, _, topic = rows_of(args, 100, require("rlab.replay.reader").filter { ids = { args.record } })
  if #rows == 0 then
    usage("%s holds no record %s; rlab replay list %s shows what is there", topic, args.record, args.topic)
  end
  if args.json then return put_json(require("rlab.json").array(rows)) end
  for _, row in ipairs(rows) do print(require("rlab.replay.reader").described(row)) end
  return exit.ok
end

-- ---- run ----

local run = { name = "run", help = "send records of a dead-letter topic back: all, or those of a filter" }

function run.args(parser)
  dlq_words(parser)
  filter_words(parser)
  parser:option("--skip", "never this event id (may be repeated)"):count "*"
  parser:option("--rate", "copies a second (default 50/s)")
  parser:option("--batch", "copies under way at once: so many a crash may repeat (default 1)")
  parser:option("--max-replays", "leave a record alone that was replayed so often (default 3)")
  parser:option("--to", "another topic than the original one")
  parser:option("--target-group", "the group that processes the copies (default the one that failed; \z
    'none': every group gets them again)")
  parser:option("--budget", "copies at most")
  parser:flag("--stop-on-refailure", "end when a copy failed again; those under way are sent nevertheless")
  parser:flag("--dry-run", "only say what would be sent")
  parser:option("--database", "with --dry-run: what dedup by processed_event in this one would do")
  parser:flag("--json", "print JSON")
end

-- A filtered run must not move the group that is the backlog: it keeps its place in a group of its own, so
-- that it can be taken up again.
local function group_of(args, filter)
  local _, group = names_of(args)
  if not filter or args.group then return group end
  local words = { args.key or "", args.class or "", table.concat(args.id, ","),
    table.concat(args.header, ",") }
  return ("%s.%s"):format(group, require("rlab.rng").new(0):split(table.concat(words, "\0")):id(8))
end

local function options_of(args)
  local reader, filter = require "rlab.replay.reader", filter_of(args)
  local topic = names_of(args)
  local ok, rate = pcall(units.rate, args.rate or "50/s")
  if not ok or rate <= 0 then usage("--rate takes a rate such as 50/s, not '%s'", args.rate) end
  return { brokers = brokers_of(args), topic = args.topic, dlq = topic, to = args.to,
    group = group_of(args, filter), filter = filter,
    target = args.target_group or "original", guard = true,
    max = whole(args.max_replays or 3, "max-replays", 0), rate = rate,
    batch = whole(args.batch or 1, "batch", 1), skip = reader.set_of(args.skip), follow = false,
    budget = args.budget and whole(args.budget, "budget", 1), stop_on_refailure = args.stop_on_refailure }
end

local function database_of(args)
  if not args.database then return nil end
  local stack = require("rlab.stack").current()
  if not (stack and stack.mysql) then usage "--database needs the running stack's MySQL: rlab up" end
  return must(require("rlab.mysql").connect(stack:mysql_opts { database = args.database }))
end

local function sent_lines(o, rows)
  local lines = {}
  for _, row in ipairs(rows) do
    if row.fate == "replay" then
      lines[#lines + 1] = { id = row.id, key = row.key or "", to = row.to, group = row.group or "every group",
        replay = row.replays + 1, dedup = row.dedup }
    end
  end
  return table.move(lines, 1, math.min(#lines, o.budget or #lines), 1, {})
end

local function dry(args, o)
  local admin <close> = admin_of(args)
  local db <close> = database_of(args)
  local preview = require "rlab.replay.preview"
  local rows = must(preview.rows(admin, o, db))
  local lines, counts = sent_lines(o, rows), preview.counts(rows)
  if args.json then
    return put_json { would_send = require("rlab.json").array(lines), parked = counts.parked,
      skipped = counts.skipped, partial = counts.partial }
  end
  if #lines > 0 then
    put_grid({ { name = "event id", key = "id" }, { name = "key", key = "key" },
      { name = "to", key = "to" }, { name = "for group", key = "group" },
      { name = "replay", key = "replay" }, db and { name = "dedup", key = "dedup" } or nil }, lines)
  end
  print(("  dry run: %d would be sent, %d parked, %d skipped%s; nothing was changed"):format(#lines,
    counts.parked, counts.skipped,
    counts.partial > 0 and (", %d that cannot be sent"):format(counts.partial) or ""))
  return exit.ok
end

local function on_interrupt(work, body)
  local ok, failure = pcall(body)
  if ok then return end
  work:stop()
  error(failure, 0)
end

-- What keeps it waiting, and what it leaves behind, on standard error as it happens.
local function tell(what, fields)
  if what == "down" then
    io.stderr:write(("  waiting: %s\n"):format(fields.error))
  elseif what == "unsendable" then
    io.stderr:write(("  %d/%d %s cannot be sent: %s\n"):format(fields.partition, fields.offset, fields.id,
      fields.reason))
  elseif what == "failed again" then
    io.stderr:write(("  %s failed again (%s): no more is sent\n"):format(fields.id, fields.class or "?"))
  end
end

function run.run(args)
  require("rlab.failpoint.points").check_armed "replay"
  local o = options_of(args)
  if args.dry_run then return dry(args, o) end
  o.notice = tell
  local work = require("rlab.replay").new(o)
  on_interrupt(work, function() must(work:run()) end)
  local counts = work:counts()
  if args.json then return put_json(counts) end
  print(("  %d sent, %d parked at their limit, %d skipped%s%s"):format(counts.replayed, counts.parked,
    counts.skipped,
    counts.unsendable > 0 and (", %d that cannot be sent"):format(counts.unsendable) or "",
    o.filter and (", %d of others left alone"):format(counts.passed) or ""))
  return exit.ok
end

-- ---- offsets ----

local offsets = { name = "offsets", help = "move a group's offsets: a plan first, the change with --execute" }

function offsets.args(parser)
  parser:argument("group", "the group, which must have no live member")
  parser:argument("topic", "the topic")
  parser:mutex(
    parser:option("--to", "earliest, latest, an offset, -5m (ago) or 2026-11-23T15:00:00Z"),
    parser:option("--shift", "so many records forward, or back when negative")
  )
  parser:option("--partition", "only this one")
  parser:flag("--execute", "do it; without it nothing is changed")
  parser:flag("--json", "print JSON")
  common(parser)
end

local function target_of(args)
  local move = require "rlab.replay.offsets"
  if args.shift then
    local by = units.whole(args.shift)
    if not by then usage("--shift takes a whole number, not '%s'", args.shift) end
    return move.target { shift = by }
  end
  if not args.to then usage "say where: --to earliest, latest, an offset, -5m or a time; or --shift N" end
  local target, why = move.target(units.whole(args.to) or args.to)
  return target or usage("--to takes earliest, latest, an offset, -5m or 2026-11-23T15:00:00Z; %s", why)
end

local function print_plan(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = { partition = row.partition, before = row.before or "none", now = row.offset,
      by = row.before and ("%+d"):format(row.offset - row.before) or "",
      log = ("%d..%d"):format(row.low, row.high) }
  end
  put_grid({ { name = "partition", key = "partition" }, { name = "committed", key = "before" },
    { name = "new", key = "now" },
    { name = "moves by", key = "by" }, { name = "log", key = "log" } }, lines)
end

function offsets.run(args)
  local move = require "rlab.replay.offsets"
  local target = target_of(args)
  local only = args.partition and whole(args.partition, "partition", 0)
  local admin <close> = admin_of(args)
  local rows = must(move.plan(admin, args.group, args.topic, target, only))
  local free, failure = move.guard(admin, args.group)
  if args.execute then must(move.apply(admin, args.group, rows)) end
  if args.json then
    return put_json { group = args.group, executed = args.execute or false,
      rows = require("rlab.json").array(rows) }
  end
  print_plan(rows)
  if args.execute then
    print "  moved"
  else
    print("  dry run: nothing was changed; "
      .. (free and "--execute does it" or "it would be refused: " .. failure.message))
  end
  return exit.ok
end

-- ---- the command ----

local backfill = require "rlab.replay.backfill_command"
local verbs = { list, show, run, offsets, backfill }

local function find(word)
  local names = {}
  for i, verb in ipairs(verbs) do
    if verb.name == word then return verb end
    names[i] = verb.name
  end
  usage("no '%s'; %s", word, require("rlab.options").advice(word, names))
end

local function help()
  print "usage: rlab replay VERB ...\n\nDead-letter topics and group offsets by hand; rlab service replay \z
    does it as long as it runs.\n"
  for _, verb in ipairs(verbs) do print(("  %-9s %s"):format(verb.name, verb.help)) end
  print "\nrlab replay VERB --help says more. The headers of failed records are in docs/dlq.md."
  return exit.ok
end

local function asks_help(words)
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then return true end
  end
end

-- `--shift -2` and `--to -5m` mean a value, not an option.
local function joined(words)
  local out, i = {}, 2
  while i <= #words do
    local word, follows = words[i], words[i + 1]
    if (word == "--shift" or word == "--to") and follows and follows:find "^%-%d" then
      word, i = word .. "=" .. follows, i + 1
    end
    out[#out + 1], i = word, i + 1
  end
  return out
end

local replay = { name = "replay",
  help = "dead-letter topics: list, show, send back; move a group's offsets", raw = true }

function replay.children() return verbs end

function replay.run(words)
  if not words[1] or words[1] == "--help" or words[1] == "-h" then return help() end
  local verb = find(words[1])
  local parser = require "argparse"("rlab replay " .. verb.name, verb.help):help_max_width(100)
  verb.args(parser)
  if asks_help(words) then
    print(parser:get_help())
    return exit.ok
  end
  local ok, parsed = parser:pparse(joined(words))
  if not ok then
    usage("%s: %s", verb.name, require("rlab.options").unparsed(parser, parsed, "rlab replay " .. verb.name))
  end
  return verb.run(parsed)
end

return replay
