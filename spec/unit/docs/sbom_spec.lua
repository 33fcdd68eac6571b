-- The bill of materials that `make sbom` writes: every pin is in it, and it has CycloneDX 1.5's shape.
local fs = require "rlab.fs"
local json = require "rlab.json"
local schema = require "spec.support.json_schema"
local tools = require "rlab.stack.tools"

-- of the format's own schema, what we use
local SHAPE = {
  type = "object", additionalProperties = false,
  required = { "bomFormat", "specVersion", "version", "metadata", "components", "dependencies" },
  properties = {
    bomFormat = { const = "CycloneDX" }, specVersion = { const = "1.5" },
    version = { type = "integer", minimum = 1 },
    metadata = { type = "object", required = { "component" } },
    components = { type = "array", items = {
      type = "object", additionalProperties = false,
      required = { "type", "name", "bom-ref", "purl", "scope" },
      properties = {
        type = { enum = { "library", "application", "container" } },
        name = { type = "string", pattern = "^[^ ]+$" },
        group = { type = "string" }, version = { type = "string" },
        ["bom-ref"] = { type = "string" },
        purl = { type = "string", pattern = "^pkg:[a-z]+/[^ ]+$" },
        scope = { enum = { "required", "optional", "excluded" } },
        hashes = { type = "array", items = { type = "object", required = { "alg", "content" }, properties = {
          alg = { const = "SHA-256" }, content = { type = "string", pattern = "^[0-9a-f]+$" } } } },
        licenses = { type = "array", items = { type = "object", required = { "license" } } },
        properties = { type = "array", items = { type = "object", required = { "name", "value" } } },
      } } },
    dependencies = { type = "array", items = { type = "object", required = { "ref", "dependsOn" } } },
  },
}

describe("the bill of materials", function()
  local folder, text, bill

  setup(function()
    folder = assert(fs.tmpdir "rlab-sbom")
    local said, status = tools.output({ "lua5.4", "deps/bill/sbom.lua", folder .. "/bill.json" }, "60s")
    assert.are.same({ code = 0 }, status, said)
    text = assert(fs.read(folder .. "/bill.json"))
    bill = assert(json.decode(text))
  end)
  teardown(function() fs.remove(folder) end)

  it("is CycloneDX 1.5, and refers to each component once", function()
    assert.are.same({}, schema.problems(SHAPE, bill, "bill"))
    local refs = {}
    for _, c in ipairs(bill.components) do
      assert.is_nil(refs[c["bom-ref"]], c["bom-ref"])
      refs[c["bom-ref"]] = true
      if c.hashes then assert.equal(64, #c.hashes[1].content, c.name) end
    end
    assert.equal(#bill.components, #bill.dependencies[1].dependsOn)
    for _, ref in ipairs(bill.dependencies[1].dependsOn) do assert.is_true(refs[ref], ref) end
  end)

  it("names every pin", function()
    local count = 0
    for key, value in ("\n" .. fs.read "deps/pins.sh"):gmatch "\n([A-Z0-9_]+)=(%S+)" do
      if not key:find "_KB$" then
        local name, version = value:match "^(.-)==(.+)$"
        assert.is_truthy(text:find(version or value, 1, true), key)
        assert.is_truthy(text:find(name or value, 1, true), key)
        count = count + 1
      end
    end
    assert.is_true(count > 30)
  end)

  it("has every jar of the locks with its checksum", function()
    local hashes = {}
    for _, c in ipairs(bill.components) do
      if c.hashes then hashes[c.hashes[1].content] = c.name end
    end
    for _, lock in ipairs { "kafka", "flyway", "debezium" } do
      for sha, file in fs.read(("deps/%s.lock"):format(lock)):gmatch "(%x+)  (%S+)" do
        assert.equal(hashes[sha], file:sub(1, #(hashes[sha] or "-")), file)
      end
    end
  end)

  it("has the packages of Debian that are built with and run", function()
    local names = {}
    for _, c in ipairs(bill.components) do names[c.name] = c.scope end
    for name, scope in pairs { ["libuv1-dev"] = "required", ["redis-server"] = "required", maven = "required",
      ["default-jre-headless"] = "required", ["lua-busted"] = "excluded", ["lua-argparse"] = "required" } do
      assert.equal(scope, names[name], name)
    end
  end)

  it("has the checksums by which pip is told to check what specs and examples use", function()
    local text_of = tools.output({ "bash", "deps/python.sh", "--requirements" }, "60s")
    local pinned = text_of:find "%-%-hash=" ~= nil -- elsewhere there is a wheel of no known checksum
    local count = 0
    for _, c in ipairs(bill.components) do
      if c.purl:find "^pkg:pypi/" and c.name ~= "schemathesis" then
        count = count + 1
        local sha = assert(c.hashes, c.name)[1].content
        local line = ("%s==%s --hash=sha256:%s"):format(c.name, c.version, sha)
        if pinned then assert.is_truthy(text_of:find(line, 1, true), line) end
      end
    end
    assert.equal(4, count)
  end)

  it("is the same each time, and no registry's address is in it", function()
    local _, status = tools.output({ "lua5.4", "deps/bill/sbom.lua", folder .. "/again.json" }, "60s")
    assert.are.same({ code = 0 }, status)
    assert.equal(text, fs.read(folder .. "/again.json"))
    assert.is_nil(text:find("://", 1, true))
  end)
end)
