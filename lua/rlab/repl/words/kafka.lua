-- Looking at Kafka: topics, offsets, tail, groups, lag, txns.
local function unix_ms() return require("rlab.clock").unix_ms() end
local err = require "rlab.err"
local left = require "rlab.kafka.left"
local must = require "rlab.must"
local null = require "rlab.null"
local out = require "rlab.repl.out"
local registry = require "rlab.repl.words.registry"
local show = require "rlab.repl.show"
local span = require "rlab.kafka.span"
local options = require "rlab.options"
local units = require "rlab.units"

local function ids(list)
  return list and table.concat(list, " ") or ""
end

local function number(value)
  return math.type(value) == "integer" and value >= 0 and value or nil
end

local function need_text(word, value)
  if type(value) ~= "string" or value == "" then
    error(('%s takes a name: %s "name"'):format(word, word), 3)
  end
  return value
end

-- What there is to be said of a partition's ends: why they are not known, or that a transaction is open.
local function note_of(at, why)
  if why then return why.name end
  return at.lso < at.hw and "open transaction" or nil
end

-- positions(admin, topic) -> rows by partition; a partition that cannot be asked says why
local function positions(admin, topic)
  local described, failure = admin:topic(topic)
  if not described then return nil, failure end
  local rows = {}
  for i, p in ipairs(described.partitions) do
    local at, why = admin:offsets(topic, p.partition)
    at = at or {}
    why = why or at.why
    rows[i] = { partition = p.partition, low = number(at.low), lso = number(at.lso), hw = number(at.hw),
      leo = number(at.leo),
      leader = number(at.leader) or number(p.leader), epoch = number(at.epoch), isr = ids(p.isr),
      replicas = ids(p.replicas),
      note = note_of(at, why), why = why }
  end
  return rows
end

local OFFSETS = { "partition", "low", { name = "LSO", key = "lso" }, { name = "HW", key = "hw" },
  { name = "LEO", key = "leo" }, "leader",
  "epoch", { name = "ISR", key = "isr" }, "replicas", "note" }

