-- Services as an arm runs them: `rlab service NAME` in processes of their own, with the arm's topic, group,
-- schema and key prefix, an admin endpoint on a port that they report, and the proofs of rlab.lab.children.
-- Their logs and settings stay in the run's folder.
local children = require "rlab.lab.children"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local points = require "rlab.failpoint.points"
local process = require "rlab.process"
local strict = require "rlab.options"
local tables = require "rlab.tables"
local urls = require "rlab.urls"

local M = {}

local Service = children.class()

local function has_cache(lab) return lab.stack.redis or lab.stack.redis_cluster end

-- What a service is told of the arm, as far as it has such an option and its settings do not say otherwise.
-- Of the consumer's cache an arm says what it is to be: by default none, for most stories have none.
local own_settings = {
  cache = function() return "none" end,
  topic = function(lab) return lab:event_topic() end,
  group = function(lab, name) return name == "replay" and lab:name "replay" or lab:group() end,
  prefix = function(lab) return has_cache(lab) and lab:prefix() or nil end,
  registry = function(lab) return lab.stack.registry and lab.stack.registry.url end,
  cache_prefix = function(lab) return has_cache(lab) and lab:prefix() or nil end,
}

local merged = tables.merged

-- An answer that never comes is waited for as long as the socket's timeout, by default a minute, and a
-- topic that a broker does not know yet is asked for again after five: an arm has less.
local IMPATIENT = { ["socket.timeout.ms"] = "6000", ["topic.metadata.refresh.interval.ms"] = "1000",
  ["reconnect.backoff.max.ms"] = "500" }

-- The lab's timers for a service that consumes. Its name makes it a static member, so that one that was
-- killed and is started again goes on at once instead of waiting for its own session to end.
local function lab_consumer(lab, tag, given)
  local own = merged(IMPATIENT, { ["group.instance.id"] = tag })
  for _, name in ipairs { "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms" } do
    own[name] = tostring(lab:settings("consumer")[name])
  end
  return merged(own, given)
end

local function arms_settings(lab, name, given, tag)
  local description = require("rlab.service").load(name)
  local options, settings = require("rlab.service.options").all(description), merged(given)
  for key, value_of in pairs(own_settings) do
    if options[key] and settings[key] == nil then settings[key] = value_of(lab, name) end
  end
  if description.uses and description.uses.consumer then
    settings.consumer = lab_consumer(lab, tag, settings.consumer)
  end
  if description.uses and description.uses.producer then
    settings.producer = merged(IMPATIENT, settings.producer)
  end
  return settings
end

-- The service, and settings that it has: else it is the scenario that is wrong, which is said with its line.
local function check_service(name, settings, opts)
  local found, description = pcall(require("rlab.service").load, name)
  if not found then error("lab:service: " .. tostring(description.message or description), 3) end
  local known = require("rlab.service.options").all(description)
  for key in pairs(settings) do
    if not known[key] then
      error(("lab:service: %s has no option '%s'%s"):format(name, tostring(key),
        strict.hint(key, tables.names_of(known))), 3)
    end
  end
  local own = points.closed(name, settings)
  for _, list in ipairs { opts.failpoints or {}, opts.must_fire or {} } do
    for point, expr in pairs(list) do
      local wrong = own and points.wrong(point, expr, own) or points.malformed(point, expr)
      if wrong then error("lab:service: " .. wrong, 3) end
    end
  end
end

local STORES = { "brokers", "mysql", "redis" }

local function cluster_url(lab)
  local at = lab.stack.redis_cluster
  if not at then error("redis = \"cluster\": the experiment's needs have no redis-cluster", 0) end
  lab.run.ledger:add("cluster-keys", lab.run.namespace)
  lab.cached_in_cluster = true
  return "redis-cluster://" .. table.concat(at.nodes, ",")
end

