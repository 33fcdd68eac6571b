-- The wire of an arm: addresses through the proxy, rules on single requests as faults with their proof, and
-- the log of what was seen.
-- Kafka's ports are shared by all runs: a rule or log is for what names this arm (client id, topic, group
-- or transactional id, all made by lab:name), unless it says client_id, topic or contains itself. MySQL and
-- Redis get ports of the arm's own.
local defer = require "rlab.defer"
local must = require "rlab.must"
local owed = require "rlab.lab.owed"
local proof = require "rlab.proof"
local strict = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local function client(lab)
  return lab.run:proxy() or error('this experiment needs the proxy: write needs = { ..., "proxy" }', 3)
end

-- What the arm's names begin with.
local function space(lab)
  return lab.label and lab.run.namespace .. "-" .. lab.label or lab.run.namespace
end

-- Whose rules and ports they are. The dot keeps "lost-response" from owning what "lost-response-dedup" has
-- beside it.
local function owner(lab)
  return lab.label and space(lab) .. "." or lab.run.namespace
end

local function own_port(lab, proto, at)
  local made = must(client(lab):create { name = lab:name(proto),
    upstream = ("%s:%d"):format(at.host, at.port), proto = proto, owner = owner(lab) })
  return "127.0.0.1:" .. made.port
end

-- wire() -> {brokers =, mysql = "host:port", redis = "host:port", client_id = prefix}: the arm's addresses
--   through the proxy
function M.wire(lab)
  if lab.own_wire then return lab.own_wire end
  local proxy = client(lab)
  lab.run.ledger:add("proxy", lab.run.namespace)
  local wire = { brokers = lab.stack.proxy.brokers, client_id = space(lab), url = proxy.url }
  if lab.stack.mysql then wire.mysql = own_port(lab, "mysql", lab.stack.mysql) end
  if lab.stack.redis then wire.redis = own_port(lab, "redis", lab.stack.redis) end
  lab.own_wire = wire
  lab:own(defer(function() proxy:sweep(owner(lab)) end))
  return wire
end

local function scoped(lab, spec)
  spec.owner, spec.proto = owner(lab), spec.proto or "kafka"
  if spec.proto ~= "kafka" then
    lab:wire()
    spec.proxy = spec.proxy or lab:name(spec.proto)
  elseif not (spec.client_id or spec.topic or spec.contains) then
    spec.contains = space(lab)
  end
  return spec
end

-- ---- rules ----

local function described(spec)
  local what = spec.api or spec.statement or spec.param or "any request"
  return ("%s %s%s"):format(spec.action, what, spec.nth and (" no. %d"):format(spec.nth) or "")
end

local Rule = {}

-- rule:state() -> {matched, fired, held, released, bytes, last}: the proxy's counters now
function Rule.state(rule) return must(rule.proxy:rule(rule.id)) end

-- rule:await(at_most) -> state once it has acted; the arm is inconclusive when it does not
function Rule.await(rule, at_most)
  local state
  rule.lab:await(rule.name .. " on the wire", function()
    state = rule:state()
    return state.fired >= rule.at_least
  end, at_most or "30s")
  rule:prove()
  return state
end

-- rule:proof([at_least]) -> proof: what its counters moved since it was made
function Rule.proof(rule, at_least)
  local now, asked = rule.proxy:rule(rule.id) or {}, rule.asked
  local last = now.last or {}
  return proof.of("wire", { rule = rule.name, at_least = at_least or rule.at_least, nth = asked.nth,
    times = asked.times, chance = asked.chance, bytes = now.bytes,
    fired = now.fired, matched = now.matched,
    last = { client_id = last.client_id, correlation = last.correlation, ns = last.ns } })
end

-- rule:prove() -> whether it has acted as often as it must, what was seen: its counters are the evidence
function Rule.prove(rule)
  local seen = rule:proof()
  rule.fault:fired(seen)
  local at = rule.fault.row.fired and seen.facts.last.ns
  if at then rule.fault.row.at = (at - rule.lab.started_ns) / 1e9 end
  return rule.fault.row.fired, seen
end

-- rule:release() -> how many held requests were let go
function Rule.release(rule) return must(rule.proxy:release(rule.id)) end

-- rule:remove(): it acts no more; what it held is let go (late requests are dropped)
function Rule.remove(rule)
  if rule.removed then return end
  rule.removed = true
  local _, seen = rule:prove()
  rule.proxy:remove_rule(rule.id)
  rule.fault:over()
  local counted = seen.facts.matched or 0
  if owed.broken(rule.lab.debts) then return end -- it ended the story before there was enough to count
  if rule.counts and counted < rule.at_least then
    rule.lab:give_up("the proxy counted %d of at least %d %s: nobody knows whether it sees them", counted,
      rule.at_least, rule.name)
  end
