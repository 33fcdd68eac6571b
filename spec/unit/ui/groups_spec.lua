local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local span = require "rlab.kafka.span"
local ui = require "rlab.ui"

local function token_of(console)
  return assert(http.get(console.url)).body:match 'name="rlab%-token" content="(%x+)"'
end

describe("an open transaction in the console", function()
  local console, admin, made

  before_each(function()
    console, made = assert(ui.serve { port = 0 }), {}
    local state = "Ongoing"
    admin = { transaction = function() return { state = state, timeout_ms = 60000, epoch = 4 } end }
    local clients = console.kafka.clients
    function clients.open() return admin end
    function clients.producer(_, settings)
      made[#made + 1] = settings
      return setmetatable({ init_transactions = function() state = "CompleteAbort" return true end },
        { __close = function() end })
    end
  end)
  after_each(function() console:close() end)

  local function fence(body)
    local answer = assert(http.post(console.url .. "/api/fence", body,
      { headers = { ["x-rlab-token"] = token_of(console) } }))
    return answer.status, json.decode(answer.body)
  end

  it("is ended by another producer of its id, with the timeout that it has", function()
    assert.same({ 200, { id = "tx", before = "Ongoing", now = "CompleteAbort", epoch = 4 } },
      { fence { id = "tx" } })
    assert.same({ { transactional_id = "tx", transaction_timeout_ms = 60000 } }, made)
  end)

  it("is left alone where none is open", function()
    admin.transaction = function() return { state = "Empty" } end
    local status, said = fence { id = "tx" }
    assert.same({ 409, "'tx' has no open transaction: its state is Empty", 0 },
      { status, said.detail, #made })
    assert.equal(400, (fence {}))
    assert.equal(400, (fence { id = 7 }))
  end)

  it("is listed beside the groups, or why it cannot be", function()
    local k = console.kafka
    function k.groups(_, wanted)
      return { rows = { { group = "g" } }, all = 7, found = 1, wanted = wanted }
    end
    k.words.txns = function() return { { id = "tx", ["holds back"] = "t-0: LSO 1 < HW 2" } } end
    local function told() return json.decode(assert(http.get(console.url .. "/api/groups?with=g")).body) end
    assert.same({ { id = "tx", holds = "t-0: LSO 1 < HW 2" } }, told().open)
    k.words.txns = function()
      return nil, err.new { domain = "kafka", code = 7, name = "TIMED_OUT", message = "no answer" }
    end
    assert.same({ { { group = "g" } }, 7, "g", "no answer" },
      { told().rows, told().all, told().wanted, told().open.failure })
  end)
end)

describe("a stretch that is read until enough is known", function()
  it("ends there, and the others go on", function()
    local records = { { partition = 0, offset = 4 }, { partition = 0, offset = 5 },
      { partition = 1, offset = 7 }, { partition = 1, offset = 8, eof = true } }
    local consumer = { assign = function() return true end, poll = function()
      local i = 0
      return { each = function() return function()
        i = i + 1
        if records[i] then records[i].topic = "t" end
        return records[i]
      end end }
    end }
    local seen = {}
    assert(span.read(consumer, { { topic = "t", partition = 0, from = 4, to = 100 },
      { topic = "t", partition = 1, from = 7, to = 8 } }, function(r)
      seen[#seen + 1] = r.offset
      return "enough"
    end, "5s"))
    assert.same({ 4, 7 }, seen)
  end)
end)
