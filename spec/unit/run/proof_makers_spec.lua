-- lab.proof: what each of them asks the lab's own readers, keeps of it, and refuses to be asked.
local proof = require "rlab.proof"
local process = require "rlab.process"

-- A lab whose readers answer what is given, and note what they were asked.
local function lab_of(answers)
  local asked = {}
  local function note(...)
    asked[#asked + 1] = table.pack(...)
    return answers.got
  end
  local lab = { asked = asked, run = { admin = { transaction = function(_, id) return note(id) end } } }
  function lab.db() return { value = function(_, ...) return note(...) end } end
  function lab.redis()
    return {
      call = function(_, ...)
        note(...)
        return answers.got or table.remove(answers, 1)
      end,
      pipeline = function(_, commands) return note(commands) end,
    }
  end
  function lab.read(_, topic, opts) return note(topic, opts.headers) end
  function lab.committed(_, opts) return note(opts.group, opts.topic) end
  function lab.watermarks(_, topic, partition) return note(topic, partition) end
  lab.proof = proof.bind(lab)
  return lab
end

local function asked(lab, n)
  local words = lab.asked[n or 1]
  return table.move(words, 1, words.n, 1, {})
end

describe("lab.proof", function()
  it("hits names the line that asks for what was never armed", function()
    local child = { name = "c", armed = {} }
    local ok, why = pcall(function() lab_of({}).proof.hits(child, "a.point") end)
    assert.is_false(ok)
    assert.matches("proof_makers_spec.lua:%d+: lab.proof.hits: c was never armed with a.point = any", why)
    ok, why = pcall(function() lab_of({}).proof.hits(child, "a.point", "kill") end)
    assert.is_false(ok)
    assert.matches("a.point = 'kill'", why, 1, true)
  end)

  it("rows asks MySQL with the arguments, and keeps what was wanted", function()
    local lab = lab_of { got = 3 }
    local seen = lab.proof.rows("rows of it", { sql = "SELECT ?", args = { 7, "x" }, want = 3 })
    assert.are.same({ "SELECT ?", 7, "x" }, asked(lab))
    assert.are.equal("rows of it: 3, says MySQL", seen:sentence())
    assert.are.equal("n: 3, not 4, says MySQL", lab.proof.rows("n", { sql = "s", want = 4 }):sentence())
    assert.are.equal("n: 3, not at least 4, says MySQL",
      lab.proof.rows("n", { sql = "s", want = { at_least = 4 } }):sentence())
    assert.are.equal("n: 3, says MySQL",
      lab.proof.rows("n", { sql = "s", want = { at_least = 3 } }):sentence())
    assert.are.same({ "s" }, asked(lab, 2))
  end)

  it("rows of nothing needs a control that has seen something", function()
    local lab = lab_of { got = 0 }
    assert.matches("no control has seen anything",
      lab.proof.rows("n", { sql = "s", want = 0 }):sentence(), 1, true)
    local idle = lab.proof.rows("n", { sql = "s", want = 0 })
    assert.matches("no control has seen anything",
      lab.proof.rows("n", { sql = "s", want = 0, control = idle }):sentence(), 1, true)
    local control = lab_of({ got = 2 }).proof.rows("m", { sql = "s", want = 2 })
    assert.are.equal("n: 0, says MySQL",
      lab.proof.rows("n", { sql = "s", want = 0, control = control }):sentence())
    for _, wrong in ipairs { true, 3, "seen", { facts = { got = 1 } } } do
      local ok, why = pcall(function() lab.proof.rows("n", { sql = "s", want = 0, control = wrong }) end)
      assert.is_false(ok)
      assert.matches("proof_makers_spec.lua:%d+: lab.proof.rows: control is a proof that the lab made", why)
    end
  end)

  it("says what may be wanted, with the line", function()
    local lab = lab_of { got = 1 }
    for _, want in ipairs { true, {}, { at_least = 0 }, { at_least = "1" }, { at_leats = 1 } } do
      local ok, why = pcall(function() lab.proof.rows("n", { sql = "s", want = want }) end)
      assert.is_false(ok, tostring(want))
      assert.matches("proof_makers_spec.lua:%d+: lab.proof.rows: say what is wanted", why)
    end
    assert.is_false((pcall(function() lab.proof.rows("n", { sql = "s" }) end)))
  end)

  it("records counts those that carry each of the headers", function()
    local function record(...) return { headers = { ... } } end
    local lab = lab_of { got = { records = { record({ "v", "1" }, { "w", "x" }), record { "v", "1" },
      record({ "w", "x" }, { "v", "2" }), record() } } }
    local function count(headers)
      return lab.proof.records("n", { topic = "t", headers = headers, want = 9 }).facts.got
    end
    assert.are.same({ 2, 1, 1, 0, 4 }, { count { v = "1" }, count { v = "1", w = "x" }, count { v = "2" },
      count { v = "3" }, count {} })
    assert.are.same({ "t", true }, asked(lab))
    assert.are.equal("n: 2, says the independent reader",
      lab.proof.records("n", { topic = "t", headers = { v = "1" }, want = 2 }):sentence())
  end)

  it("redis asks Redis, and takes a number that is text for a number", function()
    local lab = lab_of { got = "12" }
    assert.are.equal("n: 12, says Redis",
      lab.proof.redis("n", { command = { "GET", "k" }, want = { at_least = 12 } }):sentence())
    assert.are.same({ "GET", "k" }, asked(lab))
    lab = lab_of { got = "yes" }
    assert.are.equal("n: yes, says Redis",
      lab.proof.redis("n", { command = { "GET" }, want = "yes" }):sentence())
    assert.are.equal("n: yes, not no, says Redis",
      lab.proof.redis("n", { command = { "GET" }, want = "no" }):sentence())
  end)

  it("committed asks for the group's offset of that partition", function()
    local lab = lab_of { got = { ["0"] = 7, ["2"] = 9 } }
    assert.are.equal("the broker says offset 7", lab.proof.committed(7):sentence())
    assert.are.equal("the broker says offset 7, not 8", lab.proof.committed(8):sentence())
    assert.are.equal("the broker says offset 9",
      lab.proof.committed(9, { partition = 2, group = "g", topic = "t" }):sentence())
    assert.are.same({ "g", "t" }, asked(lab, 3))
    assert.are.equal("the broker says offset nil, not 9",
      lab.proof.committed(9, { partition = 3 }):sentence())
    local ok, why = pcall(function() lab.proof.committed "7" end)
    assert.is_false(ok)
    assert.matches("proof_makers_spec.lua:%d+: lab.proof.committed: say the offset", why)
  end)

  it("transaction is the coordinator's word", function()
    local lab = lab_of { got = { state = "Ongoing" } }
    assert.are.equal("transaction: Ongoing, says the coordinator",
      lab.proof.transaction("tx-1", "Ongoing"):sentence())
    assert.are.same({ "tx-1" }, asked(lab))
    assert.matches("Ongoing, not Empty", lab.proof.transaction("tx-1", "Empty"):sentence())
    assert.matches("nil, not Ongoing", lab_of({}).proof.transaction("tx-1", "Ongoing"):sentence())
  end)

  it("held_back compares the LSO with the high watermark", function()
    local lab = lab_of { got = { lso = 3, hw = 5 } }
    assert.are.equal("LSO 3 < HW 5", lab.proof.held_back("t"):sentence())
    assert.are.same({ "t", 0 }, asked(lab))
    lab.proof.held_back("t", 2)
    assert.are.same({ "t", 2 }, asked(lab, 2))
    lab = lab_of { got = { lso = 5, hw = 5 } }
    assert.matches("nothing is held back", lab.proof.held_back("t"):sentence())
  end)

  it("removed sees the key before and after the act", function()
    local function seen(...)
      local lab, acted = lab_of { ... }, nil
      local made = lab.proof.removed("k", function() acted = #lab.asked end)
      assert.are.equal(1, acted)
      assert.are.same({ "EXISTS", "k" }, asked(lab, 2))
      return made:sentence()
    end
    assert.are.equal("EXISTS: 1 before, 0 after", seen(1, 0))
    assert.are.equal("the key is still there", seen(1, 1))
    assert.are.equal("the key was not there before", seen(0, 0))
  end)

  it("expiry asks for the end of each key", function()
    local lab = lab_of { got = { 1000, 1200 } }
    assert.are.equal("PEXPIRETIME of 2 keys: they end within 200 ms",
      lab.proof.expiry({ "a", "b" }, { within = 200 }):sentence())
    assert.are.same({ { "PEXPIRETIME", "a" }, { "PEXPIRETIME", "b" } }, asked(lab)[1])
    assert.are.equal("they end within 200 ms, not 199",
      lab.proof.expiry({ "a", "b" }, { within = 199 }):sentence())
    assert.are.equal("2 of 3 keys have an end", lab.proof.expiry({ "a", "b", "c" }):sentence())
    assert.matches("a key has no end: %-1", lab_of({ got = { -1 } }).proof.expiry({ "a" }):sentence())
  end)

  it("exit and state say how they are asked", function()
    local lab, pid = lab_of {}, (process.self())
    local child = { name = "c", pid = pid, ending = function() return { code = 3 } end }
    assert.are.equal("exit 3, pid " .. pid, lab.proof.exit(child, { code = 3 }):sentence())
    assert.matches("exit 3, not by exit 0", lab.proof.exit(child, { code = 0 }):sentence())
    for _, want in ipairs { 3, {}, { code = 0, signal = "KILL" } } do
      local ok, why = pcall(function() lab.proof.exit(child, want) end)
      assert.is_false(ok)
      assert.matches("proof_makers_spec.lua:%d+: lab.proof.exit: say", why)
    end
    assert.matches("pid %d+ is in state [RS], not T", lab.proof.state(child, "T"):sentence())
    local ok, why = pcall(function() lab.proof.state(child) end)
    assert.is_false(ok)
    assert.matches("proof_makers_spec.lua:%d+: lab.proof.state: say the state", why)
  end)

  it("gone looks again, whatever the act said", function()
    local lab, alive = lab_of {}, false
    local server = { name = "mysql", alive = function() return alive end }
    assert.are.equal("signal 9, pid 7 is gone", lab.proof.gone(server, 7, 9, true):sentence())
    assert.are.equal("signal 15, pid 7 has gone", lab.proof.gone(server, 7, 15, true):sentence())
    assert.are.equal("pid 7 was not there before", lab.proof.gone(server, 7, 9, false):sentence())
    alive = true
    assert.are.equal("pid 7 is still there", lab.proof.gone(server, 7, 9, true):sentence())
  end)

  it("wire is the rule's own count, of once at least", function()
    local lab, wanted = lab_of {}, {}
    local rule = { proof = function(_, n)
      wanted[#wanted + 1] = n
      return "seen"
    end }
    assert.are.equal("seen", lab.proof.wire(rule))
    lab.proof.wire(rule, { at_least = 3 })
    lab.proof.wire(rule, {})
    assert.are.same({ 1, 3, 1 }, wanted)
  end)
end)
