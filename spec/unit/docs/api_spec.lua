-- The API table is true in both directions: what a module exports is described, and what is described exists.
local api = require "rlab.docs.api"
local host = require "rlab.core_host"

-- modules that rlab uses itself; scripts have no business with them
local INTERNAL = { "about", "api", "apidoc", "cli", "core_host", "core_http", "core_metrics", "core_mysql",
  "core_proxy", "exit", "fingerprint", "experiment", "explain", "kafka_helpers",
  "kafka_transactional", "libraries", "main", "proof", "report", "role", "run", "check", "lab", "repl",
  "replay", "script", "version", "note", "installed", "usage", "options", "tables", "defer", "text", "routes",
  "urls", "sql_name", "screen", "ui", "canary" }

-- methods that other methods are made of
local PRIVATE = {
  ["kafka.producer"] = { "stop_calls" },
  ["service.context"] = { "find_route", "handle" },
  ["mysql.connection"] = { "query_prepared", "exec_prepared", "cursor_prepared", "pin", "unpin" },
}

local task = require "rlab.task"

-- classes that are not in the registry, by the functions that make them
local function class_of(object)
  local meta = getmetatable(object)
  return type(meta.__index) == "table" and meta.__index or meta
end

local function upvalue_class(f, name)
  for i = 1, 60 do
    local _, value = debug.getupvalue(f, i)
    if type(value) == "table" and rawget(value, "__name") == name then return value end
  end
end

local CLASSES = {
  ["task.task"] = function()
    local t = task.spawn(function() end)
    t:join()
    return class_of(t)
  end,
  ["task.group"] = function()
    local class
    task.group(function(g) class = class_of(g) end)
    return class
  end,
  ["http.server"] = function()
    local server <close> = assert(require("rlab.http").serve { handler = function() return "" end })
    return class_of(server)
  end,
  ["proxy.client"] = function()
    local served <close> = assert(require("rlab.proxy").serve {})
    return class_of(assert(require("rlab.proxy").connect(served.url)))
  end,
  ["proxy.server"] = function()
    local served <close> = assert(require("rlab.proxy").serve {})
    return class_of(served)
  end,
  ["service.context"] = function()
    return class_of(require("rlab.service.context").new({ name = "x" }, {}))
  end,
  ["uuid.generator"] = function() return class_of(require("rlab.uuid").new(1)) end,
  ["task.channel"] = function() return class_of(task.channel(1)) end,
  ["mysql.pool"] = function() return class_of(require("rlab.mysql").pool { size = 1 }) end,
  ["mysql.statement"] = function()
    return upvalue_class(debug.getregistry()["mysql.connection"].__index.prepare, "mysql.statement")
  end,
  ["term.live"] = function() return class_of(require("rlab.term").live()) end,
  ["stack.stack"] = function() return upvalue_class(require("rlab.stack.handle").new, "stack") end,
  ["stack.server"] = function()
    return upvalue_class(upvalue_class(require("rlab.stack.handle").new, "stack").server, "server")
  end,
}

-- types whose methods are no table: spec/live looks at them with a real record
local BY_HAND = { ["kafka.record"] = true }

local function upvalue(f, wanted)
  for i = 1, 60 do
    local name, value = debug.getupvalue(f, i)
    if not name then return nil end
    if name == wanted then return value end
  end
end

-- what the lab object consists of inside; scenarios do not call these
local LAB_INSIDE = { "begin", "happened", "note_client", "close", "duration", "settings", "start_sampler",
  "stop_sampler", "unproved", "possible_fault" }

-- and a child: what the lab keeps of it for the proofs
local CHILD_INSIDE = { "close", "prove_hits", "note_arming", "log", "ending" }

-- the methods of a C type whose __index is a function are among its upvalues
local function methods_of_function(index)
  local found = {}
  for i = 1, 10 do
    local name, value = debug.getupvalue(index, i)
    if not name then break end
    if type(value) == "table" then
      for key, method in pairs(value) do
        if type(key) == "string" and type(method) == "function" then found[key] = true end
      end
    end
  end
  return found
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

local function methods_of(class)
  local found = {}
  for name, value in pairs(class) do
    if type(name) == "string" and type(value) == "function" and not name:find "^__" then
      found[name] = true
    end
  end
  return found
end

local function actual_methods(full, t)
  if CLASSES[full] then return methods_of(CLASSES[full]()) end
  local meta = debug.getregistry()[t.meta]
  assert(meta, "no metatable '" .. tostring(t.meta) .. "' for " .. full)
  if type(meta.__index) == "function" then return methods_of_function(meta.__index) end
  return methods_of(meta.__index)
end

local function documented(list)
  local set = {}
  for _, entry in ipairs(list or {}) do
    assert(not set[entry[1]], "described twice: " .. entry[1])
    set[entry[1]] = true
  end
  return set
end

