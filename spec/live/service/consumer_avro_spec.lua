-- The consumer on Avro records: a reader's schema of its own, a registry that is away, slow, or answers
-- 500, and records that nobody can decode. In front of the real registry stands a server of ours that says
-- what the spec wants.
local http = require "rlab.http"
local ledger = require "spec.support.ledger"
local must = require "rlab.must"
local schema = require "rlab.schema"
local stack = require "rlab.stack"
local task = require "rlab.task"

local function entry(...)
  local fields = { '{"name":"account_id","type":"long"}', '{"name":"amount","type":"long"}',
    '{"name":"version","type":"long"}', ... }
  return ('{"type":"record","name":"Entry","fields":[%s]}'):format(table.concat(fields, ","))
end
local WRITER = entry '{"name":"balance","type":"int"}'
local READER = entry('{"name":"balance","type":"long"}', '{"name":"cur","type":"string","default":"EUR"}')

describe("the consumer reads Avro", function()
  local held, registry, front, says, l, id

  setup(function()
    held = must(stack.open { needs = { "registry" }, start = true })
    registry = schema.open { url = held.registry.url }
    front = must(http.serve { handler = function(req)
      if says then return says(req) end
      local answer = must(http.get(held.registry.url .. req.path))
      return { status = answer.status, body = answer.body }
    end })
  end)
  teardown(function()
    front:close "0s"
    registry:close()
    held:close()
  end)

  before_each(function()
    says, l = nil, ledger.open("avro", { topics = { "dlq" } })
    id = must(registry:register(l.topic .. "-value", WRITER))
  end)
  after_each(function() l:close() end)

  local function consumer(settings)
    local all = { payload = "avro", reader_schema = READER, registry = front.url, registry_timeout = "300ms",
      dlq = l.topic .. ".dlq" }
    for key, value in pairs(settings or {}) do all[key] = value end
    return l:service("consumer", all)
  end

  local function send(event, value)
    must(l.producer:send(l:record(event, { value = value or must(registry:encode(id, {
      account_id = event.account, amount = event.amount, version = event.version,
      balance = event.balance })) })))
  end

  local function publish(n)
    for i = 1, n do
      local at = (l.published or 0) + i
      send(l:event(at, at % 5 + 1, at))
    end
    l.published = (l.published or 0) + n
  end

  -- n events each once, `more` records beside them done otherwise
  local function each_once(n, more)
    ledger.until_("the group is at the end", function() return l:committed() == n + (more or 0) end)
    assert.equal(n, l:count "effect_log")
    assert.equal(n, l:count "processed_event")
    assert.equal(n * (n + 1) // 2, must(l.db:value "SELECT CAST(SUM(balance) AS SIGNED) FROM account_view"))
  end

  local function ill(service)
    ledger.until_("health speaks of the registry", function()
      local ok, body = service:health()
      return not ok and body:find("registry", 1, true)
    end)
  end

  it("by a schema of its own, and asks for the writer's once", function()
    local asked = 0
    says = function(req)
      asked = asked + 1
      local answer = must(http.get(held.registry.url .. req.path))
      return { status = answer.status, body = answer.body }
    end
    local service <close> = consumer { workers = 4 }
    publish(100)
    each_once(100)
    assert.equal(1, asked)
    assert.is_true((service:health()))
    assert.equal(0, service:stop().code)
  end)

  it("waits for a registry that answers 500, hangs, or talks nonsense, parks nothing and loses nothing",
    function()
      for name, answer in pairs {
        broken = function() return { status = 500, body = '{"error_code":50001,"message":"no store"}' } end,
        slow = function() task.sleep "5s" end,
        elsewhere = function() return { status = 404, body = "no such page" } end,
        refused = function() return { status = 401, body = "who are you?" } end,
        nonsense = function() return "<html>" end } do
        says = answer
        local before = l.published or 0
        local service <close> = consumer()
        publish(20)
        ill(service)
        assert.equal(before, l:count "effect_log", name)
        says = nil
        each_once(before + 20)
        assert.equal(0, service:metric "rlab_consumer_parked_total", name)
        assert.equal(0, service:metric "rlab_consumer_failed_total", name)
        ledger.until_("all is well", function() return (service:health()) end)
        assert.equal(0, service:stop().code)
      end
    end)

  it("ends by SIGTERM while the registry is away, and the work comes again", function()
    says = function() return { status = 503, body = "" } end
    local first <close> = consumer()
    publish(20)
    ill(first)
    assert.equal(0, first:stop().code)
    says = nil
    local second <close> = consumer()
    each_once(20)
    assert.equal(0, second:stop().code)
  end)

  it("parks what cannot be decoded, alone, with the cause", function()
    local service <close> = consumer()
    publish(10)
    local whole = must(registry:encode(id, { account_id = 1, amount = 1, version = 1, balance = 1 }))
    local other = must(registry:register(l.topic .. "-other", '{"type":"record","name":"Entry","fields":[\z
      {"name":"account_id","type":"long"},{"name":"amount","type":"string"}]}'))
    local bad = { { whole:sub(1, -2), "ends within" }, { whole .. "x", "left behind" },
      { "\0\127\255\255\255x", "404" }, { '{"account_id":1,"amount":1}', "begins with byte" },
      { must(registry:encode(other, { account_id = 1, amount = "1" })), "does not take" } }
    for i, one in ipairs(bad) do send(l:event(1000 + i, 1, 0), one[1]) end
    publish(10)
    ledger.until_("they are parked", function()
      return service:metric "rlab_consumer_parked_total" == #bad
    end)
    each_once(20, #bad)
    assert.equal(0, service:stop().code)
    local reader = must(require("rlab.kafka").consumer { brokers = ledger.brokers, group = l.group .. "-dlq",
      auto_offset_reset = "earliest", enable_auto_commit = false })
    local causes, n = {}, 0
    must(reader:subscribe { l.topic .. ".dlq" })
    ledger.until_("the DLQ is read", function()
      local batch = must(reader:poll(100, "200ms"))
      for i = 1, #batch do
        local headers = {}
        for _, h in ipairs(batch[i].headers or {}) do headers[h[1]] = h[2] end
        if not batch[i].err and not batch[i].eof then
          causes[headers["event-id"]], n = headers, n + 1
        end
      end
      return n == #bad
    end)
    reader:close()
    for i, one in ipairs(bad) do
      local headers = causes[("00000001-0000-7000-8000-%012x"):format(1000 + i)]
      assert.equal("undecodable", headers["rlab-error-class"])
      assert.matches(one[2], headers["rlab-error-message"], 1, true)
    end
  end)
end)
