-- Rows at the prompt in other forms than a grid.
local err = require "rlab.err"
local json = require "rlab.json"
local null = require "rlab.null"
local session_of = require "rlab.repl.session"
local term = require "rlab.term"

local function words()
  local s = session_of.new {}
  s.clients = {}
  require("rlab.repl.words").install(s)
  return s.words, s
end

local function rows()
  return { { id = 17, name = 'a "b", c', bytes = "\xff\0" }, { id = 18, name = "", bytes = null },
    columns = { "id", "name", "bytes" } }
end

describe("as", function()
  local as = words().as

  setup(function() term.colour_mode "never" end)
  teardown(function() term.colour_mode "auto" end)

  it("writes CSV: quotes where they are needed, bytes in hex, NULL as nothing", function()
    assert.equal('id,name,bytes\n17,"a ""b"", c",0xff00\n18,"",', tostring(as("csv", rows())))
    assert.equal('a\n"x\ny"\n" z"', tostring(as("csv", { { a = "x\ny" }, { a = " z" } })))
  end)

  it("writes JSON that is read again", function()
    local read = json.decode(tostring(as("json", rows())))
    assert.same({ 17, 'a "b", c', "0xff00" }, { read[1].id, read[1].name, read[1].bytes })
    assert.equal(null, read[2].bytes)
    assert.equal("[]", (tostring(as("json", { columns = { "n" } })):gsub("%s", "")))
  end)

  it("writes a block a row", function()
    assert.equal('row 1\n  id     17\n  name   a "b", c\n  bytes  0xff00 (2 bytes)\n'
      .. 'row 2\n  id     18\n  name   ""\n  bytes  null', tostring(as("vertical", rows())))
    assert.equal("(no rows)", tostring(as("vertical", { columns = { "n" } })))
  end)

  it("keeps columns of one name apart", function()
    assert.equal("id,id_2\n1,2", tostring(as("csv", { { 1, 2, id = 2 }, columns = { "id", "id" } })))
  end)

  it("passes an error on, and says what forms there are", function()
    local failure = err.new { domain = "mysql", code = 1, name = "X", message = "x" }
    local nothing, why = as("csv", nil, failure)
    assert.is_nil(nothing)
    assert.equal(failure, why)
    assert.error_matches(function() as("cvs", {}) end, "no form 'cvs'; did you mean 'csv'?", 1, true)
    for _, other in ipairs { 3, "x", { 1, 2 }, { text = "x" } } do
      assert.error_matches(function() as("csv", other) end, "as takes rows", 1, true)
    end
  end)
end)

describe("timing", function()
  it("is switched, or set", function()
    local all, s = words()
    all.timing()
    assert.is_true(s.timing)
    all.timing()
    assert.is_false(s.timing)
    all.timing(true)
    assert.is_true(s.timing)
  end)
end)
