-- What the console's page asks for besides the events: runs, topics, groups; and what it changes.
local asked = require "rlab.ui.asked"
local err = require "rlab.err"
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local report = require "rlab.report"
local units = require "rlab.units"

local body_of, refuse, text_of, whole_of = asked.body, asked.refuse, asked.text, asked.whole

-- A report is a page with a script of its own: it may run it, as nobody's page.
local REPORT = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; \z
  script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

-- ---- runs ----

local function is_name(text) return text:find "^[%w_%-][%w_%.%-]*$" ~= nil end

local function folder_of(console, id, run)
  if not (is_name(id) and is_name(run)) then return nil end
  local dir = ("%s/%s/%s"):format(console.runs, id, run)
  return fs.exists(dir .. "/result.json") and dir or nil
end

local function report_of(console, req)
  local id, run = req.params.id, req.params.run
  local text = is_name(id) and is_name(run)
    and fs.read(("%s/%s/%s/report.html"):format(console.runs, id, run))
  if not text then return http.problem(404, "this run has no report") end
  return { status = 200, body = text,
    headers = { ["content-type"] = "text/html; charset=utf-8", ["content-security-policy"] = REPORT } }
end

local function runs(console)
  local starter = console.starter
  return http.json { runs = require("rlab.ui.runs").list(console.runs), experiments = starter:experiments(),
    started = starter:state() }
end

local function result_of(console, id, run)
  local dir = folder_of(console, id, run)
  local text = dir and fs.read(dir .. "/result.json")
  return text and json.decode(text)
end

-- How one run differs from another of the same experiment.
local function difference(console, req)
  local p = req.params
  local a, b = result_of(console, p.id, p.run), result_of(console, p.id, p.other)
  if not (a and b) then return http.problem(404, "there is no such run") end
  return http.json { rows = json.array(require("rlab.report.facts").differing(a, b)) }
end

local function start(console, req)
  local body = body_of(req)
  local seed = body.seed == nil and 7 or math.tointeger(body.seed)
  if not seed or seed < 0 then refuse "seed is a whole number from 0" end
  local started = console.starter:start(text_of(body, "id"), seed)
  console:follow()
  return http.json(started, 202)
end

local function follow(console)
  console:follow()
  return http.json { following = true }
end

local function stop(console)
  console.starter:stop()
  return http.json { stopped = true }
end

-- The run that is named in the body, or the one that is replayed already.
local function replay(console, req)
  local name, recorded = text_of(body_of(req), "run"), console.recorded
  if name and not (recorded and recorded[1].name == name) then
    local id, run = name:match "^([^/]+)/([^/]+)$"
    local dir = id and folder_of(console, id, run)
    if not dir then return http.problem(404, "there is no such run") end
    local data, why = report.load(dir)
    if not data then return http.problem(409, "it cannot be replayed: " .. tostring(why)) end
    console.recorded = require("rlab.ui.record").events(data, name)
  end
  if not console.recorded then
    return http.problem(409, "nothing is replayed: rlab ui --replay runs/E-009/latest")
  end
  console:replay()
  return http.json { replaying = true }
end

-- ---- topics and groups ----

-- ?with=orders: of the names that have that in them
local function with(req)
  local wanted = req.query.with
  return wanted ~= "" and wanted or nil
end

local function topics(console, req) return http.json(console.kafka:topics(with(req))) end

local function topic(console, req) return http.json(console.kafka:topic(req.params.name)) end

-- What one part of the stack answers, or why it does not.
local function part(f, self)
  local ok, value = pcall(f, self)
  if ok then return value end
  if not err.is(value) or value.name == "CANCELLED" then error(value, 0) end
  return { failure = value.message }, value
end

local function groups(console, req)
  local k = console.kafka
  local answer = k:groups(with(req))
  answer.open = part(k.open_transactions, k)
  return http.json(answer)
end

local function fence(console, req)
  return http.json(console.kafka:fence(text_of(body_of(req), "id") or refuse "id is missing"))
end

local function group(console, req) return http.json(console.kafka:group(req.params.id)) end

local function records(console, req)
  local from, n = whole_of(req.query.from, "from"), whole_of(req.query.n, "n")
  local partition = whole_of(req.params.partition, "partition") or 0
  return http.json(console.kafka:records(req.params.name, partition, from, n))
