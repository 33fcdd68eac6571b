-- lab.proof: each looks for itself, over the lab's own connections, log or /proc, and keeps what it saw.
local hit_log = require "rlab.failpoint.log"
local must = require "rlab.must"
local process = require "rlab.process"

local M = {}

local function of(kind, facts) return require("rlab.proof").of(kind, facts) end

-- ---- failpoints ----

-- The n-th arming of the point that had this expression; without one the last.
local function arming(child, point, expr)
  local armed = child.armed[point] or {}
  for n = #armed, 1, -1 do
    if expr == nil or armed[n] == expr then return n, armed[n] end
  end
  error(("lab.proof.hits: %s was never armed with %s = %s"):format(child.name, tostring(point),
    expr and ("'%s'"):format(expr) or "anything"), 3)
end

local KEPT = { "hit", "term", "action", "arg", "number", "seconds", "pid", "mono" }

local function kept(hit, held)
  local row = { ctx = hit.ctx, held = held }
  for _, key in ipairs(KEPT) do row[key] = hit[key] end
  return row
end

-- hits(child, point, [expr]): the hits of a failpoint of the child, all of them since it was armed, are
--   those that the expression says, and the action happened
function M.hits(lab, child, point, expr)
  local n, asked = arming(child, point, expr)
  return M.hits_of_arming(lab, child, point, asked, n)
end

-- The hits of its n-th arming.
function M.hits_of_arming(_, child, point, expr, n)
  local found = hit_log.armings(child:log(), point)[n] or {}
  local hits = require("rlab.json").array {}
  for i, hit in ipairs(found.hits or {}) do hits[i] = kept(hit, found.held[hit.hit]) end
  return of("hits", { process = child.name, pid = child.pid, point = point, expr = expr, armed = found.expr,
    hits = hits, ended = child:ending(), ended_by_lab = child.ended_by_lab })
end

-- ---- processes ----

-- exit(child, {signal = | code =}): its process has ended that way
function M.exit(_, child, want)
  if type(want) ~= "table" or (want.signal == nil) == (want.code == nil) then
    error('lab.proof.exit: say { signal = "KILL" } or { code = 0 }', 2)
  end
  return of("exit", { process = child.name, pid = child.pid, ended = child:ending(),
    want = { signal = want.signal, code = want.code } })
end

-- state(server | child, "T"): the state of its process in /proc; of a container what its engine says of one
--   that is frozen
function M.state(_, who, want)
  if type(want) ~= "string" then error('lab.proof.state: say the state, such as "T"', 2) end
  if want == "T" and who.stopped then want = who.stopped end
  local state = who.process_state and who:process_state() or process.state(who.pid)
  return of("state", { process = who.name, pid = who.pid, state = state, want = want })
end

-- gone(server, pid, signal, before): the server's process, which was there before, is there no more
function M.gone(_, server, pid, signal, before)
  return of("gone", { process = server.name, pid = pid, signal = signal, before = before,
    after = server:alive() })
end

-- away(server): one of an external stack, which answered rlab before the fault and not during it
function M.away(_, server)
  return of("away", server:evidence())
end

-- ---- the wire ----

-- wire(rule, {at_least = 1}): the rule acted so often since it was armed, on the request that it names
function M.wire(_, rule, opts)
  return rule:proof(opts and opts.at_least or 1)
end

-- ---- what the stores say ----

local function check_want(name, want)
  local kind = type(want)
  if kind == "table" then kind = math.type(want.at_least) and want.at_least > 0 and "number" or "none" end
  if kind ~= "number" and kind ~= "string" then
    error(("lab.proof.%s: say what is wanted, a number, a text or { at_least = n }"):format(name), 3)
  end
end

local function check_control(name, control)
  if control ~= nil and not require("rlab.proof").is(control) then
    error(("lab.proof.%s: control is a proof that the lab made"):format(name), 3)
  end
end

local function read(name, what, from, got, want, control)
  check_want(name, want)
  check_control(name, control)
  return of("read", { what = what, from = from, got = got, want = want, control = control and control.facts })
end

