-- The proxy as a server: the core on this process's loop, and its HTTP API: Toxiproxy's (version 2), and
-- /rules, /watches, /wire, /owners.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"

local M = {}

local VERSION = "2.12.0" -- of Toxiproxy's API that this one follows

local status_of = { NO_PROXY = 404, NO_TOXIC = 404, NO_RULE = 404, NO_WATCH = 404, EXISTS = 409,
  LISTEN = 500 }

-- Toxiproxy's clients read errors in this form.
local function refuse(status, message)
  return http.json({ error = message, title = message, status = status }, status)
end

local function text(status, body)
  return { status = status, headers = { ["content-type"] = "application/json" }, body = body }
end

local function answer(status, value, failure)
  if value == nil then return refuse(status_of[failure.name] or 400, failure.message) end
  return text(status, value)
end

-- Options of the wrong kind are the caller's mistake; the place in our source is of no use to him.
local function tried(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local failure = results[2]
  if err.is(failure) then error(failure, 0) end
  return nil, err.new { domain = "rlab", code = 0, name = "USAGE",
    message = (tostring(failure):gsub("^[^:]+:%d+: ", "")) }
end

local function without_nulls(t)
  for key, value in pairs(t) do
    if value == json.null then t[key] = nil end
  end
  return t
end

local function body_of(req)
  local value, failure = json.decode(req.body ~= "" and req.body or "{}")
  if type(value) ~= "table" then
    return nil, refuse(400, "bad request body: " .. (failure and failure.message or "an object is expected"))
  end
  return without_nulls(value)
end

-- ---- proxies ----

local function guess_proto(proxy, given)
  return given.proto or proxy.defaults[given.name] or "tcp"
end

local function make_proxy(proxy, given)
  local enabled = given.enabled
  if enabled == nil then enabled = true end
  local ok, failure = tried(proxy.core.gate, proxy.core, {
    name = given.name, listen = given.listen ~= "" and given.listen or nil, upstream = given.upstream,
    owner = given.owner, enabled = enabled,
    proto = guess_proto(proxy, given),
  })
  return ok, failure
end

local routes = {}

local function route(method, path, handler)
  local pattern = "^" .. path:gsub("{}", "([^/]+)") .. "/?$"
  routes[#routes + 1] = { method = method, pattern = pattern, handler = handler }
end

route("GET", "/version", function() return http.json { version = VERSION } end)

route("GET", "/proxies", function(proxy) return answer(200, proxy.core:gates()) end)

route("POST", "/proxies", function(proxy, req)
  local given, bad = body_of(req)
  if not given then return bad end
  local ok, failure = make_proxy(proxy, given)
  return answer(201, ok and proxy.core:gates(given.name), failure)
end)

local function populate(proxy, given)
  local known = proxy.core:gates(given.name)
  if known then
    local now = json.decode(known)
    if now.listen == given.listen and now.upstream == given.upstream then return known end
    proxy.core:remove_gate(given.name)
  end
  local ok, failure = make_proxy(proxy, given)
  if not ok then return nil, failure end
  return proxy.core:gates(given.name)
end

route("POST", "/populate", function(proxy, req)
  local list, bad = body_of(req)
  if not list then return bad end
  local made = {}
  for _, given in ipairs(list) do
    local one, failure = populate(proxy, without_nulls(given))
    if not one then return answer(201, nil, failure) end
    made[#made + 1] = one
  end
  return text(201, '{"proxies":[' .. table.concat(made, ",") .. "]}")
end)

route("GET", "/proxies/{}", function(proxy, _, name) return answer(200, proxy.core:gates(name)) end)

local function change_proxy(proxy, req, name)
  local given, bad = body_of(req)
  if not given then return bad end
  local ok, failure = tried(proxy.core.change_gate, proxy.core, name, {
    listen = given.listen ~= "" and given.listen or nil,
    upstream = given.upstream ~= "" and given.upstream or nil })
  if ok and given.enabled ~= nil then ok, failure = proxy.core:enable(name, given.enabled) end
  return answer(200, ok and proxy.core:gates(name), failure)
end

route("POST", "/proxies/{}", change_proxy)
route("PATCH", "/proxies/{}", change_proxy)

local function gone(ok, failure)
  if not ok then return answer(204, nil, failure) end
  return { status = 204, body = "" }
end

route("DELETE", "/proxies/{}", function(proxy, _, name) return gone(proxy.core:remove_gate(name)) end)

route("POST", "/reset", function(proxy) return gone(proxy.core:reset()) end)

-- ---- toxics ----

route("GET", "/proxies/{}/toxics", function(proxy, _, name) return answer(200, proxy.core:toxics(name)) end)

route("POST", "/proxies/{}/toxics", function(proxy, req, name)
  local given, bad = body_of(req)
  if not given then return bad end
  local stream = given.stream and given.stream ~= "" and given.stream:lower() or "downstream"
  local toxic = given.name and given.name ~= "" and given.name
    or ("%s_%s"):format(tostring(given.type), stream)
  local ok, failure = tried(proxy.core.toxic, proxy.core, name,
    { name = toxic, type = given.type, stream = stream,
    toxicity = given.toxicity, attributes = given.attributes and without_nulls(given.attributes) })
  return answer(200, ok and proxy.core:toxics(name, toxic), failure)
end)

route("GET", "/proxies/{}/toxics/{}",
  function(proxy, _, name, toxic) return answer(200, proxy.core:toxics(name, toxic)) end)

local function change_toxic(proxy, req, name, toxic)
  local given, bad = body_of(req)
  if not given then return bad end
  local ok, failure = tried(proxy.core.change_toxic, proxy.core, name, toxic,
    { toxicity = given.toxicity, attributes = given.attributes })
  return answer(200, ok and proxy.core:toxics(name, toxic), failure)
end

route("POST", "/proxies/{}/toxics/{}", change_toxic)
route("PATCH", "/proxies/{}/toxics/{}", change_toxic)
route("DELETE", "/proxies/{}/toxics/{}",
  function(proxy, _, name, toxic) return gone(proxy.core:remove_toxic(name, toxic)) end)

-- ---- rules ----

local function number(word)
  return require("rlab.units").whole(word) or -1
end

route("GET", "/rules", function(proxy) return answer(200, proxy.core:rules()) end)

route("POST", "/rules", function(proxy, req)
  local given, bad = body_of(req)
  if not given then return bad end
  local id, failure = tried(proxy.core.rule, proxy.core, given)
  return answer(201, id and proxy.core:rules(id), failure)
end)

route("GET", "/rules/{}", function(proxy, _, id) return answer(200, proxy.core:rules(number(id))) end)
route("DELETE", "/rules/{}", function(proxy, _, id) return gone(proxy.core:remove_rule(number(id))) end)

route("POST", "/rules/{}/release", function(proxy, _, id)
  local released, failure = proxy.core:release(number(id))
  return answer(200, released and json.encode { released = released }, failure)
end)

route("DELETE", "/owners/{}",
  function(proxy, _, owner) return http.json { removed = proxy.core:remove_owner(owner) } end)

-- ---- the wire log ----

route("POST", "/watches", function(proxy, req)
  local given, bad = body_of(req)
  if not given then return bad end
  local id, failure = tried(proxy.core.watch, proxy.core, given)
  return answer(201, id and json.encode { id = id }, failure)
end)

route("DELETE", "/watches/{}", function(proxy, _, id) return gone(proxy.core:unwatch(number(id))) end)

route("GET", "/wire", function(proxy, req)
  return answer(200, proxy.core:wire(number(req.query.since or 0),
    { owner = req.query.owner, proxy = req.query.proxy }))
end)

-- ---- metrics ----

local gate_metrics = {
  { "rlab_proxy_connections_total", "counter", "Connections accepted.", "accepted" },
  { "rlab_proxy_connections", "gauge", "Connections open.", "open" },
  { "rlab_proxy_refused_total", "counter", "Connections that the upstream did not take.", "refused" },
  { "rlab_proxy_bytes_up_total", "counter", "Bytes to the upstream.", "bytes_up" },
  { "rlab_proxy_bytes_down_total", "counter", "Bytes to clients.", "bytes_down" },
}

local function metrics(proxy)
  local list = {}
  for name, gate in pairs(json.decode(proxy.core:gates())) do
    for _, m in ipairs(gate_metrics) do
      list[#list + 1] = { name = m[1], type = m[2], help = m[3], value = gate[m[4]],
        labels = { proxy = name } }
    end
  end
  for _, rule in ipairs(json.decode(proxy.core:rules())) do
    local labels = { rule = tostring(rule.id), action = rule.action, owner = rule.owner or "" }
    list[#list + 1] = { name = "rlab_proxy_rule_matched_total", type = "counter",
      help = "Requests a rule matched.", value = rule.matched, labels = labels }
    list[#list + 1] = { name = "rlab_proxy_rule_fired_total", type = "counter",
      help = "Requests a rule acted on.", value = rule.fired, labels = labels }
  end
  return list
end

route("GET", "/metrics", function(proxy)
  local render = require "rlab.metrics"
  return { status = 200, headers = { ["content-type"] = render.content_type },
    body = render.render(metrics(proxy)) }
end)

-- ---- serving ----

-- handle(proxy, req) -> answer
function M.handle(proxy, req)
  local seen
  for _, r in ipairs(routes) do
    local captured = table.pack(req.path:match(r.pattern))
    if captured[1] and r.method == req.method then
      if captured[1] == req.path then return r.handler(proxy, req) end
      return r.handler(proxy, req, table.unpack(captured, 1, captured.n))
    end
    seen = seen or captured[1]
  end
  return refuse(seen and 405 or 404, seen and "method not allowed" or ("nothing is at %s"):format(req.path))
end

local Server = {}
Server.__index = Server

function Server:close()
  if self.server then self.server:close "100ms" end
  self.core:close()
end

Server.__close = Server.close
Server.__name = "proxy.server"

-- serve{host=, port=, seed=, proxies={{name=, listen=, upstream=, proto=}, ...}} -> {core=, url=, port=}
--   (closable) | nil, err
function M.serve(opts)
  local core = require("rlab.core_proxy").open { seed = opts.seed }
  local proxy = setmetatable({ core = core, defaults = {} }, Server)
  for _, given in ipairs(opts.proxies or {}) do
    proxy.defaults[given.name] = given.proto
    local ok, failure = core:gate(given)
    if not ok then
      core:close()
      return nil, failure
    end
  end
  local failure
  proxy.server, failure = http.serve { host = opts.host or "127.0.0.1", port = opts.port or 0,
    handler = function(req) return M.handle(proxy, req) end }
  if not proxy.server then
    core:close()
    return nil, failure
  end
  proxy.port, proxy.url = proxy.server.port, proxy.server.url
  return proxy
end

return M
