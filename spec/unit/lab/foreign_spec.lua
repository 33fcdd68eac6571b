-- A client library of others behind its lines: here a shell that answers as one does.
local client = require "rlab.lab.foreign.client"
local end_txn = require "rlab.story.race.end_txn"
local fs = require "rlab.fs"
local go = require "rlab.lab.foreign.go"
local must = require "rlab.must"
local writing = require "rlab.story.conformance.writing"

local ANSWERS = [[
echo '{"to":"","ok":true,"version":"1.2.3"}'
while read -r name word rest; do
  case $word in
  open) echo "not json"; echo "{\"to\":\"$name\",\"ok\":true}" ;;
  send) printf '%s\n' "{\"to\":\"$name\",\"ok\":true,\"offset\":7}" '{"to":"other","ok":true}' ;;
  commit) echo "{\"to\":\"$name\",\"ok\":false,\"error\":\"asked: $rest\",\"code\":48}" ;;
  abort) echo "{\"to\":\"$name\",\"ok\":false,\"error\":\"org.x.TimeoutException: late\"}" ;;
  *) exit 0 ;;
  esac
done
]]

describe("a client library of others", function()
  local lab, dir

  before_each(function()
    dir = must(fs.tmpdir "rlab-spec-foreign")
    lab = { noted = {}, owned = {}, run = { dir = dir } }
    function lab.run.child_name(_, tag) return tag .. ".1" end
    function lab.own(_, one)
      lab.owned[#lab.owned + 1] = one
      return one
    end
    function lab.note_client(_, kind, settings) lab.noted[#lab.noted + 1] = { kind, settings } end
    function lab.give_up(_, fmt, ...) error({ reason = fmt:format(...) }, 0) end
  end)
  after_each(function()
    for _, one in ipairs(lab.owned) do one:close() end
    fs.remove(dir)
  end)

  it("is driven by lines, each producer by its own name", function()
    local shell = client.start(lab, { tag = "lib", says = "the library", cmd = { "sh", "-c", ANSWERS } })
    local p = client.producer(shell, { ["transactional.id"] = "tx", ["client.id"] = "c" })
    assert.equal("1.2.3", p.version)
    assert.equal("lib producer", lab.noted[1][1])
    assert.equal(7, must(p:send { topic = "t", partition = 1, value = "v" }).offset)
    local ok, failure = p:commit "1500ms"
    assert.is_nil(ok)
    assert.same({ "lib", 48, "ERROR", "asked: 1500", "unknown" },
      { failure.domain, failure.code, failure.name, failure.message, failure.happened })
    assert.equal("TimeoutException", select(2, p:abort()).name)
    local went, why = pcall(p.begin, p)
    assert.is_false(went)
    assert.equal("the library ended, without an answer to begin; its log: lib.1.log", why.reason)
  end)

  it("has two producers of one transactional.id apart", function()
    local shell = client.start(lab, { tag = "lib", says = "the library", cmd = { "sh", "-c", ANSWERS } })
    local first = client.producer(shell, { ["transactional.id"] = "tx" })
    local second = client.producer(shell, { ["transactional.id"] = "tx" })
    shell.process:write(first.name .. " send\n")
    assert.equal("asked: ", select(2, second:commit()).message)
    assert.equal(7, shell:answer(first.name, "send").offset)
    assert.is_nil(shell.answers[second.name])
  end)

  it("is not run where it was not built", function()
    local real = os.getenv
    local function elsewhere(name) return name == "XDG_CACHE_HOME" and dir or real(name) end
    os.getenv = elsewhere -- luacheck: ignore 122
    local went, why = pcall(go.go_producer, lab, "sarama", {})
    os.getenv = real -- luacheck: ignore 122
    assert.is_false(went)
    assert.equal("not run: the client sarama is not built: run make clients, which needs Go", why.reason)
  end)
end)

describe("a key's partition", function()
  it("is found as Java's partitioner does", function() -- the hashes of Kafka's own test
    for key, hash in pairs { ["21"] = -973932308, foobar = -790332482, abc = 479470107,
      ["a-little-bit-long-string"] = -985981536, ["a-little-bit-longer-string"] = -1486304829,
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"] = -58897971 } do
      assert.equal((hash & 0x7fffffff) % 12, writing.partition_of(key, 12), key)
    end
  end)
end)

describe("what a client was told of its transactions", function()
  local function told(first, second, delivered)
    local rc = {}
    for i, id in ipairs(delivered) do rc[i] = { id = id } end
    return end_txn.promised { rc = rc, transactions = {
      { told = first, acked = { { id = "a" }, { id = "b" } } },
      { told = second, acked = { { id = "c" } } } } }
  end

  it("is compared with what a reader gets", function()
    assert.same({ committed = { "a", "b" }, aborted = { "c" }, torn = {}, gone = {} },
      told("committed", "aborted", { "a", "b" }))
    assert.same({ committed = { "c" }, aborted = { "a", "b" }, torn = { "b" }, gone = { "c" } },
      told("aborted", "committed", { "b" }))
  end)

  it("binds nobody where it is unknown", function()
    assert.same({ committed = {}, aborted = { "c" }, torn = {}, gone = {} },
      told("unknown", "aborted", { "a" }))
  end)
end)
