-- The pages say what the experiments say today: `rlab explain E-0xx --write` writes them anew,
-- with their prose.
local experiment = require "rlab.experiment"
local explain = require "rlab.experiment.explain"

describe("docs/experiments", function()
  for _, path in ipairs(experiment.names()) do
    it("has today's page of " .. path, function()
      local exp = experiment.load(path)
      local file = assert(io.open("docs/experiments/" .. exp.id .. ".md"),
        "no page: rlab explain " .. exp.id .. " --write")
      local text = file:read "a"
      file:close()
      assert.are.equal(explain.markdown(exp), text)
      assert.is_truthy(exp.why and exp.production and exp.references, exp.id .. " has no prose")
    end)

    it("is in both READMEs: " .. path, function()
      for _, name in ipairs { "README.md", "README.ko.md" } do
        local file <close> = assert(io.open(name))
        local id = experiment.load(path).id
        assert.is_truthy(file:read("a"):find(("[%s](docs/experiments/%s.md)"):format(id, id), 1, true), name)
      end
    end)
  end
end)

-- A statement about what guards what is worth as much as the code and the spec that it names.
describe("what the docs say of guards", function()
  local fs = require "rlab.fs"
  local tools = require "rlab.stack.tools"

  local KINDS = { c = true, h = true, lua = true, sh = true, lock = true, md = true }

  local function exists(path, text)
    if fs.exists(path) then return true end
    for folder in text:gmatch "`([%w_/.-]+/)[%w_.-]*`" do -- `engine/http/slow.c`, `server.c`
      if fs.exists(folder .. path) then return true end
    end
    return false
  end

  it("say how long a foreign program's transaction waits for a lock, as the stack has it", function()
    local told = assert(fs.read "docs/bring-your-own.md"):match "waits (%d+) seconds? for a row lock"
    local settings = table.concat(require("rlab.stack.settings").mysql, " ")
    assert.are.equal(settings:match "%-%-innodb%-lock%-wait%-timeout=(%d+)", told)
  end)

  for _, page in ipairs { "docs/security.md", "docs/supply-chain.md" } do
    it("names files that are there: " .. page, function()
      local text, count = assert(fs.read(page)), 0
      for path in text:gmatch "`([%w_./-]+%.[a-z]+)`" do
        if not path:find "^[~.]" and KINDS[path:match "%.([a-z]+)$"] then
          count = count + 1
          assert.is_true(exists(path, text), path)
        end
      end
      assert.is_true(count > 15)
    end)

    it("quotes specs that are there: " .. page, function()
      local text = assert(fs.read(page)):gsub("%s+", " "):gsub("```.-```", "")
      for phrase in text:gmatch ', "([%a][^"|`]+ [^"|`]+)"' do
        local _, status = tools.output({ "grep", "-rqF", phrase, "spec/unit" }, "20s")
        assert.are.same({ code = 0 }, status, phrase)
      end
    end)
  end
end)
