-- rlab verify on the running stack: a table against a topic, and keys of Redis against the table.
local fs = require "rlab.fs"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local mysql_server = require "spec.support.mysql_server"
local process = require "rlab.process"
local redis = require "rlab.redis"
local source = require "rlab.verify.source"
local verify = require "rlab.verify.judge"

local brokers, NAME = os.getenv "RLAB_TEST_BROKERS", ("verify_spec_%d"):format(process.self())
local QUERY = ("mysql:SELECT id FROM %s.orders"):format(NAME)

describe("what a system did", function()
  local admin, db, producer, r, connections

  setup(function()
    local at = mysql_server.options { database = "" }
    local host, port = os.getenv "RLAB_TEST_REDIS":match "^(.*):(%d+)$"
    connections = { kafka = { brokers = brokers }, mysql = at,
      redis = { host = host, port = tonumber(port) } }
    admin, db, r = must(kafka.admin { brokers = brokers }), must(mysql.connect(at)),
      must(redis.connect(connections.redis))
    producer = must(kafka.producer { brokers = brokers, acks = "all" })
    must(db:exec("CREATE DATABASE " .. NAME))
    must(db:exec(("CREATE TABLE %s.orders (id BIGINT UNSIGNED NULL)"):format(NAME)))
    must(db:exec(("INSERT INTO %s.orders VALUES (1), (2), (18446744073709551615)"):format(NAME)))
    must(admin:create_topic { name = NAME, partitions = 2, replication_factor = 3 })
  end)
  teardown(function()
    must(db:exec("DROP DATABASE " .. NAME))
    must(admin:delete_topics { NAME })
    for _, handle in ipairs { admin, db, producer, r } do handle:close() end
  end)

  local function send(...)
    local list = {}
    for i, id in ipairs { ... } do
      list[i] = { topic = NAME, partition = i % 2, key = "k" .. id, headers = { { "id", id } },
        value = ('{"order": {"id": %s}}'):format(id) }
    end
    assert.equal(#list, #producer:send_batch(list, "10s"):acked())
  end

  local function judged(of, in_)
    local word, checks = verify.judge { of = source.of(of), in_ = source.of(in_), claims = verify.CLAIMS,
      at_least = 1, within = 0, connections = connections }
    local ids = {}
    for _, check in ipairs(checks) do ids[check.name] = check.ids end
    return word, ids
  end

  it("is judged by a table against a topic, whose ids are in a header, in JSON or the key", function()
    send("1", "2")
    local word, ids = judged(QUERY, "kafka:" .. NAME .. "#header:id")
    assert.same({ "violated", { "18446744073709551615" } }, { word, ids.lost })
    send("18446744073709551615", "2", "7")
    word, ids = judged(QUERY, "kafka:" .. NAME .. "#header:id")
    assert.same({ "violated", {}, { "2" }, { "7" } }, { word, ids.lost, ids.twice, ids.phantom })
    assert.same({ "2" }, select(2, judged("mysql:SELECT 2", "kafka:" .. NAME .. "#/order/id")).twice)
    assert.same({ "kw" }, select(2, judged("mysql:SELECT 'kw'", "kafka:" .. NAME .. "#key")).lost)
  end)

  it("is judged by keys of Redis against a table", function()
    for _, id in ipairs { "1", "2", "9" } do
      must(r:call("SET", NAME .. ":" .. id .. ":view", "x", "EX", 60))
    end
    local word, ids = judged(QUERY, "redis:" .. NAME .. ":*:view")
    assert.same({ "violated", { "18446744073709551615" }, { "9" } }, { word, ids.lost, ids.phantom })
  end)

  it("is not judged by a query or a topic that is wrong, nor by a server that is away", function()
    local file = fs.tmpdir "rlab-verify" .. "/c.json"
    assert(fs.write(file, json.encode { kafka = brokers, redis = "redis://127.0.0.1:1",
      mysql = ("mysql://%s:%s@%s:%d"):format(connections.mysql.user, connections.mysql.password,
        connections.mysql.host, connections.mysql.port) }))
    local function code(in_, of)
      local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "verify", "--connections", file, "--of", of or QUERY, "--in", in_ } })
      return assert(p:wait "60s").code, p:output()
    end
    assert.equal(1, (code("kafka:" .. NAME .. "#header:id")))
    local wrong, text = code("mysql:SELECT id FROM " .. NAME .. ".oders")
    assert.equal(64, wrong)
    assert.matches("oders", text)
    wrong, text = code("mysql:SELECT 1, 2")
    assert.equal(64, wrong)
    assert.matches("one is the id", text)
    wrong, text = code("kafka:" .. NAME .. "-none#key")
    assert.equal(64, wrong, text)
    assert.equal(69, (code "redis:x:*"))
    wrong, text = code("kafka:" .. NAME .. "#header:id", QUERY .. " WHERE 0")
    assert.equal(3, wrong, text)
  end)
end)
