-- The readers in Lua of what others write: whatever the text, each gives a value that makes sense or says why
-- not, in words of its own. The seeds are tried as they are, and cut, turned and doubled, the same each time.
-- (The readers in C: spec/fuzz.)
local fs = require "rlab.fs"
local json = require "rlab.json"
local rng = require "rlab.rng"

local ROUNDS = 300

-- What Lua says when code took a value for something that it is not.
local SLIPS = { "attempt to ", "bad argument", "stack overflow", "invalid order function", "too long" }

local WORDS = { "null", "true", "-1", "0.5", "1e400", "99999999999999999999", "{}", "[]", "[[]]", '""', "%",
  "\0", "\xff" }

-- A number, a word or a quoted text of it is another.
local function reworded(dice, text)
  local tokens = {}
  for from, token, behind in text:gmatch '()("?[%w%.-]+"?)()' do
    tokens[#tokens + 1] = { from, behind, token }
  end
  if #tokens == 0 then return text end
  local one = tokens[dice:int(1, #tokens)]
  return text:sub(1, one[1] - 1) .. WORDS[dice:int(1, #WORDS)] .. text:sub(one[2])
end

local function turned(dice, text)
  if text == "" then return string.char(dice:int(0, 255)) end
  local at = dice:int(1, #text)
  local n = dice:int(0, math.min(6, #text - at))
  local head, piece, tail = text:sub(1, at - 1), text:sub(at, at + n), text:sub(at + n + 1)
  local how = dice:int(1, 8)
  if how == 1 then return head .. tail end
  if how == 2 then return head .. piece .. piece .. tail end
  if how == 3 then return head end
  if how > 4 then return reworded(dice, text) end
  return head .. string.char(dice:int(0, 255)) .. piece:sub(2) .. tail
end

local function shown(text)
  return (text:gsub("[^ -~]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

local function try(name, read, text)
  local ok, why = pcall(read, text)
  if ok then return end
  for _, slip in ipairs(SLIPS) do
    if tostring(why):find(slip, 1, true) then
      error(("%s of %s: %s"):format(name, shown(text), tostring(why)), 0)
    end
  end
end

local function stand(name, seeds, read)
  local dice = rng.new(7)
  for _, seed in ipairs(seeds) do
    try(name, read, seed)
    for _ = 1, ROUNDS do
      local text = seed
      for _ = 1, dice:int(1, 2) do text = turned(dice, text) end
      try(name, read, text)
    end
  end
end

local function whole(value, low, high)
  if math.type(value) ~= "integer" or value < low or value > high then
    error(("attempt to make do with %s"):format(tostring(value)), 0)
  end
end

describe("the reader of", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir "rlab-foreign") end)
  after_each(function() fs.remove(dir) end)

  it("connection URLs", function()
    local urls = require "rlab.urls"
    stand("mysql", { "mysql://odd:p%40ss%2F1@127.0.0.1:3306/a%2Fb", "mysql://u:@[::1]:13306/",
      "mysql://u@h" }, function(text)
      local at = urls.mysql(text)
      if at then whole(at.port, 1, 65535) end
    end)
    stand("redis", { "redis://odd:p%40ss%2F1@127.0.0.1:6379/15", "redis://[::1]:6379",
      "redis-cluster://u:p@a:1,b:2,c:65535" }, function(text)
      local at = urls.redis(text)
      if at and not at.nodes then
        whole(at.port, 1, 65535)
        whole(at.db, 0, 2147483647)
      end
    end)
  end)

  it("paths and of a line of redis-cli", function()
    local routes, quoting = require "rlab.routes", require "rlab.repl.quoting"
    stand("a path", { "/accounts/a%2Fb/entries", "/dlq/order%2F17//", "/%00" }, routes.split)
    stand("a line", { 'SET q "a\\nb\\x41" \'it\\\'s\'', '"\\xff"' }, quoting.words)
  end)

  it("the options of a service", function()
    local options = require "rlab.service.options"
    local query = require("rlab.service").load "query"
    local function none() end
    for _, option in ipairs { "--ttl=1m30s", "--jitter=0.1", "--redis=redis://odd:p@h:1/2", "--readers=64",
      "--mysql=mysql://u:p@h:1/s", "--name=query-1" } do
      stand("an option", { option }, function(text) options.resolve(query, { text }, none) end)
    end
  end)

  it("what a stack remembers", function()
    local state = require "rlab.stack.state"
    local text = json.encode { version = 1, boot = state.boot_id(), base = 13000,
      servers = { mysql = { pid = 1, start = 5, since = 7, port = 13306, phase = "ready" } },
      versions = { mysql = "8" } }
    stand("stack.json", { text }, function(changed)
      assert(fs.write(dir .. "/stack.json", changed))
      local found = state.load(dir)
      for name in pairs(found and found.servers or {}) do state.word(found, name) end
      local _ = found and found.versions.mysql
    end)
  end)

  it("what a run has left", function()
    local ledger = require "rlab.run.ledger"
    assert(fs.mkdir(dir .. "/open-runs"))
    local text = json.encode { pid = 1, start = 5, items = { { kind = "topic", name = "t" } },
      needs = { "kafka" }, disrupts = { "kafka" } }
    local real = os.getenv
    os.getenv = function(name) return name == "RLAB_HOME" and dir or real(name) end -- luacheck: ignore 122
    local ok, why = pcall(stand, "open-runs", { text }, function(changed)
      assert(fs.write(dir .. "/open-runs/x.json", changed))
      ledger.others { needs = { "kafka" }, disrupts = { "redis" } }
    end)
    os.getenv = real -- luacheck: ignore 122
    assert(ok, why)
  end)

  it("a history and of a result", function()
    local form, set = require "rlab.check.form", require "rlab.run.set"
    local lines = { '{"index":0,"time":1,"process":0,"type":"invoke","f":"add","value":null,"actor":"a"}',
      '{"index":1,"time":2,"process":0,"type":"info","f":"add","value":[1],"error":"x","actor":"a"}' }
    stand("history.jsonl", { table.concat(lines, "\n") .. "\n" }, function(changed)
      assert(fs.write(dir .. "/history.jsonl", changed))
      form.problem(dir .. "/history.jsonl")
    end)
    stand("a result", { '{"exit":0,"id":"E-001","arms":{}}' }, function(changed)
      set.read_result({ experiment = { id = "E-001" }, seed = 1 }, changed, { code = 0 }, "x")
    end)
  end)
end)
