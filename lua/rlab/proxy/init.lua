-- rlab.proxy: a client of a running proxy, by its HTTP API. The proxy itself: rlab proxy, or serve{...} in
-- this process.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local tables = require "rlab.tables"

local M = {}

local Proxy = {}
Proxy.__index = Proxy

local TIMEOUT = "5s"

local function escape(word)
  return (tostring(word):gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function call(proxy, method, path, body)
  local answer, failure = http.request { method = method, url = proxy.url .. path, json = body,
    timeout = TIMEOUT }
  if not answer then return nil, failure end
  local value = answer.body ~= "" and json.decode(answer.body) or true
  if answer.status < 400 then return value end
  local said = type(value) == "table" and value or {}
  local message = said.rlab and said.rlab.why or said.error or ("status %d"):format(answer.status)
  return nil, err.new { domain = "rlab", code = answer.status,
    name = answer.status == 404 and "NOT_FOUND" or "PROXY",
    message = "the proxy: " .. tostring(message) }
end

-- connect(url) -> proxy | nil, err when nobody answers there
function M.connect(url)
  local proxy = setmetatable({ url = url }, Proxy)
  local version, failure = call(proxy, "GET", "/version")
  if not version then return nil, failure end
  proxy.version = version.version
  return proxy
end

-- What the API has in its object `rlab` is a field as all others here.
local function row_of(proxy, failure)
  if not proxy then return nil, failure end
  local ours = proxy.rlab
  proxy.rlab = nil
  return tables.merged(proxy, ours)
end

-- proxies() -> {name = {name, listen, port, upstream, proto, enabled, toxics, accepted, open, bytes_up,
--   bytes_down, ...}} | nil, err
function Proxy:proxies()
  local all, failure = call(self, "GET", "/proxies")
  for name, proxy in pairs(all or {}) do all[name] = row_of(proxy) end
  return all, failure
end

-- proxy(name) -> the same of one
function Proxy:proxy(name) return row_of(call(self, "GET", "/proxies/" .. escape(name))) end

-- create{name=, upstream=, listen="127.0.0.1:0", proto="tcp", owner=} -> proxy row with its port | nil, err
function Proxy:create(spec)
  local body = tables.merged(spec, { rlab = { proto = spec.proto, owner = spec.owner } })
  body.proto, body.owner = nil, nil
  return row_of(call(self, "POST", "/proxies", body))
end

local function switch(self, name, enabled)
  return row_of(call(self, "PATCH", "/proxies/" .. escape(name), { enabled = enabled }))
end

function Proxy:enable(name) return switch(self, name, true) end

-- disable(name): "down": the listener and all connections are closed
function Proxy:disable(name) return switch(self, name, false) end

function Proxy:remove(name) return call(self, "DELETE", "/proxies/" .. escape(name)) end

-- toxic(name, {type=, stream="downstream", toxicity=1, attributes={}}) -> toxic | nil, err
function Proxy:toxic(name, spec)
  return call(self, "POST", ("/proxies/%s/toxics"):format(escape(name)), spec)
end

function Proxy:remove_toxic(name, toxic)
  return call(self, "DELETE", ("/proxies/%s/toxics/%s"):format(escape(name), escape(toxic)))
end

-- rule{proto=, action=, ...} -> rule | nil, err
function Proxy:add_rule(spec) return call(self, "POST", "/rules", spec) end

function Proxy:rules() return call(self, "GET", "/rules") end

-- rule(id) -> {id, matched, fired, held, released, bytes, last, ...} | nil, err
function Proxy:rule(id) return call(self, "GET", ("/rules/%d"):format(id)) end

-- release(id) -> how many held requests were let go | nil, err
function Proxy:release(id)
  local answer, failure = call(self, "POST", ("/rules/%d/release"):format(id))
  if not answer then return nil, failure end
  return answer.released
end

function Proxy:remove_rule(id) return call(self, "DELETE", ("/rules/%d"):format(id)) end

-- watch{proto="kafka", api=, client_id=, topic=, contains=, proxy=, owner=} -> id: what matches is logged
--   from now on
function Proxy:watch(spec)
  local answer, failure = call(self, "POST", "/watches", spec)
  if not answer then return nil, failure end
  return answer.id
end

function Proxy:unwatch(id) return call(self, "DELETE", ("/watches/%d"):format(id)) end

-- wire{since=, owner=, proxy=} -> rows, number of the last row (the next `since`), rows since then that are
--   lost because the log is bounded | nil, err
function Proxy:wire(opts)
  opts = opts or {}
  local query = { ("since=%d"):format(opts.since or 0) }
  for _, key in ipairs { "owner", "proxy" } do
    if opts[key] then query[#query + 1] = key .. "=" .. escape(opts[key]) end
  end
  local answer, failure = call(self, "GET", "/wire?" .. table.concat(query, "&"))
  if not answer then return nil, failure end
  return answer.rows, answer.next, answer.dropped
end

-- sweep(owner) -> how many rules, watches and proxies of it are gone | nil, err
function Proxy:sweep(owner)
  local answer, failure = call(self, "DELETE", "/owners/" .. escape(owner))
  if not answer then return nil, failure end
  return answer.removed
end

Proxy.__name = "proxy.client"
function Proxy.__tostring(proxy) return "proxy at " .. proxy.url end

M.serve = require("rlab.proxy.server").serve

return M
