local fs = require "rlab.fs"
local host = require "rlab.core_host"
local http = require "rlab.http"
local json = require "rlab.json"
local log = require "rlab.log"
local process = require "rlab.process"
local task = require "rlab.task"

local function echo(req)
  return http.json { method = req.method, path = req.path, query = req.query,
    agent = req.headers["x-agent"] or "", body = req.body }
end

local function serve(handler, more)
  local options = { handler = handler }
  for key, value in pairs(more or {}) do options[key] = value end
  return assert(http.serve(options))
end

-- What a raw socket says, by bash, as no client of ours would
local function raw(port, text)
  local p <close> = assert(process.spawn {
    cmd = { "bash", "-c", 'exec 3<>/dev/tcp/127.0.0.1/$0; printf "$1" >&3; timeout 60 cat <&3',
      tostring(port), text } })
  p:wait "60s"
  return (p:output())
end

describe("http", function()
  it("carries method, path, query, headers and body, and any bytes", function()
    local server <close> = serve(echo)
    local answer = assert(http.request {
      method = "patch", url = server.url .. "/a%20b/c?x=1&y=&z=%26", headers = { ["X-Agent"] = "spec" },
      body = "\0\1\255" })
    assert.equal(200, answer.status)
    assert.equal("application/json", answer.headers["content-type"])
    local seen = json.decode(answer.body)
    assert.same({ method = "PATCH", path = "/a b/c", query = { x = "1", y = "", z = "&" }, agent = "spec",
      body = "\0\1\255" }, seen)
  end)

  it("has short forms for GET, POST, PUT and DELETE", function()
    local server <close> = serve(echo)
    assert.equal("GET", json.decode(assert(http.get(server.url)).body).method)
    assert.equal("DELETE", json.decode(assert(http.delete(server.url)).body).method)
    local posted = json.decode(assert(http.post(server.url, { n = 1 })).body)
    assert.same({ "POST", '{"n":1}' }, { posted.method, posted.body })
    assert.equal("text", json.decode(assert(http.put(server.url, "text")).body).body)
    assert.equal("", json.decode(assert(http.post(server.url, "")).body).body)
  end)

  it("answers requests side by side while their handlers wait", function()
    local here, all, got = 0, task.event(), {}
    local server <close> = serve(function(req)
      here = here + 1
      if here == 20 then all:set(true) end
      while here < 20 do all:wait() end
      return req.query.n
    end)
    task.group(function(g)
      for n = 1, 20 do g:spawn(function() got[n] = assert(http.get(server.url .. "/?n=" .. n)).body end) end
    end)
    for n = 1, 20 do assert.equal(tostring(n), got[n]) end
  end)

  it("keeps connections alive, also after an error", function()
    local server <close> = serve(function(req) return http.problem(req.path == "/no" and 404 or 503, "spec")
      end)
    local said = raw(server.port, "GET /no HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET / HTTP/1.1\\r\\nHost: \z
      x\\r\\nConnection: close\\r\\n\\r\\n")
    assert.matches("404 Not Found.*503 Service Unavailable", said)
    assert.is_nil(said:match "^(.-)503":lower():find("connection: close", 1, true))
  end)

  it("makes a problem of what goes wrong in a handler", function()
    local level = log.level()
    local _ <close> = setmetatable({}, { __close = function() log.level(level) end })
    log.level "off"
    local server <close> = serve(function(req)
      if req.path == "/raise" then error "secret" end
      if req.path == "/nil" then return nil end
      if req.path == "/slip" then return { statuss = 200 } end
      return { status = 200, headers = { ["x-bad"] = "a\r\nb" } }
    end)
    for _, path in ipairs { "/raise", "/nil", "/slip", "/header" } do
      local answer = assert(http.get(server.url .. path))
      assert.equal(500, answer.status)
      assert.equal("application/problem+json", answer.headers["content-type"])
      assert.is_nil(answer.body:find "secret")
    end
  end)

  it("refuses a body that is too large, announced or in chunks", function()
    local server <close> = serve(echo, { max_body = "1KiB" })
    assert.equal(200, assert(http.post(server.url, ("x"):rep(1024))).status)
    local answer = assert(http.post(server.url, ("x"):rep(1025)))
    assert.equal(413, answer.status)
    assert.equal("application/problem+json", answer.headers["content-type"])
    local chunked = raw(server.port, "POST / HTTP/1.1\\r\\nHost: x\\r\\nConnection: \z
      close\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n800\\r\\n" .. ("x"):rep(2048) .. "\\r\\n0\\r\\n\\r\\n")
    assert.matches("^HTTP/1.1 413", chunked)
  end)

  it("calls after when the answer has been written", function()
    local told = task.event()
    local seen
    local server <close> = serve(function()
      return { status = 201, body = "x", after = function(sent)
        seen = sent
        told:set()
      end }
    end)
    assert.equal(201, assert(http.get(server.url)).status)
    if seen == nil then told:wait() end
    assert.is_true(seen)
  end)

  it("ends a request at its deadline, by a cancel and by a lost server, each with its name", function()
    local server <close> = serve(function()
      task.sleep "10m"
      return "late"
    end)
    local _, late = http.get(server.url, { timeout = "100ms" })
    assert.equal("TIMEOUT", late.name)
    local waiting = task.spawn(function() return http.get(server.url, { timeout = "10m" }) end)
    assert(task.wait_until(function() return server:under_way() == 1 end, { at_most = "60s" }))
    waiting:cancel()
    local _, gone = waiting:join()
    assert.equal("CANCELLED", gone.name)
    local free = process.free_ports(1, 21000)[1]
    local _, refused = http.get("http://127.0.0.1:" .. free)
    assert.same({ "CONNECT", true }, { refused.name, refused.retriable })
    local _, unknown = http.get "http://no-such-host.invalid/"
    assert.equal("UNKNOWN_HOST", unknown.name)
    local _, strange = http.get "gopher://127.0.0.1/"
    assert.equal("URL", strange.name)
  end)

  it("answers 500 when a handler's answer is none, also when only its `after` is wrong", function()
    local server <close> = serve(function() return { body = "x", after = 5 } end)
    local answer = assert(http.get(server.url, { timeout = "2s" }))
    assert.equal(500, answer.status)
  end)

  it("stops by answering what is under way, and what is left with 503", function()
    local server = serve(function(req)
      task.sleep(req.path == "/quick" and "150ms" or "10m")
      return "done"
    end)
    local quick = task.spawn(function() return http.get(server.url .. "/quick") end)
    local slow = task.spawn(function() return http.get(server.url .. "/slow") end)
    assert(task.wait_until(function() return server:under_way() == 2 end))
    server:close "2s"
    assert.equal("done", quick:join().body)
    assert.equal(503, slow:join().status)
    local _, gone = http.get(server.url .. "/quick")
    assert.equal("CONNECT", gone.name)
    server:close()
  end)

  it("says who is in the way of a port, and what was misspelled", function()
    local server <close> = serve(echo)
    local _, taken = http.serve { port = server.port, handler = echo }
    assert.equal("EADDRINUSE", taken.name)
    assert.has_error(function() http.serve { prot = 1, handler = echo } end,
      "http.serve: unknown option 'prot', did you mean 'port'?")
    assert.error_matches(function() http.request { uri = "x" } end, "did you mean 'url'")
    assert.error_matches(function() http.request { url = "http://x", body = "a", json = 1 } end, "not both")
  end)

  it("takes malformed requests without harm", function()
    local server <close> = serve(echo)
    for _, text in ipairs { "GET\\r\\n\\r\\n", "GET / HTTP/9.9\\r\\n\\r\\n",
      "POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: -5\\r\\n\\r\\n" } do
      raw(server.port, text)
    end
    assert.equal(200, assert(http.get(server.url)).status)
  end)

  it("leaves no handle open", function()
    local before = host.open_handles()
    do local server <close> = serve(echo); assert(http.get(server.url)) end
    assert.equal(before, host.open_handles())
    assert.truthy(fs.self_exe())
  end)
end)
