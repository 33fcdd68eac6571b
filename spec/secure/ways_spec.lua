-- How a user is let in on servers of others: each way that external.md names, tried against servers that
-- insist on it. Part of `make test-secure`.
local context = require "rlab.stack.context"
local defer = require "rlab.defer"
local fs = require "rlab.fs"
local json = require "rlab.json"
local mtls = require "rlab.stack.secure.file"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local redis = require "rlab.redis"
local secure = require "rlab.stack.secure"
local tables = require "rlab.tables"

local ctx, home, runs

local function rlab(file, ...)
  local child <close> = must(process.spawn { cmd = { fs.self_exe(), "--stack", "external", file, ... },
    stdout = "capture", stderr = "capture" })
  local status = must(child:wait "5m")
  return status.code, table.concat({ child:output() }, "\n")
end

-- The FILE of a way with changes in its Kafka, beside the others, as its paths count from there.
local function changed(name, way, changes)
  local all = tables.merged(mtls.sections_by(ctx, way))
  all.kafka = tables.merged(all.kafka, changes)
  local path = ("%s/external-%s.json"):format(home, name)
  must(secure.write(path, json.encode(all)))
  return path, defer(function() fs.remove(path) end)
end

setup(function()
  home = secure.home()
  ctx = must(context.new { home = home })
  assert(ctx.secure and ctx:any_alive(), "there is no secure stack: rlab up --secure")
  runs = must(fs.tmpdir "rlab-secure-runs")
end)
teardown(function() fs.remove(runs) end)

describe("a user", function()
  for _, way in ipairs(secure.ways) do
    it("is let in by " .. way, function()
      local code, said = rlab(("%s/%s"):format(home, secure.named(way)), "status")
      assert.equal(0, code, said)
      assert.is_nil(said:find("down", 1, true), said)
    end)
  end

  it("works on while tokens come and go, and none of them is written down", function()
    local path, gone <close> = changed("short", "token", { ["sasl.token_command"] = { "./note.sh" } })
    must(fs.write(home .. "/note.sh", "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n./token.sh 6 | tee -a tokens\n",
      { mode = 448 }))
    local _ <close> = defer(function()
      for _, name in ipairs { "note.sh", "tokens" } do fs.remove(home .. "/" .. name) end
    end)
    local code, said = rlab(path, "run", "E-026", "--json", "--runs", runs)
    assert.equal(0, code, said)
    local tokens = must(fs.read(home .. "/tokens"))
    assert.is_true(select(2, tokens:gsub("\n", "")) > 3) -- more than one of a process
    for token in tokens:gmatch "[^\n]+" do
      assert.is_nil(said:find(token, 1, true))
      local found = must(process.spawn { cmd = { "grep", "-rqF", token, runs } })
      assert.equal(1, must(found:wait "30s").code)
    end
    assert.is_truthy(gone)
  end)

  it("is told which command gave no token, and why", function()
    local path, gone <close> = changed("none", "token",
      { ["sasl.token_command"] = { "sh", "-c", "echo eyJhbGci.x; echo no eyJhbGci.x today >&2; exit 4" } })
    local code, said = rlab(path, "status")
    assert.equal(69, code)
    assert.matches("the token command sh failed: exit 4: no *** today", said, 1, true)
    assert.is_truthy(gone)
  end)
end)

describe("a certificate", function()
  it("is asked for by Kafka's own listener", function()
    local path, gone <close> = changed("bare", "mtls", { ["ssl.certificate.location"] = false,
      ["ssl.key.location"] = false })
    local text = must(fs.read(path))
    must(secure.write(path, (text:gsub('"ssl%.%l+%.location":false,?', ""))))
    assert.not_equal(0, (rlab(path, "status")))
    assert.is_truthy(gone)
  end)

  it("is asked for by MySQL of that user", function()
    local at = tables.merged({ port = ctx.ports.mysql, user = secure.by_certificate,
      password = ctx.secure:password "mysql" }, ctx.secure:stores())
    local _, refused = mysql.connect(at)
    assert.equal("ER_ACCESS_DENIED_ERROR", refused and refused.name)
    local db <close> = must(mysql.connect(tables.merged(at, { cert = ctx.secure:tls "client.pem",
      key = ctx.secure:tls "client.key" })))
    assert.equal(1, must(db:value "SELECT 1"))
  end)

  it("is asked for by Redis where it is told to", function()
    local admin <close> = must(redis.connect(tables.merged({ port = ctx.ports.redis },
      require("rlab.stack.secure.redis").login(ctx.secure))))
    must(admin:call("CONFIG", "SET", "tls-auth-clients", "yes"))
    local _ <close> = defer(function() must(admin:call("CONFIG", "SET", "tls-auth-clients", "optional")) end)
    local at = tables.merged({ port = ctx.ports.redis, user = secure.user,
      password = ctx.secure:password "redis" }, ctx.secure:stores())
    assert.is_nil((redis.connect(at)))
    local conn <close> = must(redis.connect(tables.merged(at, { cert = ctx.secure:tls "client.pem",
      key = ctx.secure:tls "client.key" })))
    assert.equal("PONG", must(conn:call "PING"))
  end)
end)
