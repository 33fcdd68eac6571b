-- Requests that are none: the handler is not asked, and nothing of what follows them on the connection is
-- taken for another request.
local host = require "rlab.core_host"
local http = require "rlab.http"
local process = require "rlab.process"
local raw = require "spec.support.raw_http"
local task = require "rlab.task"

local name = "Host: localhost\\r\\n"
local get = "GET / HTTP/1.1\\r\\n" .. name
local post = "POST / HTTP/1.1\\r\\n" .. name
local chunked = post .. "Transfer-Encoding: chunked\\r\\n\\r\\n"
local behind = "GET /behind HTTP/1.1\\r\\n" .. name .. "Connection: close\\r\\n\\r\\n"

-- A server that notes what its handler is asked.
local function listening()
  local asked = {}
  local server = assert(http.serve { max_body = "1KiB", handler = function(req)
    asked[#asked + 1] = req.method .. " " .. req.path
    return "taken"
  end })
  return server, asked
end

local function head(lines) return lines .. "\\r\\n" end

-- What is refused by us.
local ours = {
  { "a folded line", head(get .. "X: a\\r\\n b\\r\\n") },
  { "a folded line, by a tab", head(get .. "X: a\\r\\n\\tb\\r\\n") },
  { "a folded line in the first place", head("GET / HTTP/1.1\\r\\n X: a\\r\\n" .. name) },
  { "a folded Content-Length", head(post .. "Content-Leng: 5\\r\\n th: 5\\r\\n") .. "hello" },
  { "a bare LF", head("GET / HTTP/1.1\\r\\nHost: localhost\\nX: y\\r\\n") },
  { "bare LFs only", "GET / HTTP/1.1\\nHost: localhost\\n\\n" },
  { "a bare LF at the end of the head", get .. "X: y\\r\\n\\n" },
  { "a bare CR in a value", head(get .. "X: a\\rb\\r\\n") },
  { "a bare CR for a line end", head(get .. "X: a\\rTransfer-Encoding: chunked\\r\\n") },
  { "a bare CR in the target", head("GET /\\r HTTP/1.1\\r\\n" .. name) },
  { "a NUL in a value", head(get .. "X: a\\000b\\r\\n") },
  { "a NUL at the end of a value", head(get .. "X: a\\000\\r\\n") },
  { "a NUL in the target", head("GET /a\\000b HTTP/1.1\\r\\n" .. name) },
  { "a NUL in the query", head("GET /a?b\\000 HTTP/1.1\\r\\n" .. name) },
  { "a NUL in the method", head("G\\000T / HTTP/1.1\\r\\n" .. name) },
  { "a control character in a value", head(get .. "X: a\\001b\\r\\n") },
  { "an escape in a value", head(get .. "X: \\033[2J\\r\\n") },
  { "a DEL in a value", head(get .. "X: a\\177b\\r\\n") },
  { "a line without a name", head(get .. ": x\\r\\n") },
  { "a name with a blank", head(get .. "X Y: x\\r\\n") },
  { "a blank before the colon", head(get .. "X : x\\r\\n") },
  { "a name that is no ASCII", head(get .. "X\\303\\244: x\\r\\n") },
  { "two blanks before the target", head("GET  / HTTP/1.1\\r\\n" .. name) },
  { "a target in two words", head("GET / / HTTP/1.1\\r\\n" .. name) },
  { "no Host", head "GET / HTTP/1.1\\r\\n" },
  { "two Hosts", head(get .. name) },
  { "a method with signs", head("G@T / HTTP/1.1\\r\\n" .. name) },
  { "CONNECT", head("CONNECT localhost:80 HTTP/1.1\\r\\n" .. name) },
  { "two lengths", head(post .. "Content-Length: 5\\r\\nContent-Length: 6\\r\\n") .. "hello" },
  { "the same length twice", head(post .. "Content-Length: 5\\r\\nContent-Length: 5\\r\\n") .. "hello" },
  { "two types", head(post .. "Content-Type: application/json\\r\\nContent-Type: text/plain\\r\\n") },
  { "the same type twice, in other letters", head(post .. "Content-Type: a/b\\r\\ncontent-type: a/b\\r\\n") },
  { "two origins", head(get .. "Origin: http://localhost\\r\\nOrigin: http://evil.test\\r\\n") },
  { "two idempotency keys", head(post .. "Idempotency-Key: a\\r\\nidempotency-key: b\\r\\n") },
  { "a length and chunks", head(post .. "Content-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n") ..
    "0\\r\\n\\r\\n" },
  { "chunks and a length", head(post .. "Transfer-Encoding: chunked\\r\\nContent-Length: 5\\r\\n") ..
    "0\\r\\n\\r\\n" },
  { "another coding", head(post .. "Transfer-Encoding: gzip\\r\\n") },
  { "another coding, then chunks", head(post .. "Transfer-Encoding: gzip, chunked\\r\\n") ..
    "0\\r\\n\\r\\n" },
  { "chunks twice", head(post .. "Transfer-Encoding: chunked, chunked\\r\\n") .. "0\\r\\n\\r\\n" },
  { "the coding identity", head(post .. "Transfer-Encoding: identity\\r\\n") },
  { "a coding that begins with a control character", head(post .. "Transfer-Encoding: \\013chunked\\r\\n") },
  { "chunks of HTTP/1.0", head("POST / HTTP/1.0\\r\\n" .. name .. "Transfer-Encoding: chunked\\r\\n") ..
    "0\\r\\n\\r\\n" },
}

-- What libmicrohttpd refuses before it asks us: our answer goes out in place of its page, or it closes
-- without one (docs/services.md).
local theirs = {
  { "no version", head("GET /\\r\\n" .. name), 400 },
  { "a version of lower case", head("GET / http/1.1\\r\\n" .. name), 400 },
  { "half a version", head("GET / HTTP/1.\\r\\n" .. name), 400 },
  { "a blank behind the version", head("GET / HTTP/1.1 \\r\\n" .. name), 400 },
  { "another version", head("GET / HTTP/9.9\\r\\n" .. name), 400 },
  { "HTTP/2", "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n", 400 },
  { "a line without a colon", head(get .. "nocolon\\r\\n"), 400 },
  { "a NUL in a name", head(get .. "X\\000Y: b\\r\\n"), 400 },
  { "a negative length", head(post .. "Content-Length: -5\\r\\n"), 400 },
  { "a length with a plus", head(post .. "Content-Length: +5\\r\\n"), 400 },
  { "a length in hex", head(post .. "Content-Length: 0x5\\r\\n"), 400 },
  { "an empty length", head(post .. "Content-Length: \\r\\n"), 400 },
  { "a list of lengths", head(post .. "Content-Length: 5, 5\\r\\n"), 400 },
  { "a length beyond 64 bits", head(post .. "Content-Length: 18446744073709551621\\r\\n"), 413 },
  { "a chunk whose size is no number", chunked .. "zz\\r\\n", 400 },
  { "a negative chunk", chunked .. "-5\\r\\nhello\\r\\n", 400 },
  { "a chunk's size with 0x", chunked .. "0x5\\r\\nhello\\r\\n", 400 },
  { "an empty chunk size", chunked .. "\\r\\nhello\\r\\n", 400 },
  { "a blank before a chunk's size", chunked .. " 5\\r\\nhello\\r\\n", 400 },
  { "a chunk beyond 64 bits", chunked .. "10000000000000005\\r\\nhello\\r\\n", 413 },
  { "a chunk longer than it says", chunked .. "5\\r\\nhelloXX0\\r\\n\\r\\n", 400 },
  { "a second chunk whose size is no number", chunked .. "5\\r\\nhello\\r\\nzz\\r\\n", 400 },
  { "a chunk's extension of 17,000 bytes", chunked .. "5;" .. ("a"):rep(17000) .. "\\r\\nhello\\r\\n" ..
    "0\\r\\n\\r\\n", 400 },
  { "a chunk's extension without end", chunked .. "5\\r\\nhello\\r\\n5;" .. ("a"):rep(40000), 400 },
  { "a wrong chunk behind a body that is too large", chunked .. "800\\r\\n" .. ("a"):rep(2048) ..
    "\\r\\nzz\\r\\n", 413 },
  { "a trailer without a colon", chunked .. "5\\r\\nhello\\r\\n0\\r\\nnocolon\\r\\n\\r\\n", 400 },
  { "a target of 60,000 bytes", head("GET /" .. ("a"):rep(60000) .. " HTTP/1.1\\r\\n" .. name), 414 },
  { "a method of 20,000 bytes", head(("A"):rep(20000) .. " / HTTP/1.1\\r\\n" .. name), 414 },
  { "a value of 20,000 bytes", head(get .. "X: " .. ("a"):rep(20000) .. "\\r\\n"), 431 },
  { "2,000 lines", head(get .. ("X: y\\r\\n"):rep(2000)), 431 },
  { "a trailer of 20,000 bytes", chunked .. "0\\r\\nX: " .. ("a"):rep(20000) .. "\\r\\n\\r\\n", 431 },
  { "a blank before the method", head(" GET / HTTP/1.1\\r\\n" .. name) },
  { "tabs for blanks", head("GET\\t/\\tHTTP/1.1\\r\\n" .. name) },
  { "the beginning of TLS", "\\026\\003\\001\\002\\000\\001\\000\\001\\374\\003\\003\\r\\n\\r\\n" },
}

describe("a malformed request", function()
  it("is refused with 400 and a problem, and what stands behind it is not read", function()
    local server, asked = listening()
    local _ <close> = server
    for _, case in ipairs(ours) do
      local said = raw(server.port, case[2] .. behind)
      assert.matches("^HTTP/1.1 400 .*application/problem%+json.*\"status\":400", said, 1, false, case[1])
      assert.is_truthy(said:lower():find("connection: close", 1, true), case[1])
      assert.is_nil(said:find("\nHTTP/", 2, true), case[1])
      assert.same({}, asked, case[1])
    end
    assert.equal(200, assert(http.get(server.url)).status)
  end)

  it("is refused by the library where that reads it first, in our words, once, and not by a 5xx", function()
    local server, asked = listening()
    local _ <close> = server
    for _, case in ipairs(theirs) do
      local said = raw(server.port, case[2] .. behind)
      local status = tonumber(said:match "^HTTP/1.1 (%d+)")
      assert.equal(case[3], status, case[1])
      if status then
        assert.matches("application/problem%+json.*\"status\":" .. status, said, 1, false, case[1])
        assert.is_truthy(said:lower():find("connection: close", 1, true), case[1])
      end
      assert.is_nil(said:find("HTTP/1%.1 %d", 2), case[1])
      assert.is_nil(said:find("taken", 1, true), case[1])
      assert.same({}, asked, case[1])
    end
    assert.equal(200, assert(http.get(server.url)).status)
  end)

  it("is not what only looks strange", function()
    local server, asked = listening()
    local _ <close> = server
    for n, text in ipairs {
      "\\r\\n" .. get, get .. "X:\\r\\n", get .. "X: \\t  a b\\t \\r\\n",
      get .. "X:a\\r\\nY:b\\r\\nX:c\\r\\n", get .. "X: \\303\\244\\377\\r\\n",
      get .. "Cookie: =;=;a=b; c=\\r\\n", "GET /?a&b=&=c&a HTTP/1.1\\r\\n" .. name,
      get .. "X: " .. ("a"):rep(12000) .. "\\r\\n", get .. ("X: y\\r\\n"):rep(150),
      "GET /?" .. ("a&"):rep(3000) .. " HTTP/1.1\\r\\n" .. name,
      "GET http://localhost/ HTTP/1.1\\r\\n" .. name,
    } do
      local said = raw(server.port, text .. "\\r\\n" .. behind)
      assert.equal(2, select(2, said:gsub("HTTP/1.1 200", "")), said)
      assert.equal(2 * n, #asked)
      assert.same({ "GET /", "GET /behind" }, { asked[#asked - 1], asked[#asked] })
    end
  end)

  it("may fill the room for a head to its last byte", function()
    local server = listening()
    local _ <close> = server
    -- Where a head leaves no room for the head of the answer libmicrohttpd closes without one.
    local fine = { [200] = true, [414] = true, [431] = true, CONNECTION_LOST = true }
    for n = 16120, 16380, 20 do
      for _, case in ipairs { { "/?" .. ("a"):rep(n) }, { "/?" .. ("a&"):rep(n // 2) },
          { "/" .. ("a"):rep(n) }, { "/", ("a"):rep(n) } } do
        local got, failure = http.get(server.url .. case[1], { headers = { x = case[2] } })
        assert.is_true(fine[got and got.status or failure.name], n)
      end
    end
    assert.equal(200, assert(http.get(server.url)).status)
  end)

  it("leaves nothing open behind it", function()
    local before = host.open_handles()
    do
      local server <close> = listening()
      local function descriptors()
        local p <close> = assert(process.spawn { cmd = { "bash", "-c", "ls /proc/$0/fd | wc -l",
          tostring((process.self())) } })
        p:wait "60s"
        return tonumber((p:output()))
      end
      raw(server.port, ours[1][2])
      local open = descriptors()
      for n = 1, 20 do raw(server.port, (ours[n] or theirs[n])[2]) end
      -- The server closes a connection when its client has gone on.
      assert.is_true(task.wait_until(function() return descriptors() <= open + 1 end, { at_most = "20s" }))
      server:close()
    end
    assert.equal(before, host.open_handles())
  end)
end)
