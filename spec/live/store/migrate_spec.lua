-- Flyway on the shared MySQL: the template, what makes it another one, and the copies that runs get.
local fs = require "rlab.fs"
local migrate = require "rlab.stack.migrate"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local stack = require "rlab.stack"

local own = "rlab_spec_" .. process.self()

-- rlab migrate with the project's migrations and one of its own -> exit code, output
local function run(words, more)
  local folder = assert(fs.tmpdir "rlab-migrations")
  for _, file in ipairs(migrate.files()) do assert(fs.write(folder .. "/" .. file.name, file.text)) end
  if more then assert(fs.write(folder .. "/V900__spec.sql", more)) end
  local child <close> = assert(process.spawn { cmd = { fs.self_exe(), "migrate", table.unpack(words) },
    env = { RLAB_MIGRATIONS = folder },
    stdout = "capture", stderr = "stdout" })
  local status = assert(child:wait "300s")
  fs.remove(folder)
  return status.code, (child:output())
end

describe("rlab migrate", function()
  local held, db
  lazy_setup(function()
    held = assert(stack.open { needs = { "mysql" } })
    db = assert(mysql.connect { host = held.mysql.host, port = held.mysql.port, user = held.mysql.user,
      password = held.mysql.password })
  end)
  lazy_teardown(function()
    db:exec("DROP DATABASE IF EXISTS " .. own)
    db:close()
    held:close()
  end)

  it("runs what is missing once, lists it and finds it valid", function()
    local name = assert(migrate.template(held))
    local again, count = migrate.template(held)
    assert.are.equal(name, again)
    assert.are.equal(0, count)
    local code, output = run { "info" }
    assert.are.equal(0, code, output)
    assert.matches("V1 +core +Success", output)
    assert.are.equal(0, (run { "validate" }))
  end)

  it("takes another template when a file changes, and says in one line what is wrong with it", function()
    local code, output = run({}, "CREATE TABLE spec_ok (id INT);\nCREATE TABLES spec_bad;")
    assert.are.equal(65, code, output)
    assert.matches("^rlab: migrations: V900__spec.sql, line 2: You have an error", output)
    assert.are.equal(1, select(2, output:gsub("\n", "\n")), output)
    local made
    code, output = run({}, "CREATE TABLE spec_ok (id INT)")
    assert.are.equal(0, code, output)
    made = assert(output:match "(rlab_template_%x+)")
    assert.are_not.equal(migrate.name(), made)
    assert(db:exec("DROP DATABASE " .. made))
  end)

  it("copies tables with their keys, and the rows that migrations wrote", function()
    local source = own .. "_t"
    for _, sql in ipairs { "CREATE DATABASE " .. source, "USE " .. source,
      "CREATE TABLE parent (id INT PRIMARY KEY)",
      "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))",
      "INSERT INTO parent VALUES (7)" } do assert(db:exec(sql)) end
    local ok, failure = migrate.clone(db, source, own)
    db:exec("DROP DATABASE " .. source)
    assert(ok, failure)
    assert.are.equal(7, db:value("SELECT id FROM " .. own .. ".parent"))
    local refused, why = db:exec("INSERT INTO " .. own .. ".child VALUES (1, 8)")
    assert.is_nil(refused)
    assert.matches("foreign key", tostring(why))
  end)

  it("refuses an outbox row whose shard no relay sends", function()
    local copy = own .. "_o"
    assert(migrate.clone(db, assert(migrate.template(held)), copy))
    local function write(shard)
      return db:exec(("INSERT INTO %s.outbox_event (event_id, shard, message_key, payload) VALUES \z
        (UUID_TO_BIN(UUID()), %d, 'k', '{}')"):format(copy, shard))
    end
    local first, last, none, why = write(0), write(63), write(64)
    db:exec("DROP DATABASE " .. copy)
    assert.is_truthy(first)
    assert.is_truthy(last)
    assert.is_nil(none)
    assert.matches("outbox_shard", tostring(why))
  end)
end)
