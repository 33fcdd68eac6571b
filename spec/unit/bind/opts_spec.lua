-- What every binding's option table refuses at the edge: bind/value/opts.
local bag = require "rlab.bag"
local flow_cache = require "rlab.flow_cache"
local flow_consume = require "rlab.flow_consume"
local http = require "rlab.http"
local mysql = require "rlab.mysql"
local redis = require "rlab.redis"
local task = require "rlab.task"
local units = require "rlab.units"

local nan = 0 / 0

describe("options", function()
  it("take a size of 0 bytes and above, and a finite one", function()
    for _, size in ipairs { -1, -1.5, nan, math.huge, -math.huge, 2.0 ^ 63, math.mininteger, "-1", "1e30",
      true } do
      assert.error_matches(function() bag.new { cap = size } end, "option 'cap': .* is no size")
      assert.error_matches(function() http.get("http://127.0.0.1:1", { max_body = size }) end, "is no size")
    end
    for _, size in ipairs { -1, nan, math.huge, "-1" } do
      assert.error_matches(function() units.size(size) end, "is no size")
    end
    assert.error_matches(function() units.size "64\0KiB" end, "is no size")
    assert.equal(65536, units.size "64KiB")
    assert.equal(7, units.size(7))
    assert.equal(7, units.size(7.5))
  end)

  it("take a duration that ends", function()
    assert.error_matches(function() task.sleep(math.huge) end, "a duration ends at thirty years")
    assert.error_matches(function() units.duration "1s\0" end, "is no duration")
    assert.error_matches(function() task.sleep(nan) end, "cannot be negative")
    assert.error_matches(function() http.get("http://127.0.0.1:1", { timeout = 1e300 }) end, "thirty years")
  end)

  it("take an integer that fits what it is for", function()
    for _, port in ipairs { -1, 65536, 1 << 32 | 3306 } do
      local refused = "option 'port': from 0 to 65535, not"
      assert.error_matches(function() mysql.connect { port = port } end, refused)
      assert.error_matches(function() redis.connect { port = port } end, refused)
      assert.error_matches(function() http.serve { port = port, handler = print } end, "option 'port'")
    end
  end)

  it("take one of their words, and know a slip of it", function()
    assert.error_matches(function() mysql.connect { tls = "verfy" } end,
      "mysql.connect: tls: 'verfy' is none of off, on, verify; did you mean 'verify'?", 1, true)
    assert.error_matches(function() mysql.connect { tls = "yes please" } end,
      "mysql.connect: tls: 'yes please' is none of off, on, verify", 1, true)
    assert.error_matches(function() redis.connect { tls = "verfy" } end,
      "redis.connect: tls: 'verfy' is none of off, on, verify; did you mean 'verify'?", 1, true)
    assert.error_matches(function() redis.connect { tls = "on", cert = "ours.pem" } end,
      "redis.connect: cert and key are given together", 1, true)
    assert.error_matches(function() redis.cluster { nodes = "127.0.0.1:1", tls = "yes" } end,
      "redis.cluster: tls: 'yes' is none of off, on, verify", 1, true)
  end)

  it("of a flow's Redis mean one server or the nodes of a cluster", function()
    local function refused(at, why)
      assert.error_matches(function()
        flow_cache.open { redis = at, mysql = { host = "127.0.0.1", port = 1 } }
      end, "flow_cache.open: redis: " .. why, 1, true)
      assert.error_matches(function()
        flow_consume.open { brokers = "127.0.0.1:1", topic = "t", group = "g", redis = at,
          mysql = { host = "127.0.0.1", port = 1 } }
      end, "flow_consume.open: redis: " .. why, 1, true)
    end
    refused({ nodes = "a:1", port = 2 }, "nodes means a Redis Cluster, which has no port")
    refused({ nodes = "a:1", db = 0 }, "nodes means a Redis Cluster, which has no db")
    refused({ nodes = "a:1", replicas = true }, "unknown option 'replicas'")
    for _, none in ipairs { "", " , ", {} } do refused({ nodes = none }, 'nodes = "host:port,host:port"') end
    assert.error_matches(function() redis.cluster { nodes = {} } end, "redis.cluster: nodes = ", 1, true)
    assert.error_matches(function() redis.cluster { nodes = { true } } end, "a list of", 1, true)
  end)

  it("of a flow name no topic that cannot be", function()
    for _, name in ipairs { "", ".", "..", "a b", "a/b", "a:b", ("x"):rep(250), "a\n" } do
      local why = "there can be no topic '" .. name .. "'"
      local at = { brokers = "127.0.0.1:1", mysql = { host = "127.0.0.1" } }
      local function refused(module, fields)
        for key, value in pairs(at) do fields[key] = value end
        local ok, said = pcall(require(module).open, fields)
        assert.is_false(ok)
        return tostring(said)
      end
      assert.matches("topic: " .. why, refused("rlab.flow_relay", { topic = name }), 1, true)
      assert.matches("dlq: " .. why, refused("rlab.flow_consume", { topic = "t", group = "g", dlq = name }),
        1, true)
      refused("rlab.flow_consume", { topic = "t", group = "g", retry = "5s:" .. name })
      refused("rlab.flow_consume", { topic = name, group = "g" })
    end
  end)

  it("of a consumer name another topic for what failed than those that it reads", function()
    for text, fields in pairs { ["dlq: 't' is the topic itself"] = { dlq = "t" },
      ["retry: 't' is the topic itself or its DLQ"] = { retry = "1s:r,5s:t" },
      ["retry: 't.dlq' is the topic itself or its DLQ"] = { dlq = "t.dlq", retry = "5s:t.dlq" } } do
      fields.brokers, fields.mysql = "127.0.0.1:1", { host = "127.0.0.1" }
      fields.topic, fields.group = "t", "g"
      assert.error_matches(function() flow_consume.open(fields) end, "flow_consume.open: " .. text)
    end
  end)

  it("leave nothing behind when a later one is refused", function() -- the sanitizer looks
    assert.error_matches(function()
      flow_consume.open { brokers = "127.0.0.1:1", topic = "t", group = "g", mysql = { host = "127.0.0.1" },
        producer = { no_such_property = 1 } }
    end, "flow_consume.open: producer: ")
  end)
end)