-- redis = "cluster": the stack's Redis Cluster, also where both are there.
local function redis_url(lab, wire, given)
  local at = lab.stack.redis
  if given == "cluster" or not at then return cluster_url(lab) end
  return urls.write("redis", at, wire.redis or urls.address(at.host, at.port), at.db or "0")
end

local function addresses(lab, opts, settings)
  local via_proxy = opts.via_proxy
  local wire = via_proxy and tables.picked(lab:wire(), via_proxy == true and STORES or via_proxy) or {}
  local env, at = {}, lab.stack.mysql
  if lab.stack.kafka then env.RLAB_BROKERS = wire.brokers or lab.stack.kafka.brokers end
  if at then
    env.RLAB_MYSQL = urls.write("mysql", at, opts.mysql or wire.mysql or urls.address(at.host, at.port),
      lab:schema())
  end
  if has_cache(lab) or settings.redis == "cluster" then
    env.RLAB_REDIS = redis_url(lab, wire, settings.redis)
  end
  return env
end

local OPTION_KEYS = { "at_most", "failpoints", "must_fire", "mysql", "via_proxy" }

local function spawn(lab, name, settings, opts, tag, instance)
  local config = lab.run.dir .. "/" .. tag .. ".config.json"
  must(fs.write(config, json.encode(settings, { pretty = true }) .. "\n"))
  local service = children.spawn(lab, Service, tag, {
    cmd = { fs.self_exe(), "service", name, "--config", config, "--port", "0", "--name", instance,
      "--failpoints",
      "--die-with-parent", tostring(process.self()) },
    env = addresses(lab, opts, settings),
  }, opts)
  service.kind, service.settings, service.opts, service.instance = name, settings, opts, instance
  return service
end

-- service(name, {settings}, {must_fire = {point = expr}, failpoints = {point = expr}, via_proxy = true}) ->
--   Service that says it is ready. Failpoints are armed before it starts. via_proxy may be a list of the
--   stores that it dials through the proxy: "brokers", "mysql", "redis". mysql = "host:port": of another
--   MySQL than the stack's, such as a replica.
function M.service(lab, name, settings, opts)
  opts = strict.check("lab:service", opts, OPTION_KEYS)
  check_service(name, settings or {}, opts)
  if lab.stack.redis then lab.run.ledger:add("keys", lab:prefix()) end
  local tag = lab.run:child_name(name:match "([%w_-]+)%.lua$" or name)
  local service = spawn(lab, name, arms_settings(lab, name, settings or {}, tag), opts, tag, tag)
  lab:note_client(service.name, service.settings)
  return service:await_ready()
end

-- service:await_ready() -> service: it listens and has started
function Service:await_ready()
  local ready = self:expect("ready", self.opts.at_most or "30s")
  self.port, self.url, self.ready = ready.port, ("http://127.0.0.1:%d"):format(ready.port), ready
  return self
end