local function topic_row(name, found, why)
  if not found then return { topic = name, note = why.name } end
  local row = { topic = name, partitions = #found.partitions, replicas = 0, ["in sync"] = true }
  for _, p in ipairs(found.partitions) do
    row.replicas = math.max(row.replicas, #p.replicas)
    if #p.isr < #p.replicas then row["in sync"] = false end
  end
  return row
end

local function topic_rows(admin, pattern)
  local names, failure = admin:topics()
  if not names then return nil, failure end
  local rows = {}
  table.sort(names)
  for _, name in ipairs(names) do
    local wanted = pattern and name:find(pattern) or not pattern and not name:find "^__"
    if wanted then rows[#rows + 1] = topic_row(name, admin:topic(name)) end
  end
  return rows
end

local function by_time(a, b)
  if a.timestamp ~= b.timestamp then return (a.timestamp or 0) < (b.timestamp or 0) end
  if a.partition ~= b.partition then return a.partition < b.partition end
  return a.offset < b.offset
end

local function record_line(r)
  local value = (r.value == nil or r.value == null) and "tombstone" or show.cell(r.value)
  return ("%s  %d@%d  %s  %s"):format(show.time(r.timestamp), r.partition, r.offset,
    show.cell(r.key == nil and null or r.key), value)
end

-- A record of the client is not ours to change.
local function decoded(clients, r)
  return registry.decode(clients, { partition = r.partition, offset = r.offset, timestamp = r.timestamp,
    key = r.key, value = r.value })
end

local function follow(clients, consumer)
  while true do
    local batch = must(consumer:poll(500, "1s"))
    for i = 1, #batch do
      local r = batch[i]
      if not r.eof and not r.err then out.line(record_line(decoded(clients, r))) end
    end
  end
end

local function listing_of_records(list)
  return setmetatable(list, { __name = "records", __tostring = function(self) return show.records(self) end })
end

local TAIL_KEYS = { "n", "follow", "isolation", "partition" }

local function tail_options(opts)
  if type(opts) == "number" then opts = { n = opts } end
  opts = options.check("tail", opts, TAIL_KEYS, 4)
  if opts.n ~= nil and not number(math.tointeger(opts.n)) then
    error("tail: n is a number of records, 0 or more", 4)
  end
  return opts
end

local PATIENCE = "10s"

-- "0: why, 1: why" of partitions that did not tell where they end
local function silent_words(rows)
  local words = {}
  for i, row in ipairs(rows) do words[i] = ("%d: %s"):format(row.partition, tostring(row.why)) end
  return table.concat(words, ", ")
end

-- Where each partition is read: {topic, partition, low, stop}, up to what that isolation can reach now; what
-- cannot be read is said.
local function reach_of(admin, topic, isolation, only)
  local rows, failure = positions(admin, topic)
  if not rows then return nil, failure end
  local list, silent = {}, {}
  for _, row in ipairs(rows) do
    local stop = isolation == "read_uncommitted" and row.hw or row.lso or row.hw
    local asked = not only or only == row.partition
    if stop and asked then
      list[#list + 1] = { topic = topic, partition = row.partition, low = row.low or 0, stop = stop }
    elseif asked then
      silent[#silent + 1] = row
    end
  end
  if #list > 0 and #silent == 0 then return list end
  if #list == 0 then
    local name, message = "NO_SUCH_PARTITION", ("%s has no partition %s"):format(topic, tostring(only))
    if #silent > 0 then
      name = "NO_LEADER"
      message = ("no partition of %s can be read now; %s"):format(topic, silent_words(silent))
    end
    return nil, err.new { domain = "kafka", code = 0, name = name, message = message }
  end
  out.line(("not read: %s"):format(silent_words(silent)))
  return list
end

-- The last n records over all partitions, in order of time; what was not read in time is said.
local function last_records(consumer, reach, n)
  local list = {}
  local _, late = span.last(consumer, reach, n, function(r)
    list[#list + 1] = { topic = r.topic, partition = r.partition, offset = r.offset, timestamp = r.timestamp,
      key = r.key, value = r.value, headers = r.headers }
  end, PATIENCE)
  if late and late.name ~= "TIMEOUT" then return nil, late end
  if late then out.line("there may be more: " .. late.message) end
  table.sort(list, by_time)
  return #list > n and table.move(list, #list - n + 1, #list, 1, {}) or list
end

local function follow_from(clients, consumer, reach)
  local ends = {}
  for i, place in ipairs(reach) do
    ends[i] = { topic = place.topic, partition = place.partition, offset = place.stop }
  end
  must(consumer:assign(ends))
  follow(clients, consumer)
end

local function tail(clients, topic, opts)
  local n, isolation = math.tointeger(opts.n or 10), opts.isolation or "read_committed"
  local admin, failure = clients:open "admin"
  if not admin then return nil, failure end
  local reach, list
  reach, failure = reach_of(admin, topic, isolation, opts.partition)
  if not reach then return nil, failure end
  local consumer <close> = must(clients:consumer { group = "rlab-tail", isolation_level = isolation })
  list, failure = last_records(consumer, reach, n)
  if not list then return nil, failure end
  for _, r in ipairs(list) do registry.decode(clients, r) end
  if not opts.follow then return listing_of_records(list) end
  for _, r in ipairs(list) do out.line(record_line(r)) end
  follow_from(clients, consumer, reach)
end

local function need_place(what, given)
  local place = type(given) == "number" and math.tointeger(given)
  if given ~= nil and not (place and place >= 0) then
    error(('record takes a topic, a partition and an offset: %s is a whole number, 0 or more, not %s'):format(
      what, tostring(given)), 3)
  end
  return place or 0
end

-- The record at an offset, aborted ones too; what holds no record is a marker, or was removed.
local function record_at(clients, topic, partition, offset)
  local consumer <close>, failure = clients:consumer { group = "rlab-prompt",
    ["isolation.level"] = "read_uncommitted" }
  if not consumer then return nil, failure end
  must(consumer:assign { { topic = topic, partition = partition, offset = offset } })
  local deadline = unix_ms() + 5000
  while unix_ms() < deadline do
    local r = must(consumer:poll(1, "500ms"))[1]
    if r and r.err then return nil, r.err end
    if r and not r.eof and r.offset == offset then
      return listing_of_records { registry.decode(clients, { topic = topic, partition = partition,
        offset = offset, timestamp = r.timestamp, key = r.key, value = r.value, headers = r.headers }) }
    end
    local at = must(must(clients:open "admin"):offsets(topic, partition))
    if at.hw and offset < at.hw and at.low and offset >= at.low then return listing_of_records {} end
    if at.hw then return nil, err.new { domain = "rlab", code = 0, name = "NO_SUCH_OFFSET",
      message = ("%s/%d goes from %d to %d"):format(topic, partition, at.low or 0, at.hw - 1) } end
  end
  return nil, err.new { domain = "rlab", code = 0, name = "TIMEOUT",
    message = "the broker did not answer within 5 s" }
end

local COUNTED = 10000 -- offsets that are read to count the records among them

local function lag_row(admin, place)
  local at, why = admin:offsets(place.topic, place.partition)
  local row = left.of(at or {}, place.committed)
  row.topic, row.partition, row.committed = place.topic, place.partition, place.committed
  row.lso, row.hw, row.note = at and at.lso, at and at.hw, why and why.name or place.note or row.note
  row.note = row.note or at and at.why and at.why.name
  return row
end

local function note(row, text)
  row.note = row.note and row.note .. "; " .. text or text
end

-- Offsets become records: those of markers and of aborted and removed records are none.
local function count_readable(clients, rows)
  local spans, offsets = {}, 0
  for _, row in ipairs(rows) do
    if row.readable and row.readable > 0 then
      offsets = offsets + row.readable
      spans[#spans + 1] = { topic = row.topic, partition = row.partition, from = row.from, to = row.lso,
        row = row, records = 0 }
    end
  end
  if #spans == 0 then return end
  local consumer <close> = offsets <= COUNTED
    and must(clients:consumer { group = "rlab-lag", isolation_level = "read_committed" }) or nil
  local whole = consumer
    and span.read(consumer, spans, function(_, s) s.records = s.records + 1 end, PATIENCE)
  for _, s in ipairs(spans) do
    if whole then s.row.readable = s.records else note(s.row, "readable: at most, by offsets") end
  end
end

local function lag_rows(admin, clients, group)
  local places, failure = left.places(admin, group)
  if not places then return nil, failure end
  local rows = {}
  for i, place in ipairs(places) do rows[i] = lag_row(admin, place) end
  count_readable(clients, rows)
  return rows
end

local LAG = { "topic", "partition", "committed", { name = "LSO", key = "lso" }, { name = "HW", key = "hw" },
  "lag", "readable", "note" }

-- A list that some broker did not help to make has gaps.
local function say_gaps(list)
  for _, one in ipairs(list.failed or {}) do out.line("not the whole list: " .. tostring(one.err or one)) end
end

local function group_row(admin, of)
  local described, why = admin:group(of.id)
  described = described or { state = why.name }
  local coordinator = described.coordinator
  return { group = of.id, state = described.state or of.state,
    protocol = described.type or of.type or described.protocol,
    members = described.members and #described.members,
    coordinator = type(coordinator) == "table" and coordinator.id or coordinator }
end

local function group_rows(admin, pattern)
  local groups, failure = admin:groups()
  if not groups then return nil, failure end
  say_gaps(groups)
  local rows = {}
  for _, g in ipairs(groups) do
    if not pattern or g.id:find(pattern) then rows[#rows + 1] = group_row(admin, g) end
  end
  table.sort(rows, function(a, b) return a.group < b.group end)
  return rows
end

-- the partitions whose LSO an open transaction holds back
local function held_back(admin, partitions)
  local words = {}
  for _, p in ipairs(partitions or {}) do
    local at, why = admin:offsets(p.topic, p.partition)
    why = why or at.why
    if why then
      words[#words + 1] = ("%s-%d: %s"):format(p.topic, p.partition, why.name)
    elseif at.lso < at.hw then
      words[#words + 1] = ("%s-%d: LSO %d < HW %d"):format(p.topic, p.partition, at.lso, at.hw)
    end
  end
  return table.concat(words, ", ")
end

local function txn_rows(admin, all)
  local list, failure = admin:transactions()
  if not list then return nil, failure end
  say_gaps(list)
  local rows, now = {}, unix_ms()
  for _, t in ipairs(list) do
    local open = t.state == "Ongoing" or tostring(t.state):find "^Prepare"
    if open or all then
      local d, why = admin:transaction(t.id)
      d = d or {}
      local start = number(d.start) or number(d.start_ms) or number(d.started)
      rows[#rows + 1] = { id = t.id, state = t.state, ["producer id"] = t.producer_id,
        epoch = d.epoch or d.producer_epoch,
        open = open and start and units.print_duration((now - start) / 1000) or nil,
        timeout = d.timeout_ms and units.print_duration(d.timeout_ms / 1000) or nil,
        ["holds back"] = why and why.name or open and held_back(admin, d.partitions) or nil }
    end
  end
  return rows
end

local TXNS = { "id", "state", "producer id", "epoch", "open", "timeout",
  { name = "holds back", key = "holds back", max = 80 } }

return function(session, words)
  local clients = session.clients

  local function listed(columns, f, ...)
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    local rows
    rows, failure = f(admin, ...)
    if not rows then return nil, failure end
    return show.listing(rows, columns)
  end

  function words.topics(pattern)
    return listed({ "topic", "partitions", "replicas", "in sync", "note" }, topic_rows, pattern)
  end

  function words.offsets(topic)
    return listed(OFFSETS, positions, need_text("offsets", topic))
  end

  function words.groups(pattern)
    return listed({ "group", "state", "protocol", "members", "coordinator" }, group_rows, pattern)
  end

  function words.lag(group)
    return listed(LAG, lag_rows, clients, need_text("lag", group))
  end

  function words.txns(all)
    return listed(TXNS, txn_rows, all)
  end

  function words.record(topic, partition, offset)
    return record_at(clients, need_text("record", topic), need_place("partition", partition),
      need_place("offset", offset))
  end

  function words.tail(topic, opts)
    return tail(clients, need_text("tail", topic), tail_options(opts))
  end
end
