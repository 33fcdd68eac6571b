-- One key of a Redis Cluster that nine of ten reads ask for: where its copies lie, readers that come by a
-- schedule and wait for nobody, a writer, and the master of the key, which stands still in the middle.
local clock = require "rlab.clock"
local must = require "rlab.must"
local null = require "rlab.null"
local redis = require "rlab.redis"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = { PATIENCE = 0.1 } -- seconds that a caller waits for a worker, and a worker for Redis

local HOT = 0.9
local POOL, SHARED = 8, 16 -- workers of each node; of one pool for all
local KEPT = 0.1           -- seconds that a value is answered from this process
local LATE = 0.02          -- what the lab itself issued later than that says nothing of Redis
local WRITES_EVERY = 0.02
local FROZEN = 1           -- the shard that has the hot key, or most of its copies

local function ns(seconds) return math.floor(seconds * 1e9) end

-- ---- keys and schedule ----

-- place(lab, copies, cold) -> keys {hot = list, cold = list, shard = {[key] = 1, 2 or 3}}: the slots of both
--   lists are even over the primaries, by computation; the first of each is on the first one
function M.place(lab, copies, cold)
  local view, keys = lab:cluster(), { hot = {}, cold = {}, shard = {} }
  local primaries = view:primaries()
  local function add(list, word, count)
    for i = 1, count do
      local shard = 1 + (i - 1) % #primaries
      list[i] = view:key_on(primaries[shard], ("%s:%d#%%d"):format(lab:name(word), i))
      keys.shard[list[i]] = shard
    end
  end
  add(keys.hot, "hot", copies)
  add(keys.cold, "cold", cold)
  return keys
end

-- plan(lab, keys, reads) -> list of {key, hot, shard}, in the order of the schedule; which read is a hot one
--   is the same in every arm
function M.plan(lab, keys, reads)
  local rng, copy, list = lab.rng:split "reads", lab.rng:split "copies", {}
  for i = 1, reads do
    local hot, cold = rng:chance(HOT), rng:pick(keys.cold)
    local key = hot and copy:pick(keys.hot) or cold
    list[i] = { key = key, hot = hot, shard = keys.shard[key] }
  end
  return list
end

