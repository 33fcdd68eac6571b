-- docs/runbook.md and its Korean twin: no alert without its section, no section without its parts, and no
-- command, address, word of the prompt or metric that does not exist.
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local runbook = require "spec.unit.deploy.support.runbook"
local yaml = require "spec.unit.deploy.support.yaml"

local rules = assert(yaml.decode(assert(fs.read "deploy/prometheus/rules.yml")))
local LABELS = { en = { "Symptom", "Confirm", "Cause", "Mend", "Prevention" },
  ko = { "증상", "확인", "원인", "해결", "예방" } }

local PATHS, english, korean = runbook.PATHS, runbook.read "en", runbook.read "ko"

local function each_command(f)
  for _, section in ipairs(english) do
    for _, command in ipairs(section.commands) do f(command, section.title) end
  end
end

describe("the runbook", function()
  it("has the section that each alert links to, in both languages", function()
    local at, count = { {}, {} }, 0
    for i, list in ipairs { english, korean } do
      for _, section in ipairs(list) do at[i][section.slug] = true end
    end
    for _, group in ipairs(rules.groups) do
      for _, rule in ipairs(group.rules) do
        if rule.alert then
          local link = rule.annotations.runbook_url:match "^docs/runbook%.md#(.+)$"
          assert.equal(rule.alert:lower(), link)
          assert.is_true(at[1][link] and at[2][link] or false, rule.alert)
          count = count + 1
        end
      end
    end
    assert.is_true(count > 20)
  end)

  it("says of each symptom how to confirm it, its cause, its mend and its prevention", function()
    assert.is_true(#english > 35)
    for language, list in pairs { en = english, ko = korean } do
      for _, section in ipairs(list) do
        assert.are.same(LABELS[language], section.labels, section.title)
        assert.is_true(#section.commands > 0, section.title)
      end
    end
  end)

  it("has the same sections with the same commands in both languages", function()
    assert.equal(#english, #korean)
    for i, section in ipairs(english) do
      assert.are.same(section.commands, korean[i].commands, section.title)
    end
  end)

  it("has a section for each exit code", function()
    local text = fs.read(PATHS.en)
    for _, meaning in ipairs(require("rlab.exit").meanings) do
      if meaning[1] ~= 0 then
        local pattern = ("### Exit [^\n]*%%f[%%d]%d%%f[%%D]"):format(meaning[1])
        assert.is_truthy(text:find(pattern), "exit code " .. meaning[1])
      end
    end
  end)

  it("asks for commands, words of the prompt, addresses and metrics that there are", function()
    local api, services = fs.read "docs/api.md", fs.read "docs/services.md"
    local names = {}
    for _, command in ipairs(require("rlab.cli").commands()) do names[command.name] = true end
    local ports = {}
    for name, port in pairs(layout.ports()) do ports[port] = name end
    each_command(function(command, title)
      local word = command:match "^rlab ([%l]+)"
      if word then assert.is_true(names[word] or false, command) end
      local prompt = command:match "^echo '(%l+)[^']*' | rlab$"
      if prompt then assert.is_truthy(api:find("\n### `" .. prompt .. "[ ('%[{\"]", 1), command) end
      local port, path = command:match "^curl %-fsS localhost:(%d+)(/%S*)$"
      if port then
        assert.is_truthy(services:find("`GET " .. path:gsub("%p", "%%%0") .. "`"), command)
        assert.is_truthy(ports[math.tointeger(tonumber(port))], command)
      end
      assert.is_truthy(word or prompt or port or command:find "^rlab %-%-" or fs.exists(command),
        ("%s: %s"):format(title, command))
    end)
    for _, path in pairs(PATHS) do
      for name in fs.read(path):gmatch "`(rlab_[%l_]+)`" do
        assert.is_truthy(services:find("`" .. name .. "`", 1, true), name)
      end
    end
  end)
end)