end

local RULE_KEYS = { "name", "proto", "action", "api", "client_id", "topic", "statement", "contains",
  "param", "nth", "times", "chance", "delay",
  "code", "error", "proxy", "may_fire", "at_least" }

-- rule{api = "Produce", nth = 5, action = "cut-after", at_least = 1, ...} -> fault: it must act so often
--   after it was made (with nth on that very request), else the arm is inconclusive; one that only counts
--   must have counted so much (may_fire = true: it need not). f:await(), f:state(), f:release(), f:remove(),
--   f:proof(), f:prove().
function M.rule(lab, spec)
  local own = tables.merged(strict.check("lab:rule", spec, RULE_KEYS))
  lab:wire()
  local rule = { lab = lab, name = own.name or described(own), asked = tables.merged(own),
    at_least = own.at_least or 1, counts = own.action == "count" and not own.may_fire, proxy = client(lab) }
  local may = own.may_fire or own.action == "count"
  own.name, own.may_fire, own.at_least = nil, nil, nil
  rule.id = must(client(lab):add_rule(scoped(lab, own))).id
  rule.fault = may and lab:possible_fault(rule.name) or lab:fault(rule.name)
  return lab:own(setmetatable(rule, { __index = Rule, __close = function(r) r:remove() end }))
end

-- ---- answers that a client does not hear ----

local Front = {}

-- front:deaf(n, send) -> proof: send(i), n times, each without its answer: the request passes, and the proxy
--   cuts the connection at the first byte of what comes back. send(i) -> whether something was heard.
function Front.deaf(front, n, send)
  local proxy, passed, unheard = front.proxy, {}, 0
  must(proxy:toxic(front.name, { name = "deaf", type = "limit_data", attributes = { bytes = 0 } }))
  for i = 1, n do
    local before = must(proxy:proxy(front.name))
    unheard = unheard + (send(i) and 0 or 1)
    local now = must(proxy:proxy(front.name))
    passed[i] = { up = now.bytes_up - before.bytes_up, down = now.bytes_down - before.bytes_down }
  end
  must(proxy:remove_toxic(front.name, "deaf"))
  return proof.of("unheard", { want = n, unheard = unheard, passed = passed })
end

-- front(service) -> front {url =}: the service by a port of the arm's own at the proxy. f:deaf()
function M.front(lab, service)
  local proxy, name = client(lab), lab:name(service.name)
  lab.run.ledger:add("proxy", lab.run.namespace)
  local made = must(proxy:create { name = name, upstream = "127.0.0.1:" .. service.port,
    owner = owner(lab) })
  return lab:own(setmetatable({ lab = lab, proxy = proxy, name = name,
    url = ("http://127.0.0.1:%d"):format(made.port) },
    { __index = Front, __close = function() proxy:remove(name) end }))
end

-- ---- partitions between brokers ----

-- { ["1>2"] = true, ...}: which broker fetches from which, for a follower of a partition does so all the
-- time. Where no partition is led, nothing is asked: a broker that leads none has silent neighbours.
local function fetching(lab)
  local pairs_of, admin = {}, lab.run.admin
  for _, name in ipairs(must(admin:topics { internal = true })) do
    for _, part in ipairs(must(admin:topic(name)).partitions) do
      for _, replica in ipairs(part.replicas) do
        if replica ~= part.leader then pairs_of[("%d>%d"):format(replica, part.leader)] = true end
      end
    end
  end
  return pairs_of
end

-- Swallows what `from` asks of `to`; `speaks`: that it does ask is known, so the rule must see it.
local function swallow(lab, from, to, speaks)
  local made = must(client(lab):add_rule { proto = "kafka", proxy = ("kafka-%s-inter"):format(to),
    client_id = ("broker-%s-"):format(from), action = "black-hole", owner = owner(lab) })
  return { id = made.id, from = from, to = to, must = speaks[("%s>%s"):format(from, to)] or false }
end

-- Every direction in which somebody speaks has been swallowed: fault:fired, and true.
local function parted(lab, fault, rules)
  local directions = {}
  for i, rule in ipairs(rules) do
    local state = must(client(lab):rule(rule.id))
    directions[i] = { from = rule.from, to = rule.to, must = rule.must, fired = state.fired,
      bytes = state.bytes }
  end
  return fault:fired(proof.of("parted", { directions = directions })).row.fired
