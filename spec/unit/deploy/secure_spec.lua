-- The secure stack as it is written down, before a server runs: what of it is secret stays out of sight, and
-- nobody is let in by a door that was left open.
local context = require "rlab.stack.context"
local fs = require "rlab.fs"
local grants = require "rlab.stack.secure.grants"
local json = require "rlab.json"
local kafka = require "rlab.stack.kafka"
local layout = require "rlab.stack.layout"
local must = require "rlab.must"
local secure = require "rlab.stack.secure"
local servers = require "rlab.stack.servers"

describe("the secure stack", function()
  local home, ctx, secrets

  setup(function()
    home = must(fs.tmpdir "rlab-secure-spec") .. "/secure"
    must(secure.ensure(home))
    ctx = must(context.new { home = home, base = 20200 })
    ctx.mysqld, ctx.redis_server = "mysqld", "redis-server"
    ctx.java, ctx.kafka = { path = "java", version = "17" }, { root = home, classpath = "kafka.jar" }
    secrets = {}
    for _, name in ipairs(must(fs.list(home .. "/secrets"))) do
      secrets[name] = must(fs.read(home .. "/secrets/" .. name)):match "%S+"
    end
  end)
  teardown(function() fs.remove((home:gsub("/secure$", ""))) end)

  local function reveals(text)
    for name, secret in pairs(secrets) do
      if text:find(secret, 1, true) then return name end
    end
  end

  local function only_owner_reads(path) return must(fs.stat(path)).mode & 63 == 0 end

  local function files_below(folder, found)
    for _, name in ipairs(must(fs.list(folder))) do
      local path = folder .. "/" .. name
      if must(fs.stat(path)).type == "dir" then files_below(path, found) else found[#found + 1] = path end
    end
    return found
  end

  it("is one by its home, whose secrets and certificates stay as they were made", function()
    assert.is_nil(secure.of(home .. "/.."))
    local before = must(fs.read(home .. "/tls/ca.pem"))
    must(secure.ensure(home))
    assert.equal(before, must(fs.read(home .. "/tls/ca.pem")))
    assert.equal(secrets.kafka, secure.of(home):password "kafka")
    assert.equal(6, #must(fs.list(home .. "/secrets")))
  end)

  it("writes no secret where others read: in no argument, and in files for their owner only", function()
    for _, name in ipairs { "kafka-1", "mysql", "redis" } do
      local server, description = ctx:server(name), servers.of(name)
      if name == "mysql" then must(fs.mkdir(server.dir .. "/data")) end
      if name == "mysql" then must(fs.write(server.dir .. "/data/mysql.ibd", "")) end
      must(description.files(ctx, server))
      assert.is_nil(reveals(table.concat(description.command(ctx, server).cmd, " ")))
    end
    must(require("rlab.stack.secure.file").write(ctx))
    local holders = 0
    for _, path in ipairs(files_below(home, {})) do
      local text = must(fs.read(path))
      if reveals(text) or text:find("PRIVATE KEY", 1, true) then
        holders = holders + 1
        assert.is_true(only_owner_reads(path), path)
      end
    end
    assert.equal(6 + 5 + 3, holders) -- secrets, keys, and what the three servers read
  end)

  it("lets nobody into Kafka without TLS, a password and a right", function()
    local text = kafka.properties(ctx, ctx:server "kafka-1")
    assert.is_nil(text:find("PLAINTEXT", 1, true))
    assert.is_nil(text:find("PROX", 1, true))
    for _, line in ipairs { "allow.everyone.if.no.acl.found=false", "super.users=User:broker;User:admin",
      "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      "listener.name.direct.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
      "listener.name.mtls.ssl.client.auth=required" } do
      assert.matches("\n" .. line .. "\n", text, 1, true)
    end
    local plain = must(context.new { home = home .. "-none", base = 20000 })
    assert.is_nil(kafka.properties(plain, plain:server "kafka-1"):find("sasl", 1, true))
  end)

  it("grants what begins with the prefix, and of the cluster nothing that changes it", function()
    for _, acl in ipairs(grants.acls "lab") do
      if acl.resource == "cluster" then assert.equal("describe", acl.operation) end
      if acl.resource ~= "cluster" then
        assert.same({ "rlab-", "prefixed" }, { (acl.name:gsub("^dlq%.", "")), acl.pattern })
      end
    end
    for _, statement in ipairs(grants.mysql "'lab'@'%'") do
      assert.is_nil(statement:find "ALL" or statement:find "GRANT OPTION")
    end
    assert.matches("^~rlab%-%* %+ping ", grants.redis())
    assert.is_nil(grants.redis():find "@all")
  end)

  it("is told by a FILE that names secrets by their files", function()
    local path = must(require("rlab.stack.secure.file").write(ctx))
    local file = must(json.decode(must(fs.read(path))))
    assert.is_nil(reveals(must(fs.read(path))))
    assert.equal(secrets.kafka, must(fs.read(home .. "/" .. file.kafka["sasl.password_file"])):match "%S+")
    assert.equal(secrets.mysql, must(fs.read(home .. "/" .. file.mysql.password_file)):match "%S+")
    assert.equal(secrets.redis, must(fs.read(home .. "/" .. file.redis.password_file)):match "%S+")
    assert.is_true(fs.exists(home .. "/" .. file.kafka["ssl.ca.location"]))
    assert.equal(ctx.ports.redis, file.redis.port)
  end)

  it("lies in the block behind the plain one, or says that there is no room", function()
    assert.equal(20400, secure.base(20200))
    assert.is_number(secure.base(nil))
    local none, why = secure.base(layout.HIGHEST_BASE)
    assert.is_nil(none)
    assert.matches("choose one up to " .. layout.HIGHEST_BASE - layout.BLOCK, why, 1, true)
  end)

  it("refuses servers that it cannot have", function()
    assert.same({ "kafka" }, secure.wanted { "kafka" })
    local ok, failure = pcall(secure.wanted, { "kafka", "proxy" })
    assert.is_false(ok)
    assert.equal("the secure stack has kafka, mysql, redis, no proxy; start that without --secure",
      failure.message)
  end)
end)
