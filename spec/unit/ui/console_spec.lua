local fs = require "rlab.fs"
local host = require "rlab.core_host"
local http = require "rlab.http"
local json = require "rlab.json"
local raw = require "spec.support.raw_http"
local record = require "rlab.ui.record"
local report = require "rlab.report"
local ui = require "rlab.ui"

local function replay()
  local events = record.events(assert(report.load "spec/fixtures/report/fixture-E-012"), "E-012/fixture")
  return assert(ui.serve { port = 0, recorded = events, speed = 100 })
end

local function token_of(console)
  return assert(http.get(console.url)).body:match 'name="rlab%-token" content="(%x+)"'
end

local function page(console, path, headers)
  return assert(http.get(console.url .. path, { headers = headers }))
end

describe("rlab ui", function()
  it("serves its page and every file of it, embedded, under one policy", function()
    local console <close> = replay()
    local size = 0
    for _, name in ipairs(host.embedded_names "lua/rlab/ui/assets/") do
      local answer = page(console, "/assets/" .. name:match "([^/]+)$")
      assert.equal(200, answer.status)
      size = size + #answer.body
    end
    size = size + #page(console, "/assets/palette.css").body
    assert.is_true(size < 120 * 1024)
    for _, path in ipairs { "/", "/assets/main.js", "/events", "/nowhere" } do
      local headers = page(console, path).headers
      local policy = headers["content-security-policy"]
      assert.truthy(policy:find("default-src 'none'", 1, true))
      assert.is_nil(policy:find "unsafe")
      assert.equal("nosniff", headers["x-content-type-options"])
      assert.is_nil(headers["access-control-allow-origin"])
    end
  end)

  it("has no script, style or handler in its markup, and never makes markup of a text", function()
    for _, name in ipairs(host.embedded_names "lua/rlab/ui/assets/") do
      local text = host.embedded(name)
      for _, way in ipairs { "innerHTML", "outerHTML", "insertAdjacentHTML", "document%.write", "eval%(",
        "new Function", "DOMParser", "srcdoc", "javascript:" } do
        assert.is_nil(text:find(way), name .. ": " .. way)
      end
      if name:find "%.html$" then
        assert.is_nil(text:find "<style" or text:find " style=" or text:find " on%w+=")
        for attributes in text:gmatch "<script([^>]*)>" do assert.truthy(attributes:find ' src="/assets/') end
      end
    end
  end)

  it("is asked by nobody else's page: Host, Origin", function()
    local console <close> = replay()
    for _, head in ipairs { "Host: evil.example", "Host: localhost\\r\\nOrigin: http://evil.example" } do
      local said = raw(console.port, "GET /api/runs HTTP/1.1\\r\\n" .. head
        .. "\\r\\nConnection: close\\r\\n\\r\\n")
      assert.truthy(said:find "^HTTP/1.1 403")
    end
  end)

  it("changes something only for who has the page's token, by POST of JSON", function()
    local console <close> = replay()
    local token = token_of(console)
    local function post(headers, body)
      return assert(http.post(console.url .. "/api/replay", body or {}, { headers = headers })).status
    end
    assert.equal(403, post {})
    assert.equal(403, post { ["x-rlab-token"] = ("0"):rep(48) })
    assert.equal(415, post({ ["x-rlab-token"] = token, ["content-type"] = "text/plain" }, "{}"))
    assert.equal(200, post { ["x-rlab-token"] = token })
    assert.equal(405, page(console, "/api/replay").status)
    assert.equal(48, #token)
    local other <close> = replay()
    assert.not_equal(token, token_of(other))
  end)

  it("tells the events as EventSource reads them, from a cursor on", function()
    local console <close> = replay()
    local first = page(console, "/events")
    assert.equal("text/event-stream", first.headers["content-type"])
    local cursor, data = first.body:match "^retry: %d+\nid: (%d+:%d+)\ndata: ([^\n]+)\n\n$"
    assert.equal("mode", json.decode(data).events[1].kind)
    local seen
    repeat
      local body = page(console, "/events", { ["Last-Event-ID"] = cursor }).body
      cursor, data = body:match "id: (%d+:%d+)\ndata: ([^\n]+)\n"
      for _, e in ipairs(json.decode(data).events) do seen = seen or e.kind == "verdict" end
    until seen
  end)

  it("gives no file but those of its runs", function()
    local dir = assert(fs.tmpdir())
    assert(fs.mkdir(dir .. "/runs/E-001/one"))
    assert(fs.write(dir .. "/runs/E-001/one/report.html", "<p>report"))
    assert(fs.write(dir .. "/report.html", "secret"))
    local console <close> = assert(ui.serve { port = 0, runs = dir .. "/runs" })
    local answer = page(console, "/runs/E-001/one/report.html")
    assert.equal("<p>report", answer.body)
    assert.truthy(answer.headers["content-security-policy"]:find "^sandbox allow%-scripts;")
    for _, path in ipairs { "/runs/../one/report.html", "/runs/%2e%2e/%2e%2e/report.html",
      "/runs/E-001/..%2fone/report.html", "/runs/E-001/two/report.html", "/runs/E-001/one/result.json",
      "/assets/..%2finit.lua", "/assets/init.lua", "/assets/%2e%2e%2f%2e%2e%2fmain.lua" } do
      assert.equal(404, page(console, path).status, path)
    end
    fs.remove(dir)
  end)

  it("says what is missing, and the next command, where no servers run", function()
    local console <close> = assert(ui.serve { port = 0 })
    console.kafka.clients.stack = function() return nil end
    for _, path in ipairs { "/api/topics", "/api/groups", "/api/topics/orders", "/api/topics/orders/0",
      "/api/faults",
      "/api/groups/g/plan?topic=orders&where=earliest" } do
      local answer = page(console, path)
      assert.equal(503, answer.status, path)
      assert.truthy(json.decode(answer.body).detail:find("rlab up", 1, true))
    end
  end)

  it("starts one experiment at a time, as a process of its own, and says why it came to nothing", function()
    local dir = assert(fs.tmpdir())
    local console <close> = assert(ui.serve { port = 0, runs = dir })
    local known = json.decode(page(console, "/api/runs").body).experiments
    assert.is_true(#known >= 11 and known[1].id == "E-001" and #known[1].title > 0)
    local p = { kill = function() end, wait = function() end }
    console.starter.process, console.starter.last = p, { id = "E-001", seed = 7 }
    local answer = assert(http.post(console.url .. "/api/runs", { id = "E-012" },
      { headers = { ["x-rlab-token"] = token_of(console) } }))
    assert.same({ 409, "E-001 goes on; end it first" }, { answer.status, json.decode(answer.body).detail })
    console.starter.process = nil
    fs.remove(dir)
  end)

  it("shows and arms the failpoints of a service on a port of this machine, and asks nobody else", function()
    local armed, point = {}, { name = "a.b", help = "where it is" }
    local service <close> = assert(http.serve { handler = function(req)
      if req.method == "PUT" then armed = { { name = "a.b", expr = req.body, hits = 3, fired = 1 } } end
      return http.json { points = { point }, armed = json.array(armed) }
    end })
    local console <close> = assert(ui.serve { port = 0 })
    local path = "/api/failpoints/" .. service.port
    assert.same({ point }, json.decode(page(console, path).body).points)
    local answer = assert(http.post(console.url .. path, { name = "a.b", expr = "#3 kill" },
      { headers = { ["x-rlab-token"] = token_of(console) } }))
    assert.same({ name = "a.b", expr = "#3 kill", hits = 3, fired = 1, help = "where it is" },
      json.decode(answer.body).points[1])
    for _, port in ipairs { "0", "65536", "command", "127.0.0.1:80", "http:%2F%2Fevil.example" } do
      assert.equal(400, page(console, "/api/failpoints/" .. port).status, port)
    end
  end)

  it("takes no change that is malformed", function()
    local console <close> = assert(ui.serve { port = 0 })
    local function post(path, body)
      return assert(http.post(console.url .. path, body, { headers = {
        ["content-type"] = "application/json", ["x-rlab-token"] = token_of(console) } })).status
    end
    for _, body in ipairs { "", "7", "[", '"text"' } do
      assert.equal(400, post("/api/topics/orders", body))
    end
    assert.equal(400, post("/api/topics/orders", '{"value":{"a":1}}'))
    assert.equal(400, post("/api/groups/g", '{"topic":"orders"}'))
    assert.equal(400, post("/api/faults", '{"unrule":"seven"}'))
    assert.equal(400, post("/api/failpoints/80", '{"name":"../x","expr":"off"}'))
    assert.equal(400, page(console, "/api/topics/orders/0?from=-7e3").status)
    assert.equal(404, post("/api/replay", '{"run":"../etc/passwd"}'))
    assert.equal(404, post("/api/replay", '{"run":"E-001/.."}'))
    assert.equal(409, post("/api/replay", "{}"))
    for _, body in ipairs { '{"id":"../x"}', '{"id":7}', "{}", '{"id":"E-012","seed":-1}',
      '{"id":"E-99999"}' } do
      assert.equal(400, post("/api/runs", body), body)
    end
  end)
end)

describe("a cell of the console", function()
  local cell = require "rlab.ui.cell"

  it("is text that steers nothing, bytes, or null", function()
    assert.same({ kind = "text", text = "<b>&\n", size = 5, exact = true }, cell.of "<b>&\n")
    assert.same({ kind = "text", text = "a\\u{202e}b", size = 5 }, cell.of "a\u{202e}b")
    assert.same({ kind = "bytes", text = "00 ff ", size = 2 }, cell.of "\0\255")
    assert.same({ kind = "null", text = "", size = 0 }, cell.of(nil))
    assert.same({ kind = "null", text = "", size = 0 }, cell.of(require "rlab.null"))
    assert.same({ kind = "text", text = "", size = 0, exact = true }, cell.of "")
  end)

  it("of a record of a MiB is its beginning, and never half a character", function()
    local long = cell.of(("한"):rep(400000))
    assert.same({ 1200000, true }, { long.size, long.cut })
    assert.is_true(#long.text <= 4096 and utf8.len(long.text) ~= nil)
    assert.is_true(#cell.of(("\0"):rep(1 << 20)).text <= 4096)
  end)
end)