end

-- part("kafka-2") -> fault: no peer reaches that broker any more and it reaches none, although all live;
--   the controller still sees it. needs =
-- { "partition" }. f.heal() joins them again. Proved by what was swallowed; also done at the arm's end.
function M.part(lab, name)
  local id = name:match "^kafka%-(%d)$"
  if not id then
    error(("lab:part: '%s' is no broker; there are kafka-1, kafka-2, kafka-3"):format(tostring(name)), 2)
  end
  if not lab.stack:partitionable() then
    error('lab:part needs brokers that reach one another through the proxy: write needs = { ..., \z
      "partition" }', 2)
  end
  local speaks, rules = fetching(lab), {}
  local fault = lab:fault("partition around " .. name):started()
  lab:wire()
  for _, peer in ipairs { "1", "2", "3" } do
    if peer ~= id then
      rules[#rules + 1] = swallow(lab, peer, id, speaks)
      rules[#rules + 1] = swallow(lab, id, peer, speaks)
    end
  end
  local due = 0
  for _, rule in ipairs(rules) do due = due + (rule.must and 1 or 0) end
  if due == 0 then lab:give_up("%s shares no partition with its peers: nothing could be cut off", name) end
  lab:await("requests between the parted brokers", function() return parted(lab, fault, rules) end, "30s")
  function fault.heal()
    for _, rule in ipairs(rules) do client(lab):remove_rule(rule.id) end
    return fault:over()
  end
  return fault
end

-- ---- the log ----

local LOG_KEYS = { "proto", "api", "client_id", "topic", "contains", "proxy" }

local Log = {}

-- log:rows([{api =, direction =}]) -> rows so far {time (s of the arm), client_id, api, version,
--   correlation, direction, ...}; also what rules did
function Log.rows(log, filter)
  local rows, last, lost = must(log.proxy:wire { owner = owner(log.lab), since = log.since })
  if lost > 0 then log.lab:give_up("the wire log lost %d rows: it is bounded", lost) end
  log.last = last
  local list = {}
  for _, row in ipairs(rows) do
    row.time = (row.ns - log.lab.started_ns) / 1e9
    local fits = true
    for key, value in pairs(filter or {}) do fits = fits and row[key] == value end
    if fits then list[#list + 1] = row end
  end
  return list
end

local function ids_of(row)
  local ids = {}
  for _, part in ipairs(row.partitions or {}) do tables.append(ids, part.ids or {}) end
  return ids
end

-- log:exchanges() -> the requests so far, each with answer, the row of its response (nil: none seen), and
--   ids, those of the records that it carried
function Log.exchanges(log)
  local answers, list = {}, {}
  local function key(row) return ("%s %s"):format(row.conn, row.correlation) end
  for _, row in ipairs(log:rows()) do
    if row.direction == "response" then answers[key(row)] = row end
    if row.direction == "request" then list[#list + 1] = row end
  end
  for _, row in ipairs(list) do row.answer, row.ids = answers[key(row)], ids_of(row) end
  return list
end

-- log:carrying(id) -> for each request that carried the record: {error, base_offset} of its answer
function Log.carrying(log, id)
  local list = {}
  for _, row in ipairs(log:exchanges()) do
    local answer = row.answer and row.answer.partitions[1] or {}
    for _, carried in ipairs(row.ids) do
      if carried == id then
        list[#list + 1] = { error = answer.error, base_offset = answer.base_offset }
        break
      end
    end
  end
  return list
end

-- log:ids() -> ids of the records that requests carried, each as often as it was carried
function Log.ids(log)
  local ids = {}
  for _, row in ipairs(log:exchanges()) do table.move(row.ids, 1, #row.ids, #ids + 1, ids) end
  return ids
end

-- log:await(what, pred, at_most) -> pred(row)'s value of the first row that has one
function Log.await(log, what, pred, at_most)
  return log.lab:await(what, function()
    for _, row in ipairs(log:rows()) do
      local value = pred(row)
      if value then return value end
    end
  end, at_most)
end

-- wire_log{api = "OffsetCommit", ...} -> log: what matches is noted from now on (several calls add up)
function M.wire_log(lab, spec)
  local own = tables.merged(strict.check("lab:wire_log", spec, LOG_KEYS))
  lab:wire()
  local _, since = must(client(lab):wire { owner = owner(lab), since = math.maxinteger })
  must(client(lab):watch(scoped(lab, own)))
  return setmetatable({ lab = lab, proxy = client(lab), since = since }, { __index = Log })
end

return M
