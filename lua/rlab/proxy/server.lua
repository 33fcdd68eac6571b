-- The proxy as a server: the core on this process's loop, and its HTTP API: Toxiproxy's (version 2), and
-- /rules, /watches, /wire, /owners. Its clients compare the texts of errors, so these are Toxiproxy's; what
-- we have to say besides is in one object, `rlab`.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local request = require "rlab.proxy.request"
local routes = require "rlab.routes"
local units = require "rlab.units"
local uuid = require "rlab.uuid"

local M = {}

local VERSION = "2.12.0" -- of Toxiproxy's API that this one follows

local status_of = { NO_PROXY = 404, NO_TOXIC = 404, NO_RULE = 404, NO_WATCH = 404, EXISTS = 409,
  TOXIC_EXISTS = 409, LISTEN = 500 }

local toxiproxys = { NO_PROXY = "proxy not found", NO_TOXIC = "toxic not found",
  EXISTS = "proxy already exists", TOXIC_EXISTS = "toxic already exists", TYPE = "invalid toxic type",
  STREAM = "stream was invalid, can be either upstream or downstream" }

local function failed(failure)
  local text = toxiproxys[failure.name]
  return { error = text or failure.message, status = status_of[failure.name] or 400,
    rlab = text and { why = failure.message } or nil }
end

local function text(status, body)
  return { status = status, headers = { ["content-type"] = "application/json" }, body = body }
end

local function answer(status, value, failure)
  if value ~= nil then return text(status, value) end
  local body = failed(failure)
  return text(body.status, json.encode(body))
end

