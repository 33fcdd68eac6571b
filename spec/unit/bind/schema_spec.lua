-- The registry's client against a server of ours that lies: it answers 500, nonsense, nothing, half of an
-- answer. spec/live/store/registry_spec.lua asks the real one.
local clock = require "rlab.clock"
local http = require "rlab.http"
local json = require "rlab.json"
local must = require "rlab.must"
local null = require "rlab.null"
local proxy = require "rlab.proxy"
local schema = require "rlab.schema"
local task = require "rlab.task"

local V1 = [[{"type":"record","name":"Entry","fields":[{"name":"id","type":"string"},
  {"name":"amount","type":"long"}]}]]
local V2 = [[{"type":"record","name":"Entry","fields":[{"name":"id","type":"string"},
  {"name":"amount","type":"long"},{"name":"note","type":["null","string"],"default":null}]}]]

local function answer(status, code, message)
  return http.json({ error_code = code, message = message }, status)
end

describe("schema", function()
  local server, registry, asked, says

  before_each(function()
    asked = {}
    says = { ["/schemas/ids/1"] = function() return http.json { schema = V1 } end }
    server = must(http.serve { handler = function(req)
      asked[#asked + 1] = req.method .. " " .. req.path
      local say = says[req.path] or says["*"]
      return say and say(req) or answer(404, 40403, "Schema not found")
    end })
    registry = schema.open { url = server.url .. "/", timeout = "5s", tries = 3 }
  end)

  after_each(function()
    registry:close()
    server:close "0s"
  end)

  local function times(path)
    local n = 0
    for _, one in ipairs(asked) do n = n + (one == path and 1 or 0) end
    return n
  end

  it("writes and reads records that carry their schema's id, and asks for each id once", function()
    local bytes = must(registry:encode(1, { id = "a", amount = -70000000000 }))
    assert.are.equal("\0\0\0\0\1\2a", bytes:sub(1, 7))
    assert.are.equal(1, schema.id(bytes))
    local value, id = registry:decode(bytes)
    assert.are.same({ { id = "a", amount = -70000000000 }, 1 }, { value, id })
    assert.are.same({ id = "a", amount = -70000000000, note = null }, (must(registry:decode(bytes, V2))))
    assert.are.equal(1, #asked)
  end)

  it("asks once, however many want the same id", function()
    local bytes = must(registry:encode(1, { id = "a", amount = 1 }))
    local other <close> = schema.open { url = server.url }
    says["/schemas/ids/1"] = function()
      task.sleep "50ms"
      return http.json { schema = V1 }
    end
    asked = {}
    task.group(function(g)
      for _ = 1, 10 do
        g:spawn(function() assert.are.equal("a", must(other:decode(bytes)).id) end)
      end
    end)
    assert.are.equal(1, #asked)
  end)

  it("tries again after 5xx, and after nothing else", function()
    local failures = 2
    says["/schemas/ids/1"] = function()
      failures = failures - 1
      return failures >= 0 and answer(500, 50001, "the store is away") or http.json { schema = V1 }
    end
    must(registry:encode(1, { id = "a", amount = 1 }))
    assert.are.equal(3, #asked)
    says["*"] = function() return answer(503, 50003, "not now") end
    local value, failure = registry:get(9)
    assert.is_nil(value)
    assert.are.same({ "registry", 50003, "UNAVAILABLE", true }, { failure.domain, failure.code, failure.name,
      failure.retriable })
    assert.are.equal("unknown", failure.happened)
    assert.are.equal(3, times "GET /schemas/ids/9")
    for _, refused in ipairs { { 404, 40403, "SCHEMA_NOT_FOUND" }, { 409, 409, "INCOMPATIBLE" },
      { 422, 42201, "INVALID_SCHEMA" }, { 401, 401, "REFUSED" } } do
      asked, says["*"] = {}, function() return answer(refused[1], refused[2], "no") end
      local _, why = registry:register("s", V1)
      assert.are.same({ refused[2], refused[3], false, "no" },
        { why.code, why.name, why.retriable, why.happened })
      assert.are.equal(1, #asked)
    end
  end)

  it("keeps no failure: the next call asks again", function()
    local ok = false
    says["/schemas/ids/1"] = function() return ok and http.json { schema = V1 } end
    assert.are.equal("SCHEMA_NOT_FOUND", select(2, registry:encode(1, { id = "a", amount = 1 })).name)
    ok = true
    must(registry:encode(1, { id = "a", amount = 1 }))
  end)

  it("bounds a registry that hangs, and can be cancelled", function()
    says["*"] = function() task.sleep "20s" end
    local slow <close> = schema.open { url = server.url, timeout = "200ms" }
    local from = clock.ns()
    assert.are.equal("TIMEOUT", select(2, slow:subjects()).name)
    assert.is_true(clock.ns() - from < 5e9)
    local ok, why = pcall(task.timeout, "100ms", function() return registry:subjects() end)
    assert.is_true(not ok or why == nil)
    assert.is_true(clock.ns() - from < 10e9)
    says["*"] = nil
    assert.are.equal("SCHEMA_NOT_FOUND", select(2, registry:get(7)).name)
  end)

  it("says what an answer lacks, whatever a server sends", function()
    for body, lacks in pairs { ["<html>"] = "JSON", ["[]"] = "schema", ['{"schema":7}'] = "schema",
      [""] = "JSON", ['{"schema":null}'] = "schema" } do
      says["*"] = function() return { status = 200, body = body } end
      local _, why = registry:get(5)
      assert.are.same({ "ANSWER", true }, { why.name, why.message:find(lacks, 1, true) ~= nil })
    end
    for _, id in ipairs { '"7"', "-1", "1e99", "1.5", "null" } do
      says["*"] = function() return '{"id":' .. id .. "}" end
      assert.are.equal("ANSWER", select(2, registry:register("s", V1)).name)
    end
    says["*"] = function() return answer(500, 0, "a\27[31m\nb" .. ("x"):rep(1000)) end
    local once <close> = schema.open { url = server.url, tries = 1 }
    local message = select(2, once:get(5)).message
    assert.is_nil(message:find "[%c]")
    assert.is_true(#message < 500)
    says["*"] = function() return http.json { schema = "{}", schemaType = "PROTOBUF" } end
    assert.are.equal("SCHEMA", select(2, registry:encode(5, {})).name)
    says["*"] = function() return http.json { schema = '{"type":"recrod"}' } end
    assert.are.equal("SCHEMA", select(2, registry:encode(5, {})).name)
  end)

  it("takes half an answer for none", function()
    local served <close> = must(proxy.serve {})
    local client = must(proxy.connect(served.url))
    must(client:create { name = "r", upstream = "127.0.0.1:" .. server.port })
    must(client:toxic("r", { type = "limit_data", attributes = { bytes = 150 } }))
    local at = must(client:proxy "r")
    local cut <close> = schema.open { url = "http://127.0.0.1:" .. at.port, timeout = "2s" }
    says["*"] = function() return http.json { schema = V1 .. (" "):rep(1000) } end
    local value, why = cut:get(5)
    assert.is_nil(value)
    assert.are.equal("http", why.domain)
  end)

  it("refuses bytes that are no record, each with one clear error", function()
    local whole = must(registry:encode(1, { id = "abc", amount = 5 }))
    for _, case in ipairs {
      { "", "WIRE", "too few" }, { "\0\0\0", "WIRE", "too few" }, { '{"id":1}', "WIRE", "begins with byte" },
      { "\0\255\255\255\255a", "WIRE", "no schema's id" }, { "\0\0\0\0\9x", "SCHEMA_NOT_FOUND", "404" },
      { whole:sub(1, -2), "DECODE", "ends within" }, { whole .. "x", "DECODE", "left behind" },
      { "\0\0\0\0\1\1", "DECODE", "negative" },
      { "\0\0\0\0\1" .. ("\255"):rep(11), "DECODE", "longer than 64 bits" },
      { "\0\0\0\0\1\254\255\255\255\15", "DECODE", "ends within" } } do
      local value, why = registry:decode(case[1])
      assert.is_nil(value)
      assert.are.same({ "registry", case[2] }, { why.domain, why.name })
      assert.matches(case[3], why.message, 1, true)
    end
  end)

  it("takes no value that does not fit, and no option that it does not know", function()
    for _, value in ipairs { { id = "a" }, { id = 1, amount = 1 }, { id = "a", amount = 1.5 },
      { id = "a", amount = 1, more = 1 } } do
      assert.are.equal("ENCODE", select(2, registry:encode(1, value)).name)
    end
    assert.has_error(function() schema.open { uri = "x" } end)
    assert.has_error(function() schema.open { url = "ftp://x" } end)
    assert.has_error(function() schema.open { url = server.url, tries = 0 } end)
    assert.has_error(function() registry:encode(-1, {}) end)
  end)

  it("escapes names, and reads what both registries call a reason", function()
    says["/subjects/a b%2Fc/versions"] = function() return "[1,2,3]" end
    says["*"] = function(req) return req.path:find "versions/latest" and json.encode {
      is_compatible = false, reason = "READER_FIELD_MISSING" } or "[1,2,3]" end
    assert.are.same({ 1, 2, 3 }, must(registry:versions "a b/c"))
    local ok, why = registry:check("s", V2)
    assert.are.same({ false, "READER_FIELD_MISSING" }, { ok, why })
    says["*"] = function() return '{"is_compatible":false,"messages":["TYPE_MISMATCH"]}' end
    assert.are.same({ false, "TYPE_MISMATCH" }, { registry:check("s", V2) })
  end)
end)