local function compare(what, described, actual, except)
  local wrong = {}
  for name in pairs(actual) do
    if not described[name] and not (except and except[name]) then
      wrong[#wrong + 1] = what .. name .. " is not described"
    end
  end
  for name in pairs(described) do
    if not actual[name] then wrong[#wrong + 1] = what .. name .. " is described but does not exist" end
  end
  table.sort(wrong)
  return table.concat(wrong, "\n")
end

local function exported_modules()
  local names = {}
  for _, file in ipairs(host.embedded_names "lua/rlab/") do
    local name = file:match "^lua/rlab/([%w_]+)%.lua$" or file:match "^lua/rlab/([%w_]+)/init%.lua$"
    if name then names[name] = true end
  end
  for name in pairs(package.preload) do
    local own = name:match "^rlab%.([%w_]+)$"
    if own then names[own] = true end
  end
  return names
end

describe("the API table", function()
  it("knows every module, and only those that exist", function()
    local described = {}
    for _, noun in ipairs(api.nouns()) do
      if noun.kind == "module" then described[noun.module] = true end
    end
    assert.equal("", compare("rlab.", described, exported_modules(), set_of(INTERNAL)))
  end)

  for _, noun in ipairs(api.nouns()) do
    if noun.kind == "module" then
      it("describes rlab." .. noun.module .. " as it is", function()
        local module = require("rlab." .. noun.module)
        if noun.functions then
          local fields = {}
          for _, text in ipairs(noun.fields or {}) do fields[api.parse_param(text).name] = true end
          local described, actual = documented(noun.functions), {}
          for name in pairs(fields) do described[name] = true end
          for name in pairs(module) do actual[name] = true end
          assert.equal("", compare("rlab." .. noun.module .. ".", described, actual))
        end
        for _, t in ipairs(noun.types or {}) do
          local full = noun.module .. "." .. t.name
          if not BY_HAND[full] then
            assert.equal("", compare(full .. ":", documented(t.methods), actual_methods(full, t),
              PRIVATE[full] and set_of(PRIVATE[full])))
          end
        end
      end)
    end
  end

  it("describes the lab object, roles and checks as they are", function()
    local types = {}
    for _, t in ipairs(api.noun("experiment").types) do types[t.name] = documented(t.methods) end
    local lab = require("rlab.lab")
    assert.equal("", compare("lab:", types.lab, methods_of(upvalue(lab.new, "Lab")), set_of(LAB_INSIDE)))
    assert.equal("", compare("role:", types.role,
      methods_of(upvalue(require("rlab.lab.roles").start, "Role")), set_of(CHILD_INSIDE)))
    assert.equal("", compare("service:", types.service,
      methods_of(upvalue(require("rlab.lab.services").service, "Service") or
      upvalue(upvalue(require("rlab.lab.services").service, "spawn"), "Service")),
        set_of(CHILD_INSIDE)))
    assert.equal("", compare("load:", types.load, methods_of(upvalue(require("rlab.lab.load").load, "Load"))))
    local own = upvalue(require("rlab.lab.process").process, "spawn")
    assert.equal("", compare("process:", types.process, methods_of(upvalue(own, "Process")),
      set_of(CHILD_INSIDE)))
    assert.equal("", compare("fault:", types.fault,
      methods_of(upvalue(upvalue(require("rlab.lab.faults").fault, "undeclared"), "Fault"))))
    assert.equal("", compare("lab.proof.", types.proof, methods_of(require "rlab.proof.makers"),
      set_of { "hits_of_arming" }))
    local checks = methods_of(upvalue(require("rlab.check").bind, "checkers"))
    checks.expect, checks.agree = true, true -- made of checks
    assert.equal("", compare("lab.check.", types.check, checks))
  end)

  it("describes every word of the prompt", function()
    local words = {}
    require("rlab.repl.words").install { words = words, clients = {} }
    assert.equal("", compare("", documented(api.noun("prompt").functions), words))
  end)

  it("has a signature that begins with the name, a sentence, and readable parameters everywhere", function()
    for _, noun in ipairs(api.nouns()) do
      assert.is_true(#noun.doc > 10, noun.module)
      local entries = table.move(noun.functions or {}, 1, #(noun.functions or {}), 1, {})
      for _, t in ipairs(noun.types or {}) do
        for _, field in ipairs(t.fields or {}) do api.parse_param(field) end
        for _, entry in ipairs(t.methods or {}) do entries[#entries + 1] = entry end
      end
      for _, entry in ipairs(entries) do
        local what = noun.module .. " " .. entry[1]
        assert.equal(entry[1], entry[2]:match "^[%w_%.:]*":match "[%w_]+$",
          what .. ": signature " .. entry[2])
        assert.is_true(type(entry[3]) == "string" and #entry[3] > 5, what)
        for _, text in ipairs(entry.params or {}) do api.parse_param(text) end
        if entry.example and noun.kind ~= "dsl" then
          local chunk, message = load((entry.example:gsub("%.%.%. end", "end")))
          if not chunk then chunk, message = load("return " .. entry.example) end
          assert(chunk, what .. ": the example does not compile: " .. tostring(message))
        end
      end
    end
  end)

  it("is what docs/api.md says", function()
    local file = assert(io.open "docs/api.md")
    local page = file:read "a"
    file:close()
    assert.is_true(page == require("rlab.docs.write").markdown(),
      "docs/api.md is old; run: ./rlab api --write")
  end)

  it("makes a page with every name, and definitions that compile", function()
    local doc = require "rlab.docs.write"
    local page = doc.markdown()
    for _, noun in ipairs(api.nouns()) do
      for _, entry in ipairs(noun.functions or {}) do
        assert.truthy(page:find(entry[2], 1, true), entry[2])
      end
    end
    local chunk, message = load(doc.lua(), "=rlab.lua")
    assert(chunk, message)
  end)
end)
