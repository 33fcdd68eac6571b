-- The registry's client against the real one: Apicurio by its Confluent-compatible API.
local must = require "rlab.must"
local schema = require "rlab.schema"
local stack = require "rlab.stack"
local uuid = require "rlab.uuid"

local function entry(...)
  local fields = { '{"name":"id","type":"string"}', ... }
  return ('{"type":"record","name":"Entry","fields":[%s]}'):format(table.concat(fields, ","))
end
local AMOUNT, TEXT = '{"name":"amount","type":"long"}', '{"name":"amount","type":"string"}'
local NOTE = '{"name":"note","type":"string","default":"-"}'

describe("a Schema Registry", function()
  local held, registry, subject

  setup(function()
    held = must(stack.open { needs = { "registry" }, start = true })
    registry = schema.open { url = held.registry.url }
  end)
  teardown(function()
    registry:close()
    held:close()
  end)
  before_each(function() subject = uuid.v7() .. "-value" end)

  it("gives the same id for the same schema, and finds it by id and by version", function()
    local id = must(registry:register(subject, entry(AMOUNT)))
    assert.are.equal(id, must(registry:register(subject, entry(AMOUNT))))
    local second = must(registry:register(subject, entry(AMOUNT, NOTE)))
    assert.are.same({ 1, 2 }, must(registry:versions(subject)))
    local latest, first = must(registry:get(subject)), must(registry:get(subject, 1))
    assert.are.same({ second, 2, subject, "AVRO" },
      { latest.id, latest.version, latest.subject, latest.type })
    assert.are.same({ id, 1 }, { first.id, first.version })
    assert.are.equal(first.schema, must(registry:get(id)).schema)
    local there = false
    for _, name in ipairs(must(registry:subjects())) do there = there or name == subject end
    assert.is_true(there)
  end)

  it("refuses with the registry's own codes", function()
    local function code(_, failure) return failure and failure.code end
    assert.are.equal(40401, code(registry:get(subject)))
    assert.are.equal(40403, code(registry:get(2000000000)))
    must(registry:register(subject, entry(AMOUNT)))
    assert.are.equal(40402, code(registry:get(subject, 7)))
    assert.are.equal(42201, code(registry:register(subject, '{"type":"recrod"}')))
    assert.are.equal(400, code(registry:mode(subject, "SIDEWAYS"))) -- Confluent's has 42203 for it
  end)

  it("refuses what the mode forbids, and says before that it would", function()
    assert.are.equal("BACKWARD", must(registry:mode(subject, "BACKWARD")))
    must(registry:register(subject, entry(AMOUNT)))
    local fits, why = registry:check(subject, entry(TEXT))
    assert.are.same({ false, "string" }, { fits, type(why) })
    local id, refused = registry:register(subject, entry(TEXT))
    assert.is_nil(id)
    assert.are.same({ 409, "INCOMPATIBLE" }, { refused.code, refused.name })
    assert.is_true((registry:check(subject, entry(AMOUNT, NOTE))))
    assert.are.equal("NONE", must(registry:mode(subject, "NONE")))
    must(registry:register(subject, entry(TEXT)))
  end)

  it("keeps the schemas of records", function()
    local id = must(registry:register(subject, entry(AMOUNT)))
    local bytes = must(registry:encode(id, { id = "é", amount = 9007199254740993 }))
    local reader <close> = schema.open { url = held.registry.url }
    local value, by = reader:decode(bytes, entry(AMOUNT, NOTE))
    assert.are.same({ { id = "é", amount = 9007199254740993, note = "-" }, id }, { value, by })
    assert.are.equal("DECODE", select(2, reader:decode(bytes, entry(TEXT))).name)
  end)
end)