end

local function offset_at(console, req)
  local partition = whole_of(req.params.partition, "partition") or 0
  return http.json(console.kafka:offset_at(req.params.name, partition, req.query.time or ""))
end

local function produce(console, req)
  local body = body_of(req)
  local partition = body.partition ~= json.null and body.partition or nil
  if partition and not math.tointeger(partition) then refuse "partition is a whole number" end
  local record = { key = text_of(body, "key"), value = text_of(body, "value") or json.null,
    headers = asked.headers(body), partition = math.tointeger(partition) }
  return http.json(console.kafka:produce(req.params.name, record))
end

-- "100" is an offset; the rest is as seek takes it.
local function where_of(text)
  if not text or text == "" then refuse "where is missing" end
  return units.whole(text) or text
end

local function plan(console, req)
  return http.json(console.kafka:plan(req.params.id, req.query.topic or "", where_of(req.query.where)))
end

local function seek(console, req)
  local body = body_of(req)
  local where = where_of(text_of(body, "where"))
  return http.json(console.kafka:seek(req.params.id, text_of(body, "topic") or "", where))
end

-- ---- services and faults ----

local function services() return http.json { services = require("rlab.ui.services").list() } end

local function faults(console) return http.json(console.faults:proxy()) end

local function unrule(console, req)
  local id = math.tointeger(body_of(req).unrule)
  if not id then refuse "unrule is the number of a rule" end
  return http.json(console.faults:unrule(id))
end

local function points(console, req)
  return http.json(console.faults:points(whole_of(req.params.port, "port")))
end

local function arm(console, req)
  local body = body_of(req)
  local name, expr = text_of(body, "name"), text_of(body, "expr")
  if not (name and expr) then refuse "name and expr are texts" end
  return http.json(console.faults:arm(whole_of(req.params.port, "port"), name, expr))
end

-- ---- the pipeline ----

local function pipeline(console)
  local p = console.pipeline
  local dead, failure = part(p.dead, p)
  local outbox, no_mysql = part(p.outbox, p)
  local cached, no_redis = part(p.cached, p)
  if failure and no_mysql and no_redis then error(failure, 0) end
  return http.json { outbox = outbox, dead = dead, cached = cached, redrive = console.redrive:state(),
    schema = not no_mysql and p.clients:stack().mysql.database or nil }
end

local function preview(console, req)
  return http.json(console.pipeline:preview(req.params.topic, req.query.schema or ""))
end

local function redrive(console, req)
  local body = body_of(req)
  local of = text_of(body, "topic") or refuse "topic is missing"
  return http.json(console.redrive:start(of, { rate = text_of(body, "rate"), cap = body.cap,
    stop = body.stop == true }), 202)
end

local function stop_redrive(console)
  console.redrive:stop()
  return http.json { stopped = true }
end

return function(route)
  route("GET", "/api/pipeline", pipeline)
  route("GET", "/api/pipeline/{topic}", preview)
  route("POST", "/api/redrive", redrive)
  route("POST", "/api/redrive/stop", stop_redrive)
  route("GET", "/runs/{id}/{run}/report.html", report_of)
  route("GET", "/api/runs", runs)
  route("POST", "/api/runs", start)
  route("GET", "/api/runs/{id}/{run}/{other}", difference)
  route("POST", "/api/stop", stop)
  route("POST", "/api/follow", follow)
  route("POST", "/api/replay", replay)
  route("GET", "/api/topics", topics)
  route("GET", "/api/topics/{name}", topic)
  route("GET", "/api/topics/{name}/{partition}", records)
  route("GET", "/api/topics/{name}/{partition}/at", offset_at)
  route("POST", "/api/topics/{name}", produce)
  route("GET", "/api/groups", groups)
  route("POST", "/api/fence", fence)
  route("GET", "/api/groups/{id}", group)
  route("GET", "/api/groups/{id}/plan", plan)
  route("POST", "/api/groups/{id}", seek)
  route("GET", "/api/services", services)
  route("GET", "/api/faults", faults)
  route("POST", "/api/faults", unrule)
  route("GET", "/api/failpoints/{port}", points)
  route("POST", "/api/failpoints/{port}", arm)
end
