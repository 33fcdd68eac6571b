-- The gates of the minimum load count what was taken, not what was tried.
local workload = require "rlab.lab.workload"

-- A command service in this process that refuses each n-th command, with this status.
local function serve(every, status)
  local count = 0
  return require("rlab.http").serve { port = 0, handler = function(request)
    count = count + 1
    if every and count % every == 0 then return { status = status, body = "{}" } end
    return { status = 201, body = request.body }
  end }
end

local function lab_for()
  local Lab = { run = { history = {} }, label = "arm" }
  local methods = { "issued", "accepted", "give_up", "each" }
  local class
  for i = 1, 10 do
    local name, value = debug.getupvalue(require("rlab.lab").new, i)
    if name == "Lab" then class = value end
  end
  for _, name in ipairs(methods) do Lab[name] = class[name] end
  function Lab.invoke() return { over = function() end } end
  function Lab.progress() end
  function Lab.now() return 0 end
  Lab.commands = workload.commands
  return Lab
end

local function list_of(n)
  local list = {}
  for i = 1, n do list[i] = { id = ("cmd-%02d"):format(i), account = 1, amount = 1 } end
  return list
end

local function commands(every, status, more)
  local server <close> = assert(serve(every, status))
  local opts = { to = { url = "http://127.0.0.1:" .. server.port }, list = list_of(12), clients = 2 }
  for key, value in pairs(more or {}) do opts[key] = value end
  local ok, result = pcall(workload.commands, lab_for(), opts)
  return ok and result or nil, not ok and result.message or nil
end

describe("commands", function()
  it("are all accepted", function()
    assert.are.equal(12, #(commands()).ok)
  end)

  it("that are refused do not count, whatever the refusal is called", function()
    for _, status in ipairs { 503, 500, 429, 409 } do
      local done, why = commands(3, status)
      assert.is_nil(done)
      assert.matches("^commands: 8 were accepted, at least 12 are needed %(cmd%-%d+: HTTP " .. status, why)
    end
  end)

  it("may be refused as far as the story says so", function()
    assert.are.equal(8, #(commands(3, 503, { accepted = 8 })).ok)
    assert.is_nil((commands(3, 503, { accepted = 9 })))
  end)
end)

describe("planned commands", function()
  it("each change something", function()
    local lab, signs = { rng = require("rlab.rng").new(1) }, {}
    for _, command in ipairs(workload.plan(lab, 5000, 3)) do
      assert.are_not.equal(0, command.amount)
      signs[command.amount > 0] = true
    end
    assert.are.same({ [true] = true, [false] = true }, signs)
  end)
end)

describe("a load", function()
  local flow_load, load = require "rlab.flow_load", require "rlab.lab.load"
  local open = flow_load.open
  after_each(function() flow_load.open = open end)

  -- What the lab is told of one whose requests were answered so; `lost` rows had no room.
  local function finished(share, statuses, lost)
    local rows, told, kept = {}, nil, {}
    for i, status in ipairs(statuses) do rows[i] = { status = status or nil } end
    function flow_load.open()
      local function take()
        local some = rows
        rows = {}
        return some
      end
      return { wait = function() return true end, take = take,
        stats = function() return { rows_lost = lost or 0, latency = "of all" } end }
    end
    local lab = { seed = 1, run = {}, own = function(_, one) return one end }
    function lab.accepted(_, name, n, least) told = { name, n, least } end
    function lab.give_up(_, fmt, ...) error(fmt:format(...), 0) end
    function lab.histogram(_, ...) kept[#kept + 1] = table.concat({ ... }, " ") end
    load.load(lab, { accepted = share }):finish()
    return told, kept
  end

  it("counts what was answered with success, of all that it asked", function()
    assert.are.same({ "load", 3, 6 }, finished(0.9, { 200, 299, 204, 300, 404, false }))
    assert.are.same({ "load", 1, 1 }, finished(0.1, { 200, 503 }))
    assert.is_nil(finished(nil, { 503 }))
  end)

  it("leaves its latency with the arm", function()
    assert.are.same({ "load latency of all ns" }, select(2, finished(nil, { 200 })))
  end)

  it("proves nothing where a row had no room", function()
    assert.error_matches(function() finished(0.9, { 200 }, 1) end, "no room for 1 rows")
  end)
end)

describe("the outcome of a command", function()
  -- of the one command that is sent there
  local function outcome(url, more)
    local lab, kind = lab_for(), nil
    function lab.invoke() return { over = function(_, said) kind = said end } end
    local opts = { to = { url = url }, list = list_of(1), accepted = 0 }
    for key, value in pairs(more or {}) do opts[key] = value end
    workload.commands(lab, opts)
    return kind
  end

  local function answered(status)
    local server <close> = assert(serve(1, status))
    return outcome("http://127.0.0.1:" .. server.port)
  end

  it("is known when it was taken or refused, and unknown when the server failed", function()
    assert.are.same({ "ok", "fail", "fail", "info", "info" },
      { answered(201), answered(409), answered(429), answered(500), answered(503) })
  end)

  it("is unknown when no answer came, and a failure where nobody listened", function()
    local server <close> = assert(require("rlab.http").serve { port = 0, handler = function()
      require("rlab.task").sleep "1s"
      return { status = 201, body = "{}" }
    end })
    assert.are.equal("info", outcome("http://127.0.0.1:" .. server.port, { at_most = "100ms" }))
    local port = require("rlab.process").free_ports(1)[1]
    assert.are.equal("fail", outcome("http://127.0.0.1:" .. port))
  end)
end)