-- rows(what, {want =, sql =, args = {...}, control =, replica =}): a number that a SELECT in the arm's schema
--   gives, over the observer's connection, or over one to a replica. want: a number or { at_least = n }.
--   Nothing (0) needs a control: a proof that saw something.
function M.rows(lab, what, opts)
  local got = must((opts.replica or lab:db()):value(opts.sql, table.unpack(opts.args or {})))
  return read("rows", what, opts.replica and "the replica" or "MySQL", got, opts.want, opts.control)
end

-- records(what, {want =, topic =, headers = {name = value}, control =}): how many records of a topic carry
--   these headers, says the independent reader; as rows
function M.records(lab, what, opts)
  local got = 0
  for _, record in ipairs(lab:read(opts.topic, { headers = true }).records) do
    local all = true
    for name, value in pairs(opts.headers) do
      local found
      for _, pair in ipairs(record.headers) do found = found or pair[1] == name and pair[2] == value end
      all = all and found
    end
    got = got + (all and 1 or 0)
  end
  return read("records", what, "the independent reader", got, opts.want, opts.control)
end

-- registry(what, {want =, subject =, of = "mode" | "versions"}): the subject's compatibility mode, or how
--   many versions it has, says the registry to the observer
function M.registry(lab, what, opts)
  local registry, got = lab:registry(), nil
  if opts.of == "mode" then
    got = must(registry:mode(opts.subject))
  elseif opts.of == "versions" then
    got = #must(registry:versions(opts.subject))
  else
    error('lab.proof.registry: of is "mode" or "versions"', 3)
  end
  return read("registry", what, "the registry", got, opts.want)
end

-- redis(what, {want =, command = {...}, field =, node =, control =}): what a command answers to the observer,
--   or by itself a node of the cluster, "host:port"; of lines "field:value" that field; as rows
function M.redis(lab, what, opts)
  local conn = opts.node and lab:cluster():by("address", opts.node).conn or lab:redis()
  local got = must(conn:call(table.unpack(opts.command)))
  if opts.field then got = ("\n" .. got):match("\n" .. opts.field .. ":([^\r\n]*)") end
  return read("redis", what, opts.node and "Redis at " .. opts.node or "Redis",
    math.tointeger(tonumber(got)) or got, opts.want, opts.control)
end

-- committed(offset, {group =, topic =, partition = 0}): the brokers have this offset of the group
function M.committed(lab, offset, opts)
  if math.type(offset) ~= "integer" then error("lab.proof.committed: say the offset that is wanted", 2) end
  opts = opts or {}
  local got = lab:committed({ group = opts.group, topic = opts.topic })[tostring(opts.partition or 0)]
  return of("offset", { group = opts.group, topic = opts.topic, partition = opts.partition or 0, got = got,
    want = offset })
end

-- transaction(id, state): the coordinator's word about the transaction of that transactional.id
function M.transaction(lab, id, state)
  local found = lab.run.admin:transaction(id)
  return read("transaction", "transaction", "the coordinator", found and found.state, state)
end

-- lock_wait(thread): of lab:lock_waiter: a transaction of the arm's schema that waited for a lock
function M.lock_wait(lab, thread)
  return of("lock_wait", { thread = thread, schema = lab:schema() })
end

-- held_back(topic, [partition]): an open transaction holds back the last stable offset: LSO < HW
function M.held_back(lab, topic, partition)
  local now = lab:watermarks(topic, partition or 0)
  return of("held_back", { topic = topic, partition = partition or 0, lso = now.lso, hw = now.hw })
end

-- removed(key, act): act() takes the key, which was there, out of Redis
function M.removed(lab, key, act)
  local redis = lab:redis()
  local before = must(redis:call("EXISTS", key))
  act()
  return of("removed", { key = key, before = before, after = must(redis:call("EXISTS", key)) })
end

-- expiry(keys, {within = ms}): the keys exist and end, all within so long
function M.expiry(lab, keys, opts)
  local commands = {}
  for i, key in ipairs(keys) do commands[i] = { "PEXPIRETIME", key } end
  return of("expiry", { count = #keys, within = opts and opts.within,
    ends = must(lab:redis():pipeline(commands)) })
end

return M