-- Version 0 of every key, at each replica, too; nodes of the arm's own have none.
local function fill(lab, keys)
  for shard, node in ipairs(lab:cluster():primaries()) do
    local commands = {}
    for key, of in pairs(keys.shard) do
      if of == shard then commands[#commands + 1] = { "SET", key, 0 } end
    end
    for _, reply in ipairs(must(node.conn:pipeline(commands))) do must(reply == "OK" or nil, reply) end
    if not lab.own_nodes then
      local replicas = must(node.conn:call("WAIT", 1, 2000))
      lab:accepted("replicas that have the keys of " .. node.address, replicas, 1)
    end
  end
  if lab.own_nodes then return end
  local view = lab:cluster()
  lab:await("every node to name a replica of each slot", function() return view:lists_replicas() end, "20s")
end

-- ---- readers ----

local function answer(load, request, value)
  request.done, request.version = clock.ns(), math.tointeger(tonumber(value))
  load.answered = load.answered + 1
  local slowest = request.hot and "hot" or "cold"
  load.slowest[slowest] = math.max(load.slowest[slowest] or 0, (request.done - request.due) / 1e6)
end

local function fail(load, request, why)
  request.failed, load.failed = why, load.failed + 1
end

-- Answered by a value that is kept, or together with a read of that key that is under way. Neither is older
-- than KEPT.
local function from_process(load, request)
  local kept, leader, now = load.kept[request.key], load.flights[request.key], request.issued
  request.asked = now
  if kept and now - kept.at <= ns(KEPT) then
    answer(load, request, kept.value)
    return true
  elseif leader and now - (leader.asked or now) <= ns(KEPT) then
    table.insert(leader.joined, request)
    return true
  end
  request.asked, request.joined, load.flights[request.key] = nil, {}, request
end

local function issue(load, request)
  request.issued = clock.ns()
  if load.kept and from_process(load, request) then return end
  load.queues[load.queues[2] and request.shard or 1]:send(request)
end

local function land(load, request, value, why)
  if load.flights[request.key] == request then load.flights[request.key] = nil end
  if load.kept and value then load.kept[request.key] = { value = value, at = request.asked } end
  for _, one in ipairs { request, table.unpack(request.joined or {}) } do
    if value then answer(load, one, value) else fail(load, one, why) end
  end
end

-- A caller who has waited too long for a worker has gone.
local function serve(load, client, request)
  request.asked = clock.ns()
  if request.asked - request.due > ns(M.PATIENCE) then return land(load, request, nil, "NO_WORKER") end
  local value, failure = client:call("GET", request.key)
  if value == null then value = nil end
  land(load, request, value, failure and failure.name or "NO_VALUE")
end

local function work(load, client, queue)
  for request in queue.recv, queue do serve(load, client, request) end
end

-- Each pool is a queue and so many workers, each with a client of its own.
local function start_pools(load, settings)
  local pools = settings.pool == "shared" and { SHARED } or { POOL, POOL, POOL }
  for i, workers in ipairs(pools) do
    load.queues[i] = task.channel(#load.plan)
    for _, client in ipairs(load.lab:cluster_clients(workers, { pool = 1, tries = 0, timeout = M.PATIENCE,
      connect_timeout = M.PATIENCE, replicas = settings.replicas or false })) do
      load.lab:background("a worker", function() work(load, client, load.queues[i]) end)
    end
  end
end

local function start_readers(load, rate)
  load.lab:background("the readers", function()
    local began = clock.ns()
    for i, request in ipairs(load.plan) do
      request.due = began + i * 1000000000 // rate
      while clock.ns() < request.due do task.sleep(0.001) end
      issue(load, request)
    end
    for _, queue in ipairs(load.queues) do queue:close() end
  end)
end

-- ---- the writer ----

-- One version after the other, to every copy; `written` has when each of them was acknowledged. It rests
-- while the master stands still.
local function start_writer(load, keys)
  local lab, client = load.lab, load.lab:cluster_client {}
  lab:background("the writer", function()
    for version = 1, math.maxinteger do
      while load.resting do task.sleep(WRITES_EVERY) end
      if load.over then return end
      load.writing = true
      local commands, operation = {}, lab:invoke("writer", "write", { version = version })
      for i, key in ipairs(keys.hot) do commands[i] = { "SET", key, version } end
      for _, reply in ipairs(client:pipeline(commands)) do must(reply == "OK" or nil, reply) end
      operation:over "ok"
      load.written[version], load.writing = clock.ns(), false
      task.sleep(WRITES_EVERY)
    end
  end)
end

-- ---- the master stands still ----

local function server_of(view, node)
  for i, one in ipairs(view.nodes) do
    if one == node then return "redis-cluster-" .. i end
  end
end

local EPOCH = "cluster_current_epoch"

local function epoch_of(node)
  return tonumber(must(node.conn:call("CLUSTER", "INFO")):match(EPOCH .. ":(%d+)"))
end

-- freeze(load, seconds) -> from, to: when it stood still, in ns; window: the same in seconds of the arm; too
-- short for the others to miss it
local function freeze(load, seconds)
  local lab, view = load.lab, load.lab:cluster()
  local primaries = view:primaries()
  local name, epoch = server_of(view, primaries[FROZEN]), epoch_of(primaries[FROZEN + 1])
  local server = must(lab.stack:server(name))
  load.resting = true
  lab:await("the writer to rest", function() return not load.writing end)
  local fault = lab:freeze(name)
  local from, window = clock.ns(), { from = lab:now() }
  task.sleep(seconds)
  local still, to = lab.proof.state(server, "T"), clock.ns()
  window.to = lab:now()
  fault.thaw()
  fault:fired(fault.row.proofs[1], still, lab.proof.redis("the epoch, as before", { want = epoch,
    node = primaries[FROZEN + 1].address, command = { "CLUSTER", "INFO" }, field = EPOCH }))
  load.resting = false
  return from, to, window
end

-- ---- what was seen ----

local function calls_of(view)
  local calls = {}
  for i, node in ipairs(view.nodes) do calls[i] = view:calls(node, "get") end
  return calls
end

-- What came in for the keys since `before`, as the nodes count it by slot: {shards = share of each, most = of
-- the busiest of them, busiest = slot, hot = slot of the hot key}; nil where they do not count.
local function slots_of(load, view, before)
  if not before then return nil end
  local now, seen, sum, most = view:slot_bytes(load.keys), { shards = { 0, 0, 0 } }, 0, -1
  for slot, bytes in pairs(now) do
    local came, shard = bytes - before[slot], load.shard_of[slot]
    sum, seen.shards[shard] = sum + came, seen.shards[shard] + came
    if came > most then most, seen.busiest = came, slot end
  end
  for shard, came in ipairs(seen.shards) do seen.shards[shard] = came / math.max(1, sum) end
  seen.most, seen.hot = math.max(table.unpack(seen.shards)), load.hot
  return seen
end

-- The series of the report. A node that stands still is not waited for.
local function watch(load, view, before)
  local latest = {}
  for i, node in ipairs(view.nodes) do
    load.lab:background("the calls of " .. node.address, function()
      while not load.over do
        latest[i] = view:calls(node, "get") - before[i]
        task.sleep(0.1)
      end
    end)
  end
  load.lab:gauge(function(row)
    for i in ipairs(view.nodes) do row["GETs.node " .. i] = latest[i] end
    row.failed, row["slowest, ms.hot"], row["slowest, ms.cold"] = load.failed, load.slowest.hot,
      load.slowest.cold
    load.slowest = {}
  end)
end

-- The shard and the role of each node, by its port.
local function places_of(view)
  local places = {}
  for shard, primary in ipairs(view:primaries()) do
    for _, range in ipairs(view:ranges()) do
      for k = 3, range[3][2] == primary.port and #range or 0 do
        places[range[k][2]] = { role = k == 3 and "master" or "replica", shard = shard }
      end
    end
  end
  return places
end

-- Rows {node, address, role, shard, calls}, calls counted from `before` on.
local function nodes_of(view, before)
  local rows, now, places = {}, calls_of(view), places_of(view)
  for i, node in ipairs(view.nodes) do
    local place = places[node.port] or { role = "none", shard = 0 } -- the others have taken it out
    rows[i] = { node = i, address = node.address, role = place.role, shard = place.shard,
      calls = now[i] - before[i] }
  end
  return rows
end

-- Of the requests that were due between the two: how many were asked in time by the lab, how many of them
-- had no answer.
local function share(load, from, to, is)
  local row = { asked = 0, failed = 0 }
  for _, r in ipairs(load.plan) do
    if r.due >= from and r.due <= to and r.issued - r.due <= ns(LATE) and is(r) then
      row.asked, row.failed = row.asked + 1, row.failed + (r.failed and 1 or 0)
    end
  end
  return row
end

local function there(request) return request.shard == FROZEN end
local function elsewhere(request) return request.shard ~= FROZEN end

local function count(load, is)
  local n = 0
  for _, request in ipairs(load.plan) do n = n + (is(request) and 1 or 0) end
  return n
end

-- How old the oldest answer was: how long the version behind it had been acknowledged when it was asked for.
local function staleness(load)
  local seen = { oldest = 0, answers = 0 }
  for _, request in ipairs(load.plan) do
    if request.hot and request.version then
      local newer = load.written[request.version + 1]
      seen.answers = seen.answers + 1
      seen.oldest = math.max(seen.oldest, newer and (request.asked - newer) / 1e6 or 0)
    end
  end
  return seen
end

-- ms from its time in the schedule to its answer, of the reads until then
local function took(load, to, is)
  local list = {}
  for _, r in ipairs(load.plan) do
    if r.done and r.due <= to and is(r) then list[#list + 1] = (r.done - r.due) / 1e6 end
  end
  table.sort(list)
  return list
end

local function p99(list) return list[1] and ("%.1f"):format(list[math.ceil(#list * 0.99)]) or "none" end

local function percent(part) return ("%.0f %%"):format(100 * part) end

-- The share of its slots in what came in for the keys' slots.
local function by_slot(seen, node)
  if not seen.slots then return "not told" end
  return node.role == "master" and percent(seen.slots.shards[node.shard]) or ""
end

local function show(load, seen, to)
  local lab, rows = load.lab, {}
  for i, node in ipairs(seen.nodes) do
    local of = took(load, to, function(request) return request.shard == node.shard end)
    rows[i] = { ("%d (%s)"):format(node.node, node.address), ("%s of shard %d"):format(node.role, node.shard),
      node.calls, percent(node.calls / math.max(1, seen.calls)), by_slot(seen, node), p99(of) }
  end
  lab:table { title = "GETs by node, before anything is frozen", rows = rows,
    head = { "node", "role", "GETs", "share", "share by slot", "p99 of its shard's keys (ms)" },
    note = "GETs: calls of cmdstat_get. By slot: bytes that came in, of CLUSTER SLOT-STATS"
      .. (seen.slots and "" or ", which this server does not have (Valkey 8.0, Redis 8.2)")
      .. ". All nodes share this machine, so shares speak and times do not" }
  lab:percentiles("hot", took(load, to, function(request) return request.hot end), { 50, 99 }, "ms")
  lab:percentiles("cold", took(load, to, function(request) return not request.hot end), { 50, 99 }, "ms")
end

local function busiest_of(nodes)
  local most, sum = 0, 0
  for _, node in ipairs(nodes) do most, sum = math.max(most, node.calls), sum + node.calls end
  return most, sum
end
M.busiest_of = busiest_of

local function look(load, seen, from, to)
  local certain = to - 2 * ns(M.PATIENCE) -- who came later may have been answered after it
  seen.there, seen.elsewhere = share(load, from, certain, there), share(load, from, certain, elsewhere)
  seen.timeouts = count(load, function(r) return there(r) and r.failed == "TIMEOUT" end)
  seen.failed, seen.writes = load.failed, #load.written
  seen.staleness = staleness(load)
end

-- The keys are there, and those who will read them.
local function open(lab, settings, opts)
  local keys = M.place(lab, settings.copies or 1, opts.cold)
  local load = { lab = lab, plan = M.plan(lab, keys, opts.reads), queues = {}, written = {}, flights = {},
    kept = settings.kept and {} or nil, slowest = {}, answered = 0, failed = 0, shard_of = {},
    keys = tables.sorted_keys(keys.shard), hot = redis.slot(keys.hot[1]) }
  for key, shard in pairs(keys.shard) do load.shard_of[redis.slot(key)] = shard end
  fill(lab, keys)
  start_pools(load, settings)
  return load, keys
end

-- The schedule up to answers for a third of it -> seen {before, nodes, most, calls, slots, asked}
local function first_reads(load, opts, writes)
  local lab, view, due = load.lab, load.lab:cluster(), opts.reads // 3
  local slots = view:counts_slots() and view:slot_bytes(load.keys) or nil
  local before = calls_of(view)
  watch(load, view, before)
  if writes then start_writer(load, writes) end
  local from = lab:now()
  start_readers(load, opts.rate)
  lab:owed("answered", ("%d reads are answered"):format(due),
    function() return load.answered >= due, due - load.answered end)
  local cut, to = clock.ns(), lab:now()
  local seen = { nodes = nodes_of(view, before), before = due, slots = slots_of(load, view, slots),
    missed = load.failed > 0 and { from = from, to = to, reads = load.failed } or nil,
    asked = count(load, function(r) return r.due and r.due <= cut end) }
  seen.most, seen.calls = busiest_of(seen.nodes)
  return seen
end

local function finish(load)
  load.lab:await("the end of the schedule", function() return load.answered + load.failed == #load.plan end)
  load.over = true
end

-- run(lab, settings, {reads =, rate =, cold =, freeze =}) -> seen: the schedule, with the first master
--   standing still once a third of the reads were answered (before). settings: copies, pool = "shared", kept,
--   replicas
function M.run(lab, settings, opts)
  local load, keys = open(lab, settings, opts)
  local seen = first_reads(load, opts, keys)
  local from, to, frozen = freeze(load, opts.freeze)
  seen.frozen = frozen
  finish(load)
  look(load, seen, from, to)
  show(load, seen, from)
  return seen
end

-- shares(lab, {reads =, rate =, cold =}) -> seen {before, nodes, most, calls, slots, asked}: the schedule
--   alone
function M.shares(lab, opts)
  local load = open(lab, {}, opts)
  local seen = first_reads(load, opts)
  finish(load)
  show(load, seen, clock.ns())
  return seen
end

return M
