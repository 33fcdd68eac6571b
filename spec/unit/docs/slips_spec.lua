-- Slips of the pen are told when a scenario is loaded, all at once, each with its line and what was meant.
local err = require "rlab.err"
local experiment = require "rlab.experiment"
local tokens = require "rlab.experiment.tokens"

local HEAD = [[
local f, one return experiment {
  id = "E-900", title = "t", claim = "c", arms = { wrong "early" {}, right "late" {} },
  roles = { worker = function(ctx) fail.point("worker.before_work", {}) ctx.say "done" end },
]]

local function with_file(text, f)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local ok, result = pcall(f, path)
  os.remove(path)
  return ok, result, path
end

-- what is said of this story and these checks: "line: text", the run being on line 4 and the checks on line 5
local function said(run, checks)
  local ok, failure, path = with_file(("%s  run = function(lab, arm) %s return {} end,\n\z
    checks = function(lab, seen) %s end,\n}\n"):format(HEAD, run or "", checks or ""), experiment.load)
  if ok then return "nothing" end
  assert.is_true(err.is(failure))
  assert.equal("SCRIPT", failure.name)
  return (failure.message:gsub(path:gsub("%p", "%%%0") .. ":", ""))
end

describe("a slip of the pen", function()
  it("in a word of the lab", function()
    assert.equal("4: the lab has no 'topics', did you mean 'topic'?", said 'local t = lab:topics "orders"')
    assert.equal("nothing", said 'local t = lab:topic "orders" --[[ lab:topics() ]]')
    assert.equal("nothing", said 'local s = "lab:topics(1)"')
  end)

  it("in a check, its argument and its expectation", function()
    assert.equal("5: there is no check 'lots', did you mean 'lost'?",
      said(nil, 'lab.check.lots { of = {}, in_ = {} }:expect "holds"'))
    assert.equal("5: check.lost: unknown argument 'inn_'; did you mean 'in_'?",
      said(nil, 'lab.check.lost { of = f { inn = 1 }, inn_ = {} }:expect "holds"'))
    assert.equal("5: an expectation is for wrong, right, observe or an arm; there is no arm 'rigth', \z
      did you mean 'right'?", said(nil, 'lab.check.lost { of = {}, in_ = {} }:expect { rigth = "holds" }'))
    assert.equal("nothing", said(nil,
      'lab.check.lost { of = {}, in_ = {} }:expect { wrong = { "a" }, ["late"] = "holds" }'))
  end)

  it("in an outcome", function()
    local one = "5: a check is expected as holds or violated; there is no outcome '%s'%s"
    local near = one:format("hlds", ", did you mean 'holds'?")
    assert.equal(near, said(nil, 'lab.check.lost { of = {}, in_ = {} }:expect "hlds"'))
    assert.equal(near, said(nil, 'lab.check.lost({ of = f { 1 }, in_ = {} }):expect { wrong = "violated", \z
      right = "hlds" }'))
    assert.equal("nothing", said(nil, 'lab.check.lost { of = {}, in_ = {} }:expect("violated") \z
      local p = lab:process { cmd = {} } p:expect "ready"'))
  end)

  it("in how a child is to end, and in a duration", function()
    assert.equal("4: wait_exit has no 'singal'; did you mean 'signal'?",
      said 'f:wait_exit { singal = "KILL" }')
    assert.equal("4: there is no signal 'KIL', did you mean 'KILL'?", said 'f:wait_exit({ signal = "KIL" })')
    local no = [[4: '30 sec' is no duration; write "200ms", "5s" or "1m30s"]]
    assert.equal(no, said 'f:wait_exit { code = 1, at_most = "30 sec" }')
    assert.equal(no, said 'f:expect("done", "30 sec")')
    assert.equal("nothing", said 'f:wait_exit { signal = "none", at_most = "1m30s" } f:expect("done", "30s")')
  end)

  it("in what an arm is set to, and in the limit of one", function()
    local function of(old, new)
      local text = HEAD:gsub(old, new) .. "run = function() end, checks = function() end }\n"
      local ok, failure = with_file(text, experiment.load)
      assert.is_false(ok)
      return failure.message:match ":2: (.*)"
    end
    assert.equal("arm 'early': 'f' is a function; a setting is written down with the run: a text, a number, \z
      true, false or a table of these", of('"early" {}', '"early" { f = print }'))
    assert.equal([[limit: '5 minutes' is no duration; write "90s" or "3m"]],
      of('title = "t"', 'title = "t", limit = "5 minutes"'))
  end)

  it("in a name that stands for nothing", function()
    assert.equal("4: 'publissh' is not known", said "publissh(lab)")
    assert.equal("4: 'kafak' is not known, did you mean 'kafka'?", said "local p = kafak.producer {}")
    assert.equal("5: 'mzst' is not known, did you mean 'must'?", said(nil, "if mzst == 1 then end"))
    assert.equal("nothing", said [[local function own(a, ...) for i, v in pairs(a) do goto over ::over:: end
      local x <const>, y <close> = own, nil return x.what == y:name { key = v, i } .. select("#", ...) end
      local t = { own = own, other = function(this) return this, lab.whatever end }]])
    assert.equal("nothing", said "local _ENV = setmetatable({}, {}) offsets 'x'")
  end)

  it("in a failpoint's expression or name", function()
    assert.matches("^4: failpoint worker%.before_work: no action 'kil', did you mean 'kill'%?",
      said 'lab:start("worker", {}, { must_fire = { ["worker.before_work"] = "#10 kil" } })')
    assert.equal("4: rlab has no failpoint 'relay.after_akc'; did you mean 'relay.after_ack'?",
      said 'lab:service("relay", {}, { failpoints = { ["relay.after_akc"] = "kill" } })')
    assert.equal("4: rlab has no failpoint 'worker.before_wrok'; did you mean 'worker.before_work'?",
      said 'one:failpoint("worker.before_wrok", "kill", { must_fire = true })')
    assert.equal("nothing", said 'f = fail.point "mine.own" one:failpoint("mine.own", "kill")')
    assert.equal("nothing", said [[lab:start("worker", {}, { must_fire = {
      ["worker.before_work"] = "#10 kill", ["relay.after_ack"] = "kill if x=" .. arm.x } })
      one:failpoint("consumer.in_tx", "off")]])
    assert.equal("4: failpoint worker.before_work: an expression is a text, such as '#1 kill'",
      said 'lab:start("worker", {}, { must_fire = { ["worker.before_work"] = 10 } })')
  end)

  it("in a point that the service never reaches", function()
    assert.matches("^4: relay has no failpoint 'consumer.in_tx'; ",
      said 'lab:service("relay", { batch = 3 }, { must_fire = { ["consumer.in_tx"] = "#1 kill" } })')
    assert.matches("^4: relay has no failpoint 'mine.own'; ", said 'f = fail.point "mine.own" \z
      lab:service("relay", {}, { failpoints = { ["mine.own"] = "kill" } })')
    assert.equal("nothing", said 'f = fail.point "mine.own" lab:service("consumer", { handler = f }, \z
      { failpoints = { ["mine.own"] = "kill" } })')
    assert.equal("nothing", said 'lab:service("relay", {}, { failpoints = { ["relay.after_ack"] = "off" }}) \z
      lab:service("consumer", {}, { must_fire = { ["consumer.in_tx"] = "kill" } })')
  end)

  it("in the place of what lab:service takes besides options", function()
    assert.equal("4: service relay: 'must_fire' stands in the table behind the options: \z
      lab:service(\"relay\", { ... }, { must_fire = ... })",
      said 'lab:service("relay", { must_fire = { ["relay.after_ack"] = "kill" } })')
  end)

  it("in a role, a service and its options", function()
    assert.equal("4: E-900 has no role 'wroker'; did you mean 'worker'?", said 'lab:start("wroker", {})')
    assert.equal("4: E-900 has no role 'relay'; a service is started by lab:service \"relay\"",
      said 'lab:start("relay", {})')
    assert.equal("4: no service 'relai'; did you mean 'relay'?", said 'lab:service("relai", {})')
    assert.equal("4: service relay: no option 'bacth', did you mean 'batch'?",
      said 'lab:service("relay", { bacth = 3, topic = "t" })')
    assert.equal("nothing", said 'lab:service("relay", { batch = 3, topic = f { bacth = 1 } })')
  end)

  it("is told with all the others", function()
    assert.equal("4: the lab has no 'topics', did you mean 'topic'?\n\z
      5: there is no check 'lots', did you mean 'lost'?",
      said("lab:topics()", "lab.check.lots {}"))
  end)

  it("is nobody's where the file has a lab of its own", function()
    assert.equal("nothing", said "local lab = { topics = f } lab:topics()")
  end)

  it("in an arm's class is told with the word that was meant", function()
    local _, failure = with_file('return experiment { id = "E-1", arms = { rigth "a" {} } }', experiment.load)
    assert.matches(":1: 'rigth' is not known, did you mean 'right'%?", failure.message)
  end)
end)

describe("the words of a text", function()
  it("have their lines and values; comments are left out", function()
    local seen = {}
    for _, token in ipairs(tokens.list 'a = "x\\n" -- no\n--[[ no\nno ]] b[ [==[y]]\n]==] ] = 1.5') do
      seen[#seen + 1] = ("%d %s %s"):format(token.line, token.kind, token.text)
    end
    assert.same({ "1 name a", "1 symbol =", "1 string x\n", "3 name b", "3 symbol [", "3 string y]]\n",
      "4 symbol ]", "4 symbol =", "4 number 1.5" }, seen)
  end)

  it("come to an end in a text that is cut off", function()
    for _, text in ipairs { '"', "'\\", "--[[", "[==[ x", "--", "[", "x = [=" } do
      assert.is_table(tokens.list(text))
    end
  end)
end)
