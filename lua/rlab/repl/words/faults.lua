-- Faults from the prompt: the failpoints of a running service, and the rules of the stack's proxy.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local show = require "rlab.repl.show"

local WHICH = 'a URL, a port, or a service with a port of its own: "command"'
local TIMEOUT = "5s"

local function said(name, fmt, ...)
  return err.new { domain = "rlab", code = 0, name = name, message = fmt:format(...) }
end

-- ---- failpoints ----

local function port_of(name)
  local description = require("rlab.service").load(name)
  if (description.port or 0) == 0 then
    error(("%s takes any port that is free; say the one that it names when it is ready: \z
      failpoints(43121)"):format(name), 0)
  end
  return description.port
end

local function url_of(service, word)
  if math.type(service) == "integer" then return ("http://127.0.0.1:%d"):format(service) end
  if type(service) ~= "string" or service == "" then error(("%s takes %s"):format(word, WHICH), 3) end
  if service:find "^https?://" then return (service:gsub("/+$", "")) end
  if service:find "^[%w.-]+:%d+$" then return "http://" .. service end
  return ("http://127.0.0.1:%d"):format(port_of(service))
end

local function refusal(url, path, answer)
  local body = json.decode(answer.body)
  local why = type(body) == "table" and (body.detail or body.title) or ("status %d"):format(answer.status)
  return said(answer.status == 404 and "NOT_FOUND" or "REFUSED", "%s%s: %s", url, path, why)
end

-- the body, decoded | nil, err. A service without failpoints knows none of these paths.
local function ask(url, method, path, body)
  local answer, failure = http.request { method = method, url = url .. path, body = body, timeout = TIMEOUT }
  if not answer then return nil, failure end
  if answer.status >= 300 then return nil, refusal(url, path, answer) end
  return answer.body == "" or json.decode(answer.body)
end

local function all_points(url)
  local all, failure = ask(url, "GET", "/failpoints")
  if all or failure.name ~= "NOT_FOUND" then return all, failure end
  return nil, said("NO_FAILPOINTS",
    "what answers at %s has no failpoints; start the service with --failpoints", url)
end

local function listing(rows)
  return show.listing(rows, { { name = "point", key = "name" }, { name = "expression", key = "expr" },
    { name = "hits", align = "right" },
    { name = "fired", align = "right" }, { name = "where", key = "help" } })
end

-- what is armed or was, in that order, then the points of the engine that never were
local function rows_of(all)
  local rows, seen, help = {}, {}, {}
  for _, point in ipairs(all.points) do help[point.name] = point.help end
  for _, point in ipairs(all.armed) do
    rows[#rows + 1] = { name = point.name, expr = point.expr, hits = point.hits, fired = point.fired,
      help = help[point.name] }
    seen[point.name] = true
  end
  for _, point in ipairs(all.points) do
    if not seen[point.name] then rows[#rows + 1] = { name = point.name, help = point.help } end
  end
  return rows
end

local function failpoints(url)
  local all, failure = all_points(url)
  if not all then return nil, failure end
  return listing(rows_of(all))
end

local function one(url, name)
  local all, failure = all_points(url)
  if not all then return nil, failure end
  for _, row in ipairs(rows_of(all)) do
    if row.name == name then return listing { row } end
  end
  return nil, said("NO_POINT", "nothing is called %s at %s, and nothing of that name was ever armed", name,
    url)
end

local function change(url, name, expr)
  local path = "/failpoints/" .. name
  if expr == "resume" then return ask(url, "POST", path .. "/resume") end
  if expr == "off" then return ask(url, "DELETE", path) end
  return ask(url, "PUT", path, expr)
end

-- ---- the proxy ----

local MATCHERS = { "api", "client_id", "topic", "statement", "param", "contains", "nth", "times", "chance",
  "proxy" }
local DEFAULTS = { nth = 1, times = 0, chance = 1 }

local function matching(rule)
  local words = {}
  for _, key in ipairs(MATCHERS) do
    local value = rule[key]
    if value ~= nil and value ~= DEFAULTS[key] then words[#words + 1] = ("%s=%s"):format(key, value) end
  end
  return table.concat(words, " ")
end

local function rule_listing(rules)
  for _, rule in ipairs(rules) do rule.on = matching(rule) end
  return show.listing(rules, { { name = "id", align = "right" }, "proto", "action", "on",
    { name = "matched", align = "right" },
    { name = "fired", align = "right" }, { name = "held", align = "right" }, "owner" })
end

local function toxic_names(list)
  local names = {}
  for i, toxic in ipairs(list) do names[i] = toxic.name end
  return names[1] and table.concat(names, " ") or nil
end

local function proxy_listing(proxies)
  local rows = {}
  for _, row in pairs(proxies) do
    row.state, row.toxic_names = row.enabled and "up" or "down", toxic_names(row.toxics)
    rows[#rows + 1] = row
  end
  table.sort(rows, function(a, b) return a.name < b.name end)
  return show.listing(rows, { "name", "proto", "listen", "upstream", "state",
    { name = "open", align = "right" },
    { name = "bytes up", key = "bytes_up", align = "right" },
    { name = "bytes down", key = "bytes_down", align = "right" },
    { name = "toxics", key = "toxic_names" } })
end

return function(session, words)
  local clients = session.clients

  function words.failpoints(service)
    return failpoints(url_of(service, "failpoints"))
  end

  function words.failpoint(service, name, expr)
    local url = url_of(service, "failpoint")
    if type(name) ~= "string" or not name:find "^[%w_.-]+$" then
      error('failpoint takes a point: failpoint("command", "cmd.before_commit", "#3 kill")', 2)
    end
    if expr ~= nil then
      if type(expr) ~= "string" then
        error('failpoint: what it does is a text such as "#3 kill", "off" or "resume"', 2)
      end
      local done, failure = change(url, name, expr)
      if not done then return nil, failure end
    end
    return one(url, name)
  end

  local function proxy(f)
    local client, failure = clients:open "proxy"
    if not client then return nil, failure end
    local value
    value, failure = f(client)
    if value == nil then return nil, failure end
    return value
  end

  function words.proxies()
    local list, failure = proxy(function(client) return client:proxies() end)
    if not list then return nil, failure end
    return proxy_listing(list)
  end

  function words.rules()
    local list, failure = proxy(function(client) return client:rules() end)
    if not list then return nil, failure end
    return rule_listing(list)
  end

  function words.rule(spec)
    if type(spec) ~= "table" then
      error('rule takes what it matches and does: rule { api = "Produce", nth = 3, action = "cut-after" }', 2)
    end
    local made, failure = proxy(function(client) return client:add_rule(spec) end)
    if not made then return nil, failure end
    return rule_listing { made }
  end

  function words.unrule(id)
    if math.type(id) ~= "integer" then error("unrule takes the number of a rule; rules() shows them", 2) end
    local gone, failure = proxy(function(client) return client:remove_rule(id) end)
    if not gone then return nil, failure end
    return words.rules()
  end
end
