-- What rlab can do as a user who has the documented rights and no other, on a stack of `rlab up --secure`,
-- and what it says when one of them is taken away. `make test-secure` runs it.
local context = require "rlab.stack.context"
local defer = require "rlab.defer"
local fs = require "rlab.fs"
local full = require "rlab.stack.kafka_full"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local secure = require "rlab.stack.secure"
local servers = require "rlab.stack.servers"
local tables = require "rlab.tables"

local ctx, runs

local function rlab(...)
  local child <close> = must(process.spawn { cmd = { fs.self_exe(), "--stack", "external",
    secure.home() .. "/external.json", ... }, stdout = "capture", stderr = "capture" })
  local status = must(child:wait "5m")
  return status.code, (child:output())
end

-- An experiment's result, judged as everywhere.
local function run(id, ...)
  local code, said = rlab("run", id, "--json", "--runs", runs, ...)
  return code, said
end

setup(function()
  ctx = must(context.new { home = secure.home() })
  assert(ctx.secure and ctx:any_alive(), "there is no secure stack: rlab up --secure")
  runs = must(fs.tmpdir "rlab-secure-runs")
end)
teardown(function() fs.remove(runs) end)

describe("a secure stack", function()
  it("lets nobody in without TLS and a password", function()
    local p = ctx.ports
    local kafka <close> = must(require("rlab.kafka").admin { brokers = ctx:brokers(), at_most = "2s" })
    assert.is_nil((kafka:cluster()))
    local lab = ctx.secure:password "mysql"
    local _, failure = require("rlab.mysql").connect { port = p.mysql, user = secure.user, password = lab }
    assert.equal("ER_ACCESS_DENIED_ERROR", failure and failure.name)
    assert.is_nil((require("rlab.redis").connect { port = p.redis }))
    local _, stranger = require("rlab.redis").connect(tables.merged({ port = p.redis }, ctx.secure:stores()))
    assert.equal("NOAUTH", stranger and stranger.name)
  end)

  it("shows no secret in a command line or a log", function()
    local secrets = {}
    for _, name in ipairs(must(fs.list(ctx.home .. "/secrets"))) do
      secrets[#secrets + 1] = ctx.secure:password(name)
    end
    for name, entry in pairs(ctx.state.servers) do
      local seen = must(fs.read(("/proc/%d/cmdline"):format(entry.pid)))
        .. must(fs.read(ctx:server(name).log))
      for _, secret in ipairs(secrets) do assert.is_nil(seen:find(secret, 1, true), name) end
    end
  end)
end)

-- Those that an external stack does not refuse and that need no registry.
local SOME = { "E-012", "E-024", "E-026" }
local MORE = { "E-001", "E-005", "E-006", "E-013", "E-018", "E-019", "E-022", "E-030", "E-031", "E-032",
  "E-033", "E-034" }

describe("with exactly the documented rights", function()
  for _, id in ipairs(tables.append(SOME, os.getenv "RLAB_SECURE_ALL" and MORE or {})) do
    it(id .. " is as predicted", function()
      local code, said = run(id)
      assert.equal(0, code, said)
    end)
  end
end)

describe("with one right less", function()
  -- An arm that cannot be is inconclusive, and its reason ends with the right.
  local function lacks(right, id)
    local code, said = run(id)
    assert.equal(3, code, said)
    assert.matches("the user lacks " .. right .. ":", must(json.decode(said)).sentence, 1, true)
  end

  it("names Kafka's", function()
    local admin <close> = must(full.admin(ctx))
    local acl = { principal = "User:" .. secure.user, resource = "topic", name = "rlab-",
      pattern = "prefixed", operation = "create" }
    assert.equal(1, must(admin:delete_acls { acl }))
    local _ <close> = defer(function() must(admin:create_acls { acl }) end)
    lacks("Kafka's ACL CREATE on topics that begin with rlab-", "E-012")
  end)

  it("names MySQL's", function()
    local db <close> = must(servers.of("mysql").connect(ctx))
    local what = "INSERT ON `rlab\\_%%`.* %s 'lab'@'%%'"
    must(db:exec("REVOKE " .. what:format "FROM"))
    local _ <close> = defer(function() must(db:exec("GRANT " .. what:format "TO")) end)
    lacks("MySQL's privilege INSERT on `rlab\\_%`.*", "E-024")
  end)

  it("names Redis'", function()
    local redis <close> = must(require("rlab.redis").connect(tables.merged({ port = ctx.ports.redis },
      require("rlab.stack.secure.redis").login(ctx.secure))))
    must(redis:call("ACL", "SETUSER", secure.user, "-get"))
    local _ <close> = defer(function() must(redis:call("ACL", "SETUSER", secure.user, "+get")) end)
    lacks("Redis' ACL +get", "E-024")
  end)
end)
