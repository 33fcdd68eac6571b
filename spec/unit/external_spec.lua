-- A stack of somebody's own: its file, its secrets, its mark, and what is refused on it.
local external = require "rlab.stack.external.file"
local fs = require "rlab.fs"
local guard = require "rlab.stack.external.guard"
local json = require "rlab.json"
local migrate = require "rlab.stack.migrate"

local OWN, OPEN = tonumber("600", 8), tonumber("644", 8)

local function refusal(f, ...)
  local ok, failure = pcall(f, ...)
  assert.is_false(ok)
  return failure.message
end

describe("the file of an external stack", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir "rlab-external") end)
  after_each(function() fs.remove(dir) end)

  local function put(name, text, mode)
    assert(fs.write(dir .. "/" .. name, text, { mode = mode or OWN }))
    return dir .. "/" .. name
  end

  local function read(value, mode)
    return external.read(put("stack.json", type(value) == "string" and value or json.encode(value), mode))
  end

  it("takes secrets from files and variables, and paths from its own folder", function()
    put("pw", "s3cret\n")
    local file = read({ kafka = { brokers = "h:1,i:2", ["security.protocol"] = "SASL_SSL",
      ["sasl.password_file"] = "pw", ["ssl.ca.location"] = "ca.pem" },
      mysql = { user = "u", password_env = "PATH", tls = "verify", ca = "/etc/ca.pem" },
      redis = { host = "::1", port = 7000, db = 2 } }, OPEN)
    assert.equal("h:1,i:2", file.kafka.brokers)
    assert.same({ ["security.protocol"] = "SASL_SSL", ["sasl.password"] = "s3cret",
      ["ssl.ca.location"] = dir .. "/ca.pem" }, file.kafka.settings)
    assert.same({ host = "127.0.0.1", port = 3306, user = "u", password = os.getenv "PATH", tls = "verify",
      ca = "/etc/ca.pem" }, file.mysql)
    assert.same({ host = "::1", port = 7000, db = 2, tls = "off" }, file.redis)
    assert.equal("rlab-", file.prefix)
    assert.same({ "isr<2" }, read({ abort_if = { "isr<2" } }).abort_if)
  end)

  it("may hold a secret itself when nobody else can read it", function()
    local given = { redis = { password = "s3cret" } }
    assert.equal("s3cret", read(given).redis.password)
    local said = refusal(read, given, OPEN)
    assert.matches("redis.password stands in a file that others may read: chmod 600", said)
    assert.is_nil(said:find("s3cret", 1, true))
  end)

  it("is refused with what is wrong in it, and never with a secret", function()
    for text, said in pairs {
      ["{"] = "is no JSON object",
      ['{"kafak": {}}'] = "no section 'kafak'; did you mean 'kafka'",
      ['{"kafka": {}}'] = "kafka.brokers are host:port",
      ['{"kafka": {"brokers": "a b"}}'] = "kafka.brokers are host:port",
      ['{"mysql": {"pasword": "s3cret"}}'] = "mysql has no 'pasword'; did you mean 'password'",
      ['{"mysql": {"tls": "yes"}}'] = "mysql.tls is one of off, on, verify",
      ['{"mysql": {"host": "a b"}}'] = "are no address",
      ['{"redis": {"password_file": "none"}}'] = "redis.password_file: ",
      ['{"redis": {"password_env": "RLAB_NONE"}}'] = "the variable RLAB_NONE is not set",
      ['{"kafka": {"brokers": "h:1", "sasl.token_command": "./t"}}'] = "is a list of words",
      ['{"kafka": {"brokers": "h:1", "sasl.token_command": ["t", 1]}}'] = "is a list of words",
      ['{"kafka": {"brokers": "h:1", "sasl.mechanisms": "PLAIN", "sasl.token_command": ["t"]}}']
        = "gives tokens for OAUTHBEARER, and kafka.sasl.mechanisms is PLAIN",
      ['{"prefix": "Mine"}'] = "prefix is lower case",
      ['{"registry": {}}'] = "registry.url is missing",
      ['{"abort_if": ["irs<2"]}'] = "abort_if: ",
      ['{"abort_if": {"isr": 2}}'] = "abort_if is a list of conditions",
    } do
      local told = refusal(read, text)
      assert.is_truthy(told:find(said, 1, true), told)
      assert.is_nil(told:find("s3cret", 1, true))
    end
  end)

  it("has its token command in its own folder, or in the PATH", function()
    local function command(...)
      local file = read { kafka = { brokers = "h:1", ["sasl.token_command"] = { ... } } }
      return file.kafka.settings["sasl.token_command"]
    end
    assert.same({ dir .. "/./token.sh", "600" }, command("./token.sh", "600"))
    assert.same({ "get-token", "./x" }, command("get-token", "./x"))
    assert.same({ "/bin/t" }, command "/bin/t")
  end)

  it("holds for every Kafka client of the process", function()
    local kafka = require "rlab.kafka"
    local file = read { kafka = { brokers = "127.0.0.1:1", ["security.protocol"] = "nonsense" } }
    finally(function() kafka.defaults["security.protocol"] = nil end)
    external.adopt(file)
    local ok, failure = pcall(kafka.producer, { brokers = "127.0.0.1:1" })
    assert.is_false(ok)
    assert.matches("nonsense", tostring(failure))
  end)