-- Options of the wrong kind are the caller's mistake; the place in our source is of no use to him.
local function tried(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local failure = results[2]
  if err.is(failure) then error(failure, 0) end
  return nil, request.wrong((tostring(failure):gsub("^[^:]+:%d+: ", "")))
end

-- ---- proxies ----

local list = {}

local function route(method, path, handler)
  list[#list + 1] = { method = method, parts = routes.parts(path), handler = handler }
end

local function add_toxic(proxy, name, given)
  return tried(proxy.core.toxic, proxy.core, name, given)
end

-- Made with its toxics, or not at all.
local function make_proxy(proxy, given)
  local ok, failure = tried(proxy.core.gate, proxy.core, {
    name = given.name, listen = given.listen, upstream = given.upstream, owner = given.owner,
    enabled = given.enabled, proto = given.proto or proxy.defaults[given.name] or "tcp" })
  for _, toxic in ipairs(ok and given.toxics or {}) do
    if ok then ok, failure = add_toxic(proxy, given.name, toxic) end
    if not ok then proxy.core:remove_gate(given.name) end
  end
  return ok, failure
end

route("GET", "/version", function()
  return { status = 200, headers = { ["content-type"] = "application/json;charset=utf-8" },
    body = ('{"version": "%s"}\n'):format(VERSION) }
end)

route("GET", "/proxies", function(proxy) return answer(200, proxy.core:gates()) end)

route("POST", "/proxies", function(proxy, req)
  local given, failure = request.proxy(req.body)
  local ok = given
  if given then ok, failure = make_proxy(proxy, given) end
  return answer(201, ok and proxy.core:gates(given.name) or nil, failure)
end)

-- One that is as it is to be stays, with its connections and toxics. An address that cannot be leaves the
-- old one, too; where only the port is taken, the new one is there and off.
local function populate(proxy, given)
  local known = proxy.core:gates(given.name) ~= nil
  if known then
    local differs, failure = proxy.core:differs(given.name, given.listen, given.upstream)
    if differs == nil then return nil, failure end
    if not differs then return proxy.core:gates(given.name) end
    proxy.core:remove_gate(given.name)
  end
  local ok, failure = make_proxy(proxy, given)
  if not ok and known and failure.name == "LISTEN" then
    given.enabled = false
    make_proxy(proxy, given)
  end
  if not ok then return nil, failure end
  return proxy.core:gates(given.name)
end

route("POST", "/populate", function(proxy, req)
  local given, failure = request.proxies(req.body)
  local made = {}
  for _, one in ipairs(given or {}) do
    local row
    row, failure = populate(proxy, one)
    if not row then break end
    made[#made + 1] = row
  end
  local proxies = ('"proxies":[%s]}'):format(table.concat(made, ","))
  if not failure then return text(201, "{" .. proxies) end
  local body = failed(failure)
  return text(body.status, json.encode(body):sub(1, -2) .. "," .. proxies)
end)

route("GET", "/proxies/{name}",
  function(proxy, req) return answer(200, proxy.core:gates(req.params.name)) end)

local function change_proxy(proxy, req)
  local name = req.params.name
  local ok, failure = proxy.core:gates(name)
  if not ok then return answer(200, nil, failure) end
  local given
  given, failure = request.change(req.body)
  ok = given
  if given then
    ok, failure = proxy.core:change_gate(name, { listen = given.listen, upstream = given.upstream })
  end
  if ok and given.enabled ~= nil then ok, failure = proxy.core:enable(name, given.enabled) end
  return answer(200, ok and proxy.core:gates(name) or nil, failure)
end

route("POST", "/proxies/{name}", change_proxy)
route("PATCH", "/proxies/{name}", change_proxy)

local function gone(ok, failure)
  if not ok then return answer(204, nil, failure) end
  return { status = 204, body = "" }
end

route("DELETE", "/proxies/{name}",
  function(proxy, req) return gone(proxy.core:remove_gate(req.params.name)) end)

route("POST", "/reset", function(proxy) return gone(proxy.core:reset()) end)

-- ---- toxics ----

route("GET", "/proxies/{name}/toxics",
  function(proxy, req) return answer(200, proxy.core:toxics(req.params.name)) end)

route("POST", "/proxies/{name}/toxics", function(proxy, req)
  local name = req.params.name
  local ok, failure = proxy.core:gates(name)
  if not ok then return answer(200, nil, failure) end
  local given
  given, failure = request.toxic(req.body)
  ok = given
  if given then ok, failure = add_toxic(proxy, name, given) end
  return answer(200, ok and proxy.core:toxics(name, given.name) or nil, failure)
end)

route("GET", "/proxies/{name}/toxics/{toxic}",
  function(proxy, req) return answer(200, proxy.core:toxics(req.params.name, req.params.toxic)) end)

local function change_toxic(proxy, req)
  local name, toxic = req.params.name, req.params.toxic
  local ok, failure = proxy.core:toxics(name, toxic)
  if not ok then return answer(200, nil, failure) end
  local given
  given, failure = request.toxic_change(req.body, json.decode(ok).type)
  ok = given
  if given then ok, failure = tried(proxy.core.change_toxic, proxy.core, name, toxic, given) end
  return answer(200, ok and proxy.core:toxics(name, toxic) or nil, failure)
end

route("POST", "/proxies/{name}/toxics/{toxic}", change_toxic)
route("PATCH", "/proxies/{name}/toxics/{toxic}", change_toxic)
route("DELETE", "/proxies/{name}/toxics/{toxic}",
  function(proxy, req) return gone(proxy.core:remove_toxic(req.params.name, req.params.toxic)) end)

-- ---- rules ----

local function number(word)
  return units.whole(word) or -1
end

-- What a call of the core answers to the object in the body
local function made(method, shown)
  return function(proxy, req)
    local given, failure = request.object(req.body)
    local id
    if given then id, failure = tried(proxy.core[method], proxy.core, given) end
    return answer(201, id and shown(proxy, id) or nil, failure)
  end
end

route("GET", "/rules", function(proxy) return answer(200, proxy.core:rules()) end)
route("POST", "/rules", made("rule", function(proxy, id) return proxy.core:rules(id) end))
route("GET", "/rules/{id}",
  function(proxy, req) return answer(200, proxy.core:rules(number(req.params.id))) end)
route("DELETE", "/rules/{id}",
  function(proxy, req) return gone(proxy.core:remove_rule(number(req.params.id))) end)

route("POST", "/rules/{id}/release", function(proxy, req)
  local released, failure = proxy.core:release(number(req.params.id))
  return answer(200, released and json.encode { released = released }, failure)
end)

route("DELETE", "/owners/{owner}",
  function(proxy, req) return http.json { removed = proxy.core:remove_owner(req.params.owner) } end)

-- ---- the wire log ----

route("POST", "/watches", made("watch", function(_, id) return json.encode { id = id } end))
route("DELETE", "/watches/{id}",
  function(proxy, req) return gone(proxy.core:unwatch(number(req.params.id))) end)

route("GET", "/wire", function(proxy, req)
  local since = units.whole(req.query.since or "0")
  if not since or since < 0 then
    return answer(200, nil, request.wrong "since is a whole number, 0 or more")
  end
  return answer(200, proxy.core:wire(since, { owner = req.query.owner, proxy = req.query.proxy }))
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
  local all = {}
  for name, gate in pairs(json.decode(proxy.core:gates())) do
    for _, m in ipairs(gate_metrics) do
      all[#all + 1] = { name = m[1], type = m[2], help = m[3], value = gate.rlab[m[4]],
        labels = { proxy = name } }
    end
  end
  for _, rule in ipairs(json.decode(proxy.core:rules())) do
    local labels = { rule = tostring(rule.id), action = rule.action, owner = rule.owner or "" }
    all[#all + 1] = { name = "rlab_proxy_rule_matched_total", type = "counter",
      help = "Requests a rule matched.", value = rule.matched, labels = labels }
    all[#all + 1] = { name = "rlab_proxy_rule_fired_total", type = "counter",
      help = "Requests a rule acted on.", value = rule.fired, labels = labels }
  end
  return all
end

route("GET", "/metrics", function(proxy)
  local render = require "rlab.metrics"
  return { status = 200, headers = { ["content-type"] = render.content_type },
    body = render.render(metrics(proxy)) }
end)

-- ---- serving ----

local function plain(status, body, headers)
  headers = headers or {}
  headers["content-type"] = "text/plain; charset=utf-8"
  return { status = status, headers = headers, body = body }
end

local function handle(proxy, req)
  if (req.headers["user-agent"] or ""):find "^Mozilla/" then return plain(403, "User agent not allowed\n") end
  local clean = req.raw_path:gsub("//+", "/") -- of a client whose address ends with a slash
  if clean ~= req.raw_path then return plain(301, "", { location = clean }) end
  local found, params = routes.find(list, req.method, routes.split(req.raw_path))
  if found then
    req.params = params
    return found.handler(proxy, req)
  end
  if #params == 0 then return plain(404, "404 page not found\n") end
  return plain(405, "", { allow = table.concat(params, ", ") })
end

local Server = {}
Server.__index = Server

function Server:close()
  if self.server then self.server:close "100ms" end
  self.core:close()
end

Server.__close = Server.close
Server.__name = "proxy.server"

-- serve{host=, hosts=, port=, seed=, anywhere=false, proxies={{name=, listen=, upstream=, proto=}, ...}} ->
--   {core=, url=, port=} (closable) | nil, err. anywhere: proxies may listen beyond this machine
function M.serve(opts)
  local core = require("rlab.core_proxy").open { seed = opts.seed, anywhere = opts.anywhere }
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
  proxy.server, failure = http.serve { host = opts.host or "127.0.0.1", hosts = opts.hosts,
    port = opts.port or 0, json_only = true,
    handler = function(req)
      local reply = handle(proxy, req)
      reply.headers = reply.headers or {}
      reply.headers["x-toxiproxy-request-id"] = uuid.v7()
      return reply
    end }
  if not proxy.server then
    core:close()
    return nil, failure
  end
  proxy.port, proxy.url = proxy.server.port, proxy.server.url
  return proxy
end

return M
