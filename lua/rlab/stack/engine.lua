-- A container engine (Docker, Podman) by its API, HTTP over a unix socket: the containers of a
-- docker-compose.yml by the names of their services, their state, and what is done to them.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"

local M = {}

local Engine = {}
Engine.__index = Engine

local USUAL = "unix:///var/run/docker.sock"
local SERVICE, PROJECT = "com.docker.compose.service", "com.docker.compose.project"

local function failed(name, fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = name, message = fmt:format(...) }
end

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- open{address = DOCKER_HOST, project = COMPOSE_PROJECT_NAME} -> engine | nil, err. An engine of another
--   machine is refused: what rlab asks is on this one.
function M.open(opts)
  opts = opts or {}
  local address = opts.address or env "DOCKER_HOST" or USUAL
  local path = address:match "^unix://(/.+)$"
  if not path then
    return failed("USAGE", "the container engine is asked over a unix socket only: DOCKER_HOST=%s, not %s",
      USUAL, address)
  end
  return setmetatable({ socket = path, project = opts.project or env "COMPOSE_PROJECT_NAME" }, Engine)
end

local function reason_of(answer)
  local ok, body = pcall(json.decode, answer.body)
  return ok and type(body) == "table" and body.message or "status " .. answer.status
end

-- ask(engine, method, path[, timeout]) -> answer below 400 | nil, err; 404 is NOT_RUNNING, 409 CONFLICT
local function ask(engine, method, path, timeout)
  local answer, failure = http.request { method = method, url = "http://engine" .. path,
    socket = engine.socket, timeout = timeout or "10s" }
  if not answer then
    if failure.name == "TIMEOUT" or failure.name == "CANCELLED" then return nil, failure end
    return failed("NO_ENGINE", "no container engine answers at %s (%s); start it, or set \z
      DOCKER_HOST=unix:///PATH", engine.socket, failure.message)
  end
  if answer.status < 400 then return answer end
  local name = answer.status == 404 and "NOT_RUNNING" or answer.status == 409 and "CONFLICT" or "ENGINE"
  return failed(name, "the container engine says: %s", reason_of(answer))
end

local function escaped(text)
  return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function one_of(service, list)
  if #list <= 1 then return list[1] end
  local projects = {}
  for i, row in ipairs(list) do projects[i] = tostring((row.Labels or {})[PROJECT]) end
  table.sort(projects)
  return failed("USAGE", "%d containers are of the service %s; set COMPOSE_PROJECT_NAME to one of: %s", #list,
    service, table.concat(projects, ", "))
end

-- engine:find(service) -> the id of its container | nil when it has none | nil, err
function Engine:find(service)
  local labels = { SERVICE .. "=" .. service, self.project and PROJECT .. "=" .. self.project or nil }
  local answer, failure = ask(self, "GET", "/containers/json?all=true&filters="
    .. escaped(json.encode { label = json.array(labels) }))
  if not answer then return nil, failure end
  local row, unclear = one_of(service, json.decode(answer.body))
  if not row then return nil, unclear end
  return row.Id
end

-- engine:look(service) -> {id, status, health, pid, image, started} | nil when it has no container | nil, err
function Engine:look(service)
  local id, failure = self:find(service)
  if not id then return nil, failure end
  local answer, unseen = ask(self, "GET", "/containers/" .. id .. "/json")
  if not answer then return nil, unseen end
  local row = json.decode(answer.body)
  local state = row.State or {}
  local pid = math.tointeger(state.Pid)
  return { id = id, status = state.Status, health = (state.Health or {}).Status,
    pid = pid ~= 0 and pid or nil, image = (row.Config or {}).Image, started = state.StartedAt }
end

local function act(word)
  return function(engine, id)
    local answer, failure = ask(engine, "POST", ("/containers/%s/%s"):format(id, word))
    return answer and true, failure
  end
end

-- engine:pause(id), unpause(id), start(id) -> true | nil, err
Engine.pause, Engine.unpause, Engine.start = act "pause", act "unpause", act "start"

-- engine:kill(id, "KILL", at_most) -> true once it runs no more | nil, err. The engine starts nothing again
--   that was ended through it, whatever its restart policy.
function Engine:kill(id, signal, at_most)
  local answer, failure = ask(self, "POST", ("/containers/%s/kill?signal=SIG%s"):format(id, signal))
  if not answer then return nil, failure end
  local wait = ("/containers/%s/wait?condition=not-running"):format(id)
  local gone, unfinished = ask(self, "POST", wait, at_most)
  return gone and true, unfinished
end

-- What is said on both outputs comes in frames: the stream, three zeros, the length, the bytes.
local function unframed(body)
  local out, at = {}, 1
  while at + 7 <= #body do
    local stream, zeros, length = body:byte(at), body:sub(at + 1, at + 3), (">I4"):unpack(body, at + 4)
    if stream > 2 or zeros ~= "\0\0\0" then return body end -- of a terminal: as it was written
    out[#out + 1] = body:sub(at + 8, at + 7 + length)
    at = at + 8 + length
  end
  return table.concat(out)
end

-- engine:log(id) -> all that it has said | nil, err
function Engine:log(id)
  local answer, failure = ask(self, "GET", ("/containers/%s/logs?stdout=true&stderr=true"):format(id))
  if not answer then return nil, failure end
  return unframed(answer.body)
end

return M
