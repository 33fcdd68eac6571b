local err = require "rlab.err"
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local host = require "rlab.core_host"
local process = require "rlab.process"

-- edited(path, title) -> a folder where that experiment lies with another title, what is said of it
local function edited(path, title)
  local folder = assert(fs.tmpdir "rlab-edited")
  assert(fs.mkdir(folder .. "/" .. path:match "^(.*)/"))
  assert(fs.write(folder .. "/" .. path, (assert(host.embedded(path)):gsub('\n  title = "[^"]*"',
    ('\n  title = "%s"'):format(title), 1))))
  return folder, "rlab: %s of this folder is read; it is not the text of E-012 in rlab\n"
end

local function rlab_in(folder, ...)
  local p <close> = assert(process.spawn { cmd = { assert(fs.self_exe()), ... }, cwd = folder,
    stdout = "capture", stderr = "capture" })
  local status = assert(p:wait "60s")
  local said, complaint = p:output()
  return said, complaint, status.code
end

local function load_text(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local ok, result = pcall(experiment.load, path)
  os.remove(path)
  return ok, result
end

local body = [[
return experiment {
  id = "E-900", title = "t", claim = "c", %s
  arms = { wrong "a" {}, right "b" {} },
  run = function() return {} end, checks = function() end,
}]]

local function refusal(text)
  local ok, failure = load_text(text)
  assert.is_false(ok)
  assert.is_true(err.is(failure))
  assert.are.equal("SCRIPT", failure.name)
  return failure.message
end

describe("an experiment file", function()
  it("loads, with its arms in order", function()
    local ok, exp = load_text(body:format "")
    assert.is_true(ok)
    assert.are.same({ "wrong", "right" }, { exp.arms[1].class, exp.arms[2].class })
    assert.are.equal("a", exp:arm("a").name)
  end)

  it("names an unknown field and the nearest one, with the line", function()
    local message = refusal(body:format "leson = 'x',")
    assert.matches("did you mean 'lesson'", message)
    assert.matches(":2:", message)
  end)

  it("names a wrong type and an unknown need", function()
    assert.matches("'needs' must be a table", refusal(body:format "needs = 'kafka',"))
    assert.matches("did you mean 'kafka'", refusal(body:format "needs = { 'kafla' },"))
  end)

  it("refuses globals, a missing return and syntax errors with file and line", function()
    assert.matches("would be a global", refusal "count = 1 return experiment {}")
    assert.matches("must return experiment", refusal "return 7")
    assert.matches(":1:", refusal "return experiment {")
  end)

  it("refuses two arms of one name and an arm that is none", function()
    assert.matches("two arms are called 'a'", refusal(body:format "":gsub('right "b"', 'right "a"')))
    assert.matches("arm 2 is no arm", refusal(body:format "":gsub('right "b" {}', '{}')))
  end)

  it("says which debts an arm is expected not to keep", function()
    local ok, exp = load_text(body:format "owes = { sent = { a = 'violated', right = 'holds' } },")
    assert.is_true(ok)
    assert.are.same({ sent = { a = "violated", right = "holds" } }, exp.owes)
    assert.are.same({}, select(2, load_text(body:format "")).owes)
    assert.is_true((load_text(body:format "owes = { sent = 'violated' },")))
    assert.matches("owes.sent: there is no arm 'rihgt', did you mean 'right'?",
      refusal(body:format "owes = { sent = { rihgt = 'violated' } },"), 1, true)
    assert.matches('owes.sent: a debt is expected as "holds" or "violated"',
      refusal(body:format "owes = { sent = 3 },"), 1, true)
  end)

  it("says which of its needs it disrupts, and which arms run side by side", function()
    local ok, exp = load_text(body:format
      "needs = { 'kafka', 'mysql' }, disrupts = { 'kafka' }, side_by_side = { { 'a', 'b' } },")
    assert.is_true(ok)
    assert.are.same({ "kafka" }, exp.disrupts)
    assert.matches("it disrupts 'redis' and does not need it", refusal(body:format "disrupts = { 'redis' },"))
    assert.matches("restarts the brokers",
      refusal(body:format "needs = { 'kafka', 'partition' }, disrupts = { 'kafka' },"))
    assert.matches("side_by_side: there is no arm 'bb'", refusal(body:format "side_by_side = { { 'bb' } },"))
  end)

  it("is found by id in either case, with a suggestion", function()
    assert.are.equal("experiments/E-012.lua", experiment.find "e-012")
    local ok, failure = pcall(experiment.find, "E-112")
    assert.is_false(ok)
    assert.matches("did you mean E%-012", failure.message)
  end)

  it("is read from the folder when it is named by a path, and is rlab's own by its id", function()
    local mine = "experiments/E-012.lua"
    local folder, note = edited(mine, "A title of mine")
    local function titled(word)
      local said, complaint, code = rlab_in(folder, "explain", word, "--json")
      assert.equal(0, code, complaint)
      return require("rlab.json").decode(said).title, complaint
    end
    assert.same({ "A title of mine", note:format(mine) }, { titled(mine) })
    assert.same({ "A title of mine", "" }, { titled("./" .. mine) })
    assert.same({ experiment.load(mine).title, "" }, { titled "E-012" })
    assert(fs.write(folder .. "/" .. mine, assert(host.embedded(mine))))
    assert.same({ experiment.load(mine).title, "" }, { titled(mine) })
    assert(fs.remove(folder .. "/" .. mine))
    assert.same({ experiment.load(mine).title, "" }, { titled(mine) })
    fs.remove(folder)
  end)

  it("is repeated, in a process of its own, by the word that finds the same file", function()
    assert.equal("E-012", experiment.word "experiments/E-012.lua")
    assert.equal("./experiments/E-012.lua", experiment.word "./experiments/E-012.lua")
  end)

  it("ships experiments that all load", function()
    local names = experiment.names()
    assert.is_true(#names >= 3)
    for _, path in ipairs(names) do assert.is_truthy(experiment.load(path).id) end
  end)
end)
