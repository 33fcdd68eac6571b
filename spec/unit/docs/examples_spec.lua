-- What the Go and Node examples of docs/bring-your-own stand on, without running them: exact versions with
-- their hashes, no registry's address, and two arms that name programs that are there. `make examples`
-- runs them.
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local json = require "rlab.json"
local tools = require "rlab.stack.tools"

local AT = "docs/bring-your-own/"

local function pairs_of(text, pattern)
  local found = {}
  for name, value in text:gmatch(pattern) do found[name] = value end
  return found
end

describe("the examples of other languages", function()
  for language, programs in pairs { go = { "as_written/main.go", "consumer/main.go" },
    node = { "consumer_as_written.js", "consumer.js" } } do
    it("have a wrong and a right program each: " .. language, function()
      local exp, classes = experiment.load(AT .. language .. ".lua"), {}
      for i, arm in ipairs(exp.arms) do
        classes[i] = arm.class
        local name = arm.settings.program and arm.settings.program .. "/main.go" or arm.settings.file .. ".js"
        assert.are.equal(programs[i], name)
        assert.is_true(fs.exists(AT .. language .. "/" .. name), name)
      end
      assert.are.same({ "wrong", "right" }, classes)
    end)
  end

  it("take the Go modules that clients/ takes, at its versions and with its hashes", function()
    local VERSION, HASH = "\n\t(%S+) (v%S+)", "(%S+ v%S+) (h1:%S+)"
    local theirs, shared = pairs_of(fs.read "clients/go.mod", VERSION), 0
    for name, version in pairs(pairs_of(fs.read(AT .. "go/go.mod"), VERSION)) do
      if theirs[name] then
        shared = shared + 1
        assert.are.equal(theirs[name], version, name)
      end
    end
    assert.is_true(shared >= 3)
    local sums = pairs_of(fs.read "clients/go.sum", HASH)
    for module, hash in pairs(pairs_of(fs.read(AT .. "go/go.sum"), HASH)) do
      assert.are.equal(sums[module] or hash, hash, module)
    end
  end)

  it("take npm packages of exact versions, each with its hash, from no registry by name", function()
    local wanted = json.decode(fs.read(AT .. "node/package.json")).dependencies
    local lock, count = json.decode(fs.read(AT .. "node/package-lock.json")), 0
    for path, package in pairs(lock.packages) do
      if path ~= "" then
        count = count + 1
        assert.matches("^sha512%-", package.integrity, path)
        assert.is_nil(package.resolved, path)
        assert.is_nil(package.hasInstallScript, path)
      end
    end
    for name, version in pairs(wanted) do
      assert.are.equal(version, lock.packages["node_modules/" .. name].version)
    end
    assert.is_true(count > 2)
  end)

  it("have an arm for each relay of others and each moment, and a program for each relay", function()
    local exp, met = experiment.load(AT .. "outbox.lua"), {}
    local script, page = fs.read(AT .. "outbox/run.sh"), fs.read(AT .. "outbox-kit.md")
    for _, arm in ipairs(exp.arms) do
      local relay, moment = arm.settings.relay, arm.settings.moment
      met[moment] = (met[moment] or 0) + 1
      assert.is_truthy(script:find("\n" .. relay .. "() {", 1, true), relay)
      assert.is_true(fs.exists(AT .. "outbox/" .. relay), relay)
      assert.is_truthy(page:find(("`%s`"):format(moment), 1, true), moment)
    end
    assert.are.same({ ["sent-not-marked"] = 2, ["refused-swallowed"] = 2, ["commit-gap"] = 2, zombie = 2 },
      met)
  end)

  it("name the versions of the relays of others that were seen", function()
    local page, mod = fs.read(AT .. "outbox-kit.md"), fs.read(AT .. "outbox/watermill/go.mod")
    for _, name in ipairs { "watermill", "watermill-sql/v4", "watermill-kafka/v3" } do
      local version = mod:match("ThreeDotsLabs/" .. name:gsub("%p", "%%%0") .. " v(%S+)")
      assert.is_truthy(page:find(("%s %s"):format(name:gsub("/.*", ""), version), 1, true), name)
    end
    local debezium = fs.read("deps/pins.sh"):match "DEBEZIUM_VERSION=(%S+)"
    assert.is_truthy(page:find("Debezium " .. debezium, 1, true))
  end)

  it("say what is missing where there is no Node, and exit 69", function()
    local bin <close> = setmetatable({ path = assert(fs.tmpdir "rlab-no-node") },
      { __close = function(self) fs.remove(self.path) end })
    for _, tool in ipairs { "dirname", "mkdir" } do
      tools.output({ "ln", "-s", assert(tools.which(tool)), bin.path .. "/" .. tool }, "10s")
    end
    local said, status = tools.output({ "env", "-i", "PATH=" .. bin.path, "HOME=" .. bin.path, "/bin/sh",
      AT .. "node/run.sh", "consumer" }, "10s")
    assert.are.same({ code = 69 }, status)
    assert.matches("no Node found: install nodejs", said)
  end)
end)
