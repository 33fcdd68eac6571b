-- The command service while its MySQL is frozen, killed and started again: every command gets an answer in
-- time, and what was answered is so.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local mysqld = require "spec.support.mysqld"
local process = require "rlab.process"
local server = require "spec.support.mysql_server"
local services = require "spec.support.services"
local task = require "rlab.task"

local SCHEMA = "faults"
local CLIENTS = 6

local function make_tables(own)
  local db <close> = must(own:connect {})
  must(db:exec("CREATE DATABASE IF NOT EXISTS " .. SCHEMA))
  must(db:exec("USE " .. SCHEMA))
  for _, file in ipairs(migrate.files()) do
    local text = file.text:gsub("%-%-[^\n]*", "")
    for statement in text:gmatch "%s*([^;]+);" do must(db:exec(statement)) end
  end
end

-- Clients that send one entry after another, each again with its id until it is answered 201 -> what they saw
local function load(service)
  local seen = { ok = 0, unavailable = 0, other = {}, stop = false }
  seen.task = task.spawn(function()
    task.group(function(g)
      for k = 1, CLIENTS do
        g:spawn(function()
          local i, asked = 1, false
          -- what was asked is asked until it is answered: it may be in the ledger
          while asked or not seen.stop do
            asked = true
            local answer, failure = http.post(service.url .. "/accounts/1/entries",
              { request_id = k .. "-" .. i, amount = 1 }, { timeout = "20s" })
            if answer and answer.status == 201 then
              i, seen.ok, asked = i + 1, seen.ok + 1, false
            elseif answer and answer.status == 503 then
              seen.unavailable = seen.unavailable + 1
              task.sleep "50ms"
            else
              table.insert(seen.other, answer and answer.body or tostring(failure))
              task.sleep "50ms"
            end
          end
        end)
      end
    end)
  end)
  return seen
end

local function grows(seen, by)
  local from = seen.ok
  return must(task.wait_until(function() return seen.ok >= from + by end,
    { at_most = "60s", what = "more entries" }))
end

local function is_down(service)
  return must(task.wait_until(function()
    local answer = must(http.get(service.url .. "/actuator/health/readiness"))
    return answer.status == 503 and json.decode(answer.body).components.mysql.status == "DOWN"
  end, { at_most = "60s", what = "health to say so" }))
end

describe("the command service under faults of MySQL", function()
  local own, service

  setup(function()
    own = mysqld.beside(server.port)
    make_tables(own)
    service = services.spawn("command",
      { mysql = ("mysql://app:secret@127.0.0.1:%d/%s"):format(own.port, SCHEMA), pool = 4,
      failpoints = true })
    must(http.post(service.url .. "/accounts", { id = 1 }))
  end)

  teardown(function()
    service:close()
    own:stop()
    assert.is_nil(fs.stat(own.data))
  end)

  local function judged(seen)
    seen.stop = true
    seen.task:join()
    local db <close> = must(own:connect { database = SCHEMA })
    assert.same({}, seen.other)
    assert.equal(must(db:value "SELECT balance FROM account"),
      must(db:value "SELECT COUNT(*) FROM ledger_entry"))
    assert.equal(must(db:value "SELECT COUNT(*) FROM ledger_entry"),
      must(db:value "SELECT COUNT(*) FROM outbox_event"))
    return must(db:value "SELECT COUNT(*) FROM ledger_entry")
  end

  it("answers 503 in time while it is frozen, says so, and goes on when it thaws", function()
    local seen = load(service)
    grows(seen, 20)
    must(process.stop(own.child.pid))
    is_down(service)
    must(task.wait_until(function() return seen.unavailable >= CLIENTS end, { at_most = "60s" }))
    must(process.cont(own.child.pid))
    grows(seen, 20)
    local entries = judged(seen)
    assert.equal(seen.ok, entries)
  end)

  it("goes on by itself after it was killed and started again, and loses no acknowledged entry", function()
    do
      local db <close> = must(own:connect { database = SCHEMA })
      for _, sql in ipairs { "DELETE FROM ledger_entry", "DELETE FROM outbox_event",
        "UPDATE account SET balance = 0, version = 0" } do
        must(db:exec(sql))
      end
    end
    local seen = load(service)
    grows(seen, 20)
    own:kill()
    is_down(service)
    own:start()
    grows(seen, 20)
    local entries = judged(seen)
    assert.equal(seen.ok, entries)
    -- it served, so it says that it serves
    assert.equal(200, must(http.get(service.url .. "/actuator/health/readiness")).status)
  end)

  it("says that nobody knows of a commit that is not answered in time", function()
    local one <close> = services.spawn("command",
      { mysql = ("mysql://app:secret@127.0.0.1:%d/%s"):format(own.port, SCHEMA), pool = 1,
      failpoints = true, deadline = "5s", lock_wait = 20 }, { RLAB_FAILPOINTS = "cmd.before_commit=1*pause" })
    local db <close> = must(own:connect { database = SCHEMA })
    local asked = task.spawn(function()
      return one:call("POST", "/accounts/1/entries", { request_id = "unknown", amount = 1 })
    end)
    must(task.wait_until(function()
      return select(2, one:call("GET", "/failpoints/cmd.before_commit")).hits == 1 end,
      { at_most = "60s", what = "the pause" }))
    must(db:exec "FLUSH TABLES WITH READ LOCK") -- a commit waits for its end
    must(http.post(one.url .. "/failpoints/cmd.before_commit/resume", ""))
    local status, problem = asked:join()
    must(db:exec "UNLOCK TABLES")
    assert.equal(503, status)
    assert.matches("nobody knows", problem.detail)
    assert.equal(201, (one:call("POST", "/accounts/1/entries", { request_id = "unknown", amount = 1 })))
    assert.equal(1, must(db:value "SELECT COUNT(*) FROM ledger_entry WHERE request_id = 'unknown'"))
  end)
end)