-- service:restart([settings]) -> Service with the same name and settings, but for these, in a new process;
--   what must fire and has not yet is armed again
function Service:restart(settings)
  if self:alive() then self:wait_exit {} end
  local acted, left, due = {}, {}, {}
  for _, hit in ipairs(self:hits()) do acted[hit.name] = true end
  for _, one in ipairs(self.due) do
    if acted[one.point] then due[#due + 1] = one else left[one.point] = one.expr end
  end
  self.due = due
  self.lives = (self.lives or 1) + 1
  local own = merged(self.settings, settings)
  local again = spawn(self.lab, self.kind, own, merged(self.opts, { must_fire = left }),
    ("%s.%d"):format(self.instance, self.lives), self.instance)
  again.lives = self.lives
  return again:await_ready()
end

-- service:revive([at_most]) -> Service: as a supervisor does, when it was killed it is started again
function Service:revive(at_most)
  self:wait_exit { signal = "KILL", at_most = at_most or "30s" }
  self.lab:event("the %s died; it is started again", self.kind)
  return self:restart()
end

-- service:batch(point, [names]) -> ids of the events that it had in hand at that failpoint, written down
--   before it acted; names: the ids that a person knows, such as lab:stores().request
function Service:batch(point, names)
  local ids = {}
  for _, hit in ipairs(self:hits(point)) do
    for id in tostring(hit.ctx.ids):gmatch "[^,]+" do
      ids[#ids + 1] = names and names[id] or id
    end
  end
  if #ids == 0 then self.lab:give_up("%s wrote down no ids at %s", self.name, point) end
  return ids
end

-- service:stop([at_most]) -> status: SIGTERM, which lets it finish what it has; another end than exit 0
--   makes the arm inconclusive
function Service:stop(at_most)
  children.means(self, "gone")
  must(self.process:kill "TERM")
  return self:wait_exit { code = 0, at_most = at_most or "30s" }
end

-- ---- over HTTP ----

local function call(service, method, path, body)
  local answer, failure = require("rlab.http").request { method = method, url = service.url .. path,
    body = body, timeout = "10s" }
  if not answer then return nil, failure end
  return answer
end

local function demand(service, method, path, body)
  local answer, failure = call(service, method, path, body)
  if not answer then
    service.lab:give_up("%s does not answer %s: %s", service.name, path, tostring(failure))
  end
  if answer.status >= 300 then
    service.lab:give_up("%s answers HTTP %d to %s %s: %s", service.name, answer.status, method, path,
      answer.body or "")
  end
  return answer
end

-- service:get(path) -> {status=, headers=, body=} | nil, err
function Service:get(path)
  return call(self, "GET", path)
end

-- service:failpoint(name, expr, {must_fire = true}): arms it in the running process; "off" disarms it
function Service:failpoint(name, expr, opts)
  local wrong = expr ~= "off" and points.malformed(name, expr)
  if wrong then error("service:failpoint: " .. wrong, 2) end
  if expr == "off" then return demand(self, "DELETE", "/failpoints/" .. name) end
  self:note_arming(name, expr, opts and opts.must_fire)
  return demand(self, "PUT", "/failpoints/" .. name, expr)
end

-- service:resume(name): lets go who waits at a pause
function Service:resume(name)
  return demand(self, "POST", "/failpoints/" .. name .. "/resume")
end

-- service:healthy() -> boolean, what is wrong
function Service:healthy()
  local answer, failure = call(self, "GET", "/actuator/health/readiness")
  if not answer then return false, tostring(failure) end
  return answer.status == 200, answer.body
end

-- read_metrics(text) -> { ["rlab_relay_published_total"] = 100, ['name{label="x"}'] = 1 }
local function read_metrics(text)
  local found = {}
  for line in text:gmatch "[^\n]+" do
    local name, value = line:match "^([%a_:][%w_:]*%b{}) (%S+)$"
    if not name then name, value = line:match "^([%a_:][%w_:]*) (%S+)$" end
    if name then found[name] = tonumber(value) end
  end
  return found
end

-- service:metrics() -> its metrics by name, labels included as Prometheus writes them
function Service:metrics()
  return read_metrics(demand(self, "GET", "/actuator/prometheus").body)
end

-- service:total(name, label) -> sum over the series of a metric whose labels contain this text, such as
--   'code="0"'; nil when there is none
function Service:total(name, label)
  local sum
  for series, value in pairs(self:metrics()) do
    local labels = series:sub(1, #name) == name and series:match("^{.*}$", #name + 1)
    if labels and labels:find(label, 1, true) then sum = (sum or 0) + value end
  end
  return sum
end

-- service:metric(name) -> value | nil when it has none or does not answer just now
function Service:metric(name)
  local answer = self:alive() and call(self, "GET", "/actuator/prometheus")
  return answer and answer.status == 200 and read_metrics(answer.body)[name] or nil
end

-- service:handled() -> events that a consumer has applied, or had seen before
function Service:handled()
  local now = self:metrics()
  return (now.rlab_consumer_applied_total or 0) + (now.rlab_consumer_seen_total or 0)
end

return M