end)

describe("which stack is meant", function()
  it("has a file only where it is an external one, whatever word comes next", function()
    local stack = require "rlab.stack"
    finally(function() stack.use "local" end)
    for _, kind in ipairs { "compose", "local" } do
      stack.use(kind, "run")
      assert.same({ "--stack", kind }, stack.words())
      assert.equal("e-1", stack.namespace "e-1")
    end
  end)
end)

describe("an external stack", function()
  local file = { path = "F", kafka = {}, mysql = {} }

  it("is refused what needs a process or the network to be rlab's", function()
    assert.is_nil(guard.unfit({ needs = { "kafka", "mysql" } }, file))
    assert.matches("freezes.*kafka, and of an external stack rlab owns no process",
      guard.unfit({ needs = { "kafka" }, disrupts = { "kafka" } }, file))
    assert.matches("the servers, and of", guard.unfit({ needs = { "kafka" }, disrupts = true }, file))
    assert.matches("faults are in the network", guard.unfit({ needs = { "kafka", "proxy" } }, file))
    assert.matches("it needs redis, of which F says nothing", guard.unfit({ needs = { "redis" } }, file))
  end)

  it("leaves out arms whose own server would copy what is there, and says so when none is left", function()
    local exp = { id = "E-1", own_servers = { "b" } }
    local fit, others = guard.fit(exp, { { name = "a" }, { name = "b" } })
    assert.same({ { { name = "a" } }, { "b" } }, { fit, others })
    assert.matches("E%-1: b cannot run on an external stack: a server of rlab's own",
      refusal(guard.fit, exp, { { name = "b" } }))
  end)

  local function admin(topic)
    return { cluster = function() return { id = "cid", brokers = { {}, {} } } end,
      topic = function() return topic, not topic and { name = "UNKNOWN_TOPIC_OR_PART" } or nil end,
      configs = function() return { ["min.insync.replicas"] = "2" } end }
  end

  it("runs nothing where its owner has put no mark, or by the name of the very store", function()
    assert.same({ replication_factor = 3, min_isr = 2 },
      guard.kafka(admin { partitions = { { replicas = { 1, 2, 3 } } } }, {}))
    local said = refusal(guard.kafka, admin(nil), { force = "other" })
    assert.matches("the cluster at cid has no topic rlab%-may%-run%-here", said)
    assert.matches('kafka.force = "cid"', said)
    assert.same({ replication_factor = 2, min_isr = 1 }, guard.kafka(admin(nil), { force = "cid" }))

    local at = { host = "h", port = 1 }
    local db = { value = function() return 0 end }
    assert.matches("mysql at h:1 has no schema rlab_may_run_here", refusal(guard.mysql, db, at))
    guard.mysql(db, { host = "h", port = 1, force = "h:1" })
    local conn = { call = function(_, ...)
      assert.same({ "EXISTS", "rlab-may-run-here" }, { ... })
      return 0
    end }
    assert.matches("redis at h:1 has no key", refusal(guard.redis, conn, at))
  end)
end)

describe("the migrations' statements", function()
  it("end at a semicolon that is neither in quotes nor in a comment", function()
    assert.same({ "CREATE TABLE a (x INT)", "INSERT INTO a VALUES (';--')", "SELECT `;`, \";\" /* ; */" },
      migrate.statements {
        { text = "-- one; two\nCREATE TABLE a (x INT);\nINSERT INTO a VALUES (';--') ;\n" },
        { text = "SELECT `;`, \";\" /* ; */" } })
  end)
end)
