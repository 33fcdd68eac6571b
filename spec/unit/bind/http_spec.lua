local fs = require "rlab.fs"
local host = require "rlab.core_host"
local http = require "rlab.http"
local json = require "rlab.json"
local log = require "rlab.log"
local process = require "rlab.process"
local raw = require "spec.support.raw_http"
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
    local said = raw(server.port, "GET /no HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n\z
      GET / HTTP/1.1\\r\\nHost: \z
      localhost\\r\\nConnection: close\\r\\n\\r\\n")
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
    local chunked = raw(server.port, "POST / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: \z
      close\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n800\\r\\n" .. ("x"):rep(2048) .. "\\r\\n0\\r\\n\\r\\n")
    assert.matches("^HTTP/1.1 413", chunked)
  end)

  it("takes no answer that is larger than was said", function()
    local server <close> = serve(function() return ("x"):rep(1025) end)
    local url = server.url .. "/"
    assert.equal(1025, #assert(http.get(url, { max_body = 1025 })).body)
    local answer, failure = http.get(url, { max_body = "1KiB" })
    assert.is_nil(answer)
    assert.equal("TOO_LARGE", failure.name)
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

  local function said(server, lines, body)
    local head = table.concat(lines, "\\r\\n"):gsub("%%", "%%%%")
    return raw(server.port, head .. "\\r\\nConnection: close\\r\\n\\r\\n" .. (body or ""))
  end

  it("hands out a path as it was sent, for who takes it apart, and refuses what is none", function()
    local server <close> = serve(function(req) return req.raw_path .. " " .. req.path end)
    local name = "Host: localhost"
    assert.matches("/a%2Fb%20c /a/b c", said(server, { "GET /a%2Fb%20c?x=%2F HTTP/1.1", name }), 1, true)
    assert.matches("\r\n/x /x", said(server, { "GET http://localhost:1/x?y HTTP/1.1", name }), 1, true)
    assert.matches("\r\n/ /", said(server, { "GET http://localhost HTTP/1.1", name }), 1, true)
    for _, target in ipairs { "/a%00b", "/a%", "/a%4", "/a%zz", "/%ff", "/%ed%a0%80", "/?x=%00", "/?%x", "*",
      "a", "ftp://localhost/", "http:///x", "http://localhost:x/" } do
      local answer = said(server, { ("GET %s HTTP/1.1"):format(target), name })
      assert.matches("^HTTP/1.1 40[03] .*application/problem%+json.*\"status\":40[03]", answer, 1)
    end
  end)

  it("refuses a head that could be read in two ways", function()
    local server <close> = serve(echo)
    local post, name = "POST / HTTP/1.1", "Host: localhost"
    for _, lines in ipairs { { post }, { post, name, name }, { post, name, "Name : x" },
      { "P@ST / HTTP/1.1", name },
      { post, name, "Content-Length: 1", "Content-Length: 2" },
      { post, name, "Content-Length: 1", "Content-Length: 1" },
      { post, name, "Content-Length: 1", "Transfer-Encoding: chunked" },
      { post, name, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked" },
      { post, name, "Transfer-Encoding: gzip" } } do
      local answer = said(server, lines, "xGET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
      assert.matches("^HTTP/1.1 400 .*application/problem%+json", answer, 1)
      assert.is_nil(answer:find("HTTP/1.1", 2, true), table.concat(lines, "\n"))
    end
    assert.matches("^HTTP/1.1 200", said(server, { "GET / HTTP/1.0" }))
  end)

  it("is asked by its own names and pages only", function()
    local server <close> = serve(echo, { hosts = { "one.test", "two.test" } })
    local function status(headers) return assert(http.get(server.url, { headers = headers })).status end
    for _, name in ipairs { "localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:80", "two.test",
      "One.Test:18080", "localhost." } do
      assert.equal(200, status { host = name }, name)
    end
    for _, name in ipairs { "evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "localhost:x",
      "localhost@evil", "[::1", "two.tes" } do
      assert.equal(403, status { host = name }, name)
    end
    assert.equal(200, status { host = "localhost:5", origin = "http://localhost:5" })
    for _, origin in ipairs { "http://localhost:6", "http://evil.example", "null", "localhost:5" } do
      assert.equal(403, status { host = "localhost:5", origin = origin }, origin)
    end
    local open <close> = serve(echo, { host = "0.0.0.0" })
    local url = "http://127.0.0.1:" .. open.port
    assert.equal(200, assert(http.get(url, { headers = { host = "10.0.0.1:80" } })).status)
    assert.equal(403, assert(http.get(url, { headers = { host = "evil.example" } })).status)
  end)

  it("takes JSON only, where that is said, from what a page could send unasked", function()
    local server <close> = serve(echo, { json_only = true })
    local function status(method, kind, body)
      return assert(http.request { method = method, url = server.url, body = body or "{}",
        headers = { ["content-type"] = kind } }).status
    end
    for _, kind in ipairs { "application/json", "Application/JSON; charset=utf-8",
      "application/merge-patch+json" } do
      assert.equal(200, status("POST", kind), kind)
    end
    for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "application/jsonx",
      "text/json" } do
      assert.equal(415, status("POST", kind), kind)
    end
    assert.equal(415, status "POST")
    assert.equal(415, status("PATCH", "text/plain"))
    assert.equal(200, status("PUT", "text/plain"))
    assert.equal(200, assert(http.post(server.url, "")).status)
  end)

  it("gives a client so long for a head and a body, however they trickle", function()
    local server <close> = serve(echo, { head = "300ms", body = "300ms" })
    local function trickled(first)
      local p <close> = assert(process.spawn { cmd = { "bash", "-c", 'trap "" PIPE; \z
        exec 3<>/dev/tcp/127.0.0.1/$0; printf "$1" >&3; \z
        (while printf x >&3; do sleep 0.05; done) 2>/dev/null & timeout 60 cat <&3; kill $!',
        tostring(server.port), first } })
      p:wait "60s"
      return (p:output())
    end
    assert.equal("", trickled "GET / HTTP/1.1\\r\\nX: ")
    local head = "POST / HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 999999\\r\\n\\r\\n"
    assert.matches("^HTTP/1.1 408 .*took too long\"}$", trickled(head))
    assert.equal(200, assert(http.get(server.url)).status)
  end)

  it("lets in who asks while others hold nearly all places without asking", function()
    local server <close> = serve(echo, { max_connections = 32 })
    local p <close> = assert(process.spawn { cmd = { "bash", "-c", "for i in $(seq 40); do \z
      exec {fd}<>/dev/tcp/127.0.0.1/$0; printf 'GET' >&$fd; done; echo held; sleep 60",
      tostring(server.port) } })
    assert(task.wait_until(function() return (p:output()):find "held" end, { at_most = "60s" }))
    assert.equal(200, assert(http.get(server.url, { timeout = "5s" })).status)
    p:kill()
  end)

  it("sends one header of a name, the caller's, in whatever case", function()
    local server <close> = serve(function(req) return req.headers["content-type"] end)
    assert.equal("application/x+json", assert(http.post(server.url, { n = 1 },
      { headers = { ["Content-Type"] = "application/x+json" } })).body)
    local answer = http.json({}, 200, { ["Content-Type"] = "application/x+json" })
    assert.same({ ["Content-Type"] = "application/x+json" }, answer.headers)
  end)

  it("takes malformed requests without harm", function()
    local server <close> = serve(echo)
    for _, text in ipairs { "GET\\r\\n\\r\\n", "GET / HTTP/9.9\\r\\n\\r\\n",
      "POST / HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: -5\\r\\n\\r\\n" } do
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
