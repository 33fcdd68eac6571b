local fs = require "rlab.fs"
local http = require "rlab.http"
local layout = require "rlab.stack.layout"
local notes = require "rlab.stack.notes"
local service = require "rlab.service"
local services = require "rlab.ui.services"

describe("the services of the console", function()
  local folder, noted, kept
  before_each(function()
    kept = { layout.services, layout.listening, notes.list, service.names, service.load }
    folder, noted = assert(fs.tmpdir()), {}
    layout.services = function() return folder .. "/services" end
    layout.listening = function() return {} end
    notes.list = function() return noted end
    service.names = function() return {} end
  end)
  after_each(function()
    layout.services, layout.listening, notes.list, service.names, service.load = table.unpack(kept)
    fs.remove(folder)
  end)

  local function health(said, status)
    return assert(http.serve { handler = function() return http.json(said, status or 200) end })
  end

  it("say how they are, and which part is down and why", function()
    local relay <close> = health({ status = "DOWN", service = "relay", name = "relay-1",
      components = { mysql = { status = "DOWN", details = { why = "gone" } },
        kafka = { status = "UP" } } }, 503)
    noted = { { port = relay.port, name = "relay-1", service = "relay" } }
    assert.same({ { port = relay.port, name = "relay-1", service = "relay", status = "DOWN",
      components = { { name = "kafka", status = "UP" },
        { name = "mysql", status = "DOWN", why = "gone" } } } },
      services.list())
    assert.truthy(fs.exists(folder .. "/services")) -- so that who starts from now on is noted
  end)

  it("are those that say so: what listens at their port and is something else is none", function()
    local other <close> = health { status = "UP" }
    local dead = health {}
    local port = dead.port
    dead:close()
    noted = { { port = port, name = "query-1", service = "query" } }
    service.names = function() return { "command" } end
    service.load = function() return { port = other.port } end
    layout.listening = function() return { [other.port] = true } end
    local list = services.list()
    assert.same({ 1, "query-1", "no answer" }, { #list, list[1].name, list[1].status })
    assert.is_string(list[1].why)
  end)
end)
