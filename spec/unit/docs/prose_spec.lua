-- The prose of an experiment is read from its page, and the page is written from it again.
local experiment = require "rlab.experiment"
local explain = require "rlab.experiment.explain"
local fs = require "rlab.fs"
local must = require "rlab.must"
local prose = require "rlab.experiment.prose"

local PAGE = [[
# E-901: A title

**Question.** Anything here is written from the Lua file.

## Arms

| class | arm |
|---|---|
| wrong | x |

## Why it happens

One paragraph that
goes on.

Another one.

| from | to | message | class |
|---|---|---|---|
| a | b | one \| two | wrong |
| b | a | three |  |

## In production

- Do this,
  and that.
- Not this.

## References

- A paper (with an aside) (Somebody, 2001)
- A thing without a place
]]

local function complaint(text, path)
  local ok, failure = pcall(prose.parse, text, path or "E-901.md", "E-901")
  assert.is_false(ok)
  return failure.name, failure.message
end

describe("the prose of a page", function()
  it("is its paragraphs, sequence, advice and references", function()
    assert.are.same({
      why = { text = "One paragraph that goes on.\n\nAnother one.",
        sequence = { { from = "a", to = "b", text = "one | two", class = "wrong" },
          { from = "b", to = "a", text = "three" } } },
      production = { "Do this, and that.", "Not this." },
      references = { { text = "A paper (with an aside)", where = "Somebody, 2001" },
        { text = "A thing without a place" } },
    }, prose.parse(PAGE, "E-901.md", "E-901"))
  end)

  it("is nothing where the file is the page of something else", function()
    assert.is_nil(prose.parse("# Notes\n\n## Whatever\n", "E-901.md", "E-901"))
    assert.is_nil(prose.parse(PAGE, "E-902.md", "E-902"))
  end)

  for what, case in pairs {
    ["a section that is none"] = { "## Why it hapens\n", "E-901.md:2: a page has no section 'Why it hapens', "
      .. "did you mean 'Why it happens'?" },
    ["a why without words"] = { "## Why it happens\n\n", "E-901.md:2: '## Why it happens' says nothing" },
    ["another table"] = { "## Why it happens\nx\n\n| a | b |\n|---|---|\n",
      "E-901.md:5: the sequence is a table | from | to | message | class |" },
    ["a step that lacks a cell"] = {
      "## Why it happens\nx\n\n| from | to | message | class |\n|---|---|---|---|\n| a | b | c |\n",
      "E-901.md:7: a step of the sequence has 4 cells: | from | to | message | class |" },
    ["a class that is none"] = {
      "## Why it happens\nx\n\n| from | to | message | class |\n|---|---|---|---|\n| a | b | c | bad |\n",
      "E-901.md:7: a step's class is wrong, right or empty, not 'bad'" },
    ["a list that is none"] = { "## In production\n\nDo it.\n",
      "E-901.md:4: '## In production' is a list: a line begins with '- ', or goes on indented" },
  } do
    it("complains about " .. what .. " with file and line", function()
      local name, message = complaint("# E-901: A title\n" .. case[1])
      assert.are.equal("SCRIPT", name)
      assert.are.equal(case[2], message)
    end)
  end

  it("says what to do when the page was emptied by writing it onto itself", function()
    local _, message = complaint "\n"
    assert.is_truthy(message:find("rlab explain E-901 --write", 1, true), message)
  end)

  it("is looked for where the experiment's page is", function()
    assert.are.same({ "docs/experiments/E-901.md", "experiments/E-901.md" },
      prose.places "./experiments/E-901.lua")
    assert.are.same({ "/somewhere/mine.md" }, prose.places "/somewhere/mine.lua")
  end)
end)

describe("an experiment of one's own", function()
  local LUA = [[return experiment { id = "E-901", title = "A title", claim = "A claim.", needs = { "kafka" },
    arms = { wrong "x" {} }, run = function() end, checks = function() end%s }]]

  local function scenario(more, page)
    local dir = assert(fs.tmpdir "prose")
    finally(function() fs.remove(dir) end)
    assert(fs.write(dir .. "/mine.lua", LUA:format(more)))
    if page then assert(fs.write(dir .. "/mine.md", page)) end
    return experiment.load(dir .. "/mine.lua")
  end

  it("has its prose beside it, and its page is written again with it", function()
    local exp = scenario("", PAGE)
    assert.are.equal("One paragraph that goes on.\n\nAnother one.", exp.why.text)
    local again = prose.parse(explain.markdown(exp), "again.md", "E-901")
    assert.are.same({ why = exp.why, production = exp.production, references = exp.references }, again)
  end)

  it("has its prose inline, whatever lies beside it", function()
    local exp = scenario(', why = { text = "Because." }', PAGE)
    assert.are.equal("Because.", exp.why.text)
    assert.is_nil(exp.production)
  end)

  it("may have none", function()
    assert.is_nil(scenario("").why)
  end)
end)

describe("a scenario that works with a module", function()
  it("is told of without what only the module knows", function()
    local dir = must(fs.tmpdir "rlab-spec-page")
    local path = dir .. "/mine.lua"
    must(fs.write(path, [[
local mine = require "mine"
return experiment { id = "E-901", title = "A title", claim = "A claim.",
  needs = {}, arms = { right "ours" (mine.of "words") },
  run = function() end, checks = function() end }
]]))
    local exp = experiment.peek(path)
    fs.remove(dir)
    assert.truthy(explain.text(exp):find("ours", 1, true))
    assert.truthy(explain.markdown(exp):find("`ours`", 1, true))
  end)
end)
