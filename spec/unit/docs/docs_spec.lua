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
