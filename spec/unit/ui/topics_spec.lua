local clock = require "rlab.clock"
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local null = require "rlab.null"
local ui = require "rlab.ui"

local function token_of(console)
  return assert(http.get(console.url)).body:match 'name="rlab%-token" content="(%x+)"'
end

describe("the topics of the console", function()
  local console

  before_each(function() console = assert(ui.serve { port = 0 }) end)
  after_each(function() console:close() end)

  local function get(path)
    local answer = assert(http.get(console.url .. path))
    return json.decode(answer.body), answer.status
  end

  it("are listed by name where they are many, and as they are where a part of the name leaves few", function()
    local names, described = {}, nil
    for i = 1, 2000 do names[i] = ("t-%04d"):format((i * 7) % 2000) end
    local admin = { topics = function() return { table.unpack(names) } end }
    console.kafka.clients.open = function() return admin end
    console.kafka.words.topics = function(pattern)
      described = pattern or "all"
      return { { topic = "t-0041", partitions = 3 } }
    end
    local said = get "/api/topics"
    assert.same({ 2000, 2000, 200, "t-0000", "t-0199" },
      { said.all, said.found, #said.rows, said.rows[1].topic, said.rows[200].topic })
    said = get "/api/topics?with=1"
    assert.same({ 2000, 200, 271 + 1000 }, { said.all, #said.rows, said.found })
    assert.is_nil(described)
    said = get "/api/topics?with=t-004"
    assert.same({ 2000, 10, { { topic = "t-0041", partitions = 3 } } }, { said.all, said.found, said.rows })
    assert.equal("t%-004", described)
    said = get "/api/topics?with=nowhere"
    assert.same({ 2000, 0 }, { said.all, said.found })
    names = { "one" }
    get "/api/topics?with="
    assert.equal("all", described)
  end)

  it("find the offset of a time, and the end where nothing is so late", function()
    local asked, offset
    local admin = { list_offsets = function(_, list) asked = list[1] return { { offset = offset } } end,
      offsets = function() return { hw = 70 } end }
    console.kafka.clients.open = function() return admin end
    offset = 40
    assert.same({ offset = 40, ms = 1795446000000 },
      (get "/api/topics/orders/2/at?time=2026-11-23T15:00:00Z"))
    assert.same({ topic = "orders", partition = 2, at = 1795446000000 }, asked)
    offset = -1
    local now = get "/api/topics/orders/2/at?time=-5m"
    assert.same({ 70, true }, { now.offset, now.after })
    assert.is_true(math.abs(clock.unix_ms() - 300000 - now.ms) < 60000)
    for _, time in ipairs { "", "soon", "-5x", "12" } do
      assert.equal(400, select(2, get("/api/topics/orders/2/at?time=" .. time)), time)
    end
    admin.list_offsets = function()
      return { { err = err.new { domain = "kafka", code = 0, name = "TIMEOUT", message = "late" } } }
    end
    assert.equal(502, select(2, get "/api/topics/orders/2/at?time=-5m"))
  end)

  it("write a record as it was asked for, null and headers too", function()
    local written
    console.kafka.words.produce = function(topic, record)
      written = { topic = topic, record = record }
      return { partition = 1, offset = 8 }
    end
    local function post(body)
      return assert(http.post(console.url .. "/api/topics/orders", body, { headers = {
        ["content-type"] = "application/json", ["x-rlab-token"] = token_of(console) } })).status
    end
    assert.equal(200, post '{"key":"k","value":"","headers":[["a","1"],["a","2"]],"partition":2}')
    assert.same({ topic = "orders", record = { key = "k", value = "", partition = 2,
      headers = { { "a", "1" }, { "a", "2" } } } }, written)
    assert.equal(200, post '{"value":null,"headers":[]}')
    assert.same({ value = null }, written.record)
    for _, body in ipairs { '{"headers":7}', '{"headers":[["a"]]}', '{"headers":[["a",1]]}',
      '{"headers":[["","1"]]}', '{"headers":{"a":"1"},"value":7}', '{"partition":"one"}' } do
      assert.equal(400, post(body), body)
    end
  end)
end)

describe("a value with a schema's id", function()
  local decoder = require "rlab.ui.decoder"
  local encoded = "\0\0\0\0\7rest"

  it("is shown decoded, with the id, where the registry knows it", function()
    local registry = { decode = function() return { amount = 120 } end }
    local clients = { stack = function() return { registry = {} } end, open = function() return registry end }
    local decoded = decoder.new(clients)
    local cell = decoded(encoded)
    assert.same({ 7, '{"amount":120}', true }, { cell.schema, cell.text, cell.exact })
    assert.is_nil(decoded "plain")
  end)

  it("stays bytes where none knows it, and a registry that answers nothing is soon left alone", function()
    local asked = 0
    local registry = { decode = function() asked = asked + 1 return nil, "gone" end }
    local decoded = decoder.new { stack = function() return { registry = {} } end,
      open = function() return registry end }
    for _ = 1, 50 do assert.is_nil(decoded(encoded)) end
    assert.equal(3, asked)
    assert.is_nil(decoder.new { stack = function() end }(encoded))
  end)
end)
