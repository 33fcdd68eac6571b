-- A Redis that has users: who is named in a call or a URL is who the server sees, and what a user may not do
-- is told as that.
local must = require "rlab.must"
local query_bed = require "spec.support.query_bed"
local redis = require "rlab.redis"
local redis_cluster = require "spec.support.redis_cluster"
local urls = require "rlab.urls"

local host, port = assert(os.getenv "RLAB_TEST_REDIS"):match "^(.*):(%d+)$"
port = math.tointeger(tonumber(port))

local NAME, PASSWORD = ("o@dd:%d"):format(require("rlab.process").self()), "p@ss/1 %41:?#[]한"

-- The URL of a user as somebody would write it.
local function url_of(name, password, at)
  return urls.write("redis", { user = name, password = password }, at, "0")
end

local function user(conn, name, ...)
  must(conn:call("ACL", "SETUSER", name, "reset", "on", ...))
end

describe("a Redis with users", function()
  local admin

  setup(function() admin = must(redis.connect { host = host, port = port }) end)
  teardown(function() admin:close() end)
  after_each(function() must(admin:call("ACL", "DELUSER", NAME)) end)

  local function whoami(options)
    options.host, options.port = options.host or host, options.port or port
    local conn <close>, failure = redis.connect(options)
    if not conn then return nil, failure end
    return must(conn:call("ACL", "WHOAMI"))
  end

  it("sees who is named, in RESP3 and in RESP2", function()
    user(admin, NAME, ">" .. PASSWORD, "~*", "+@all")
    for _, resp in ipairs { 2, 3 } do
      assert.equal(NAME, whoami { user = NAME, password = PASSWORD, resp = resp })
      assert.equal("WRONGPASS", select(2, whoami { user = NAME, password = "p", resp = resp }).name)
      assert.equal("WRONGPASS", select(2, whoami { user = NAME, resp = resp }).name)
    end
    assert.equal(NAME, whoami(urls.redis(url_of(NAME, PASSWORD, host .. ":" .. port))))
  end)

  it("sees a user without a password, not the default one", function()
    user(admin, NAME, "nopass", "~*", "+@all")
    for _, resp in ipairs { 2, 3 } do assert.equal(NAME, whoami { user = NAME, resp = resp }) end
    assert.equal(NAME, whoami(urls.redis(url_of(NAME, nil, host .. ":" .. port))))
  end)

  it("refuses what the user may not do, and the connection goes on", function()
    user(admin, NAME, ">" .. PASSWORD, "~mine:*", "+get", "+acl|whoami")
    local conn <close> = must(redis.connect { host = host, port = port, user = NAME, password = PASSWORD })
    for _, command in ipairs { { "GET", "yours:1" }, { "SET", "mine:1", "x" } } do
      local none, failure = conn:call(table.unpack(command))
      assert.same({ nil, "NOPERM", false, "no" }, { none, failure.name, failure.retriable, failure.happened })
    end
    assert.equal(NAME, must(conn:call("ACL", "WHOAMI")))
  end)

  it("serves a query that has no more than its keys", function()
    local bed <close> = query_bed.open()
    bed:account(7, 1200, 3)
    user(admin, NAME, ">" .. PASSWORD, "~" .. bed.prefix .. "*", "+@read", "+@write", "+@scripting", "+ping")
    bed.redis_login = url_of(NAME, PASSWORD, ""):match "^redis://(.*@)"
    local q = bed:query()
    assert.same({ "db", 1200 }, { q:read(7).source, q:read(7).balance })
    assert.equal("cache", q:read(7).source)
    user(admin, NAME, ">" .. PASSWORD, "~other:*", "+@read", "+@write", "+@scripting", "+ping")
    assert.equal(200, q:read(7).status)
    assert.matches("no permissions.*DOWN", q:call("GET", "/actuator/health").body)
  end)

  it("is a cluster whose nodes all see who is named", function()
    local s, view = redis_cluster.open { "redis-cluster" }
    local nodes = {}
    for i, node in ipairs(s.redis_cluster.nodes) do
      local where, number = urls.split(node)
      nodes[i] = must(redis.connect { host = where, port = number })
      user(nodes[i], NAME, ">" .. PASSWORD, "~*", "+@all")
    end
    local cluster = must(redis.cluster(urls.redis(("redis-cluster://%s@%s"):format(
      url_of(NAME, PASSWORD, ""):match "^redis://(.*)@", table.concat(s.redis_cluster.nodes, ",")))))
    for i = 1, 20 do must(cluster:call("SET", "acl-spec:" .. i, i)) end
    local seen = {}
    for _, node in ipairs(nodes) do
      for line in must(node:call("CLIENT", "LIST")):gmatch "[^\n]+" do
        if line:find "cmd=set" then seen[line:match " user=(%S+)"] = true end
      end
    end
    for i = 1, 20 do must(cluster:call("DEL", "acl-spec:" .. i)) end
    cluster:close()
    for _, node in ipairs(nodes) do
      must(node:call("ACL", "DELUSER", NAME))
      node:close()
    end
    redis_cluster.close(s, view)
    assert.same({ true, false }, { seen[NAME], seen.default or false })
  end)
end)
