-- docs/services.md and docs/openapi say what the services have: each option, route, metric and failpoint, in
-- both directions.
local away = dofile "spec/support/away.lua"
local fs = require "rlab.fs"
local http = require "rlab.http"
local http_api = require "rlab.docs.http_api"
local json = require "rlab.json"
local openapi = require "rlab.docs.openapi"
local options = require "rlab.service.options"
local pages = require "rlab.docs.service_pages"
local points = require "rlab.failpoint.points"
local promlint = dofile "spec/support/formats/promlint.lua"
local schema = dofile "spec/support/json_schema.lua"
local service = require "rlab.service"
local tables = require "rlab.tables"

local page = assert(fs.read "docs/services.md")
local services = service.names()

-- Each Lua file below a folder, or the file itself.
local function sources(path, found)
  local entries = not path:find "%.lua$" and fs.list(path)
  if not entries then
    if path:find "%.lua$" then found[#found + 1] = assert(fs.read(path)) end
    return found
  end
  for _, entry in ipairs(entries) do
    sources(path .. "/" .. (type(entry) == "table" and entry.name or entry), found)
  end
  return found
end

local own_code = sources("lua/service", {})
local shared_code = sources("lua/rlab/service", {})

-- ---- the page ----

describe("docs/services.md", function()
  it("has today's tables (rlab api --write)", function()
    assert.are.equal(page, pages.replaced(page))
  end)

  it("has a part and a made table of each service, and of what all share", function()
    for _, name in ipairs(tables.append({ "every service", "backfill" }, services)) do
      assert(page:find(("<!-- made by rlab api --write: %s -->"):format(name), 1, true), name)
    end
    for _, name in ipairs(services) do assert(page:find("\n## " .. name .. "\n", 1, true), name) end
  end)

  it("has each option and each failpoint", function()
    local count = 0
    for _, name in ipairs(services) do
      for _, row in ipairs(options.rows(service.load(name))) do
        count = count + 1
        assert(page:find(("| `%s` | "):format(row.flag), 1, true), name .. " " .. row.flag)
      end
    end
    assert.is_true(count > 150)
    for _, name in ipairs(points.services()) do
      for _, point in ipairs(points.list(name)) do
        local row = ("| `%s` | "):format(point.name)
        if point.service == name then assert(page:find(row, 1, true), point.name) end
      end
    end
  end)

  it("says what each metric is in a sentence, and what each service does in a phrase", function()
    local count = 0
    for name, help in page:gmatch "\n| `([%w_]+)` | %l+ |[^|\n]*|[^|\n]*| ([^|\n]+) |" do
      count = count + 1
      assert.matches("^[%u%d].*%.$", help, name)
    end
    assert.is_true(count > 80, count)
    for _, name in ipairs(services) do assert.matches("^%l.*[^.]$", service.load(name).help, name) end
  end)

  it("says what a service guarantees, and what not", function()
    for _, name in ipairs(services) do
      local part = page:match("\n## " .. name .. "\n(.-)\n## ")
      assert.matches("What it guarantees with its\ndefaults", part:gsub("its defaults", "its\ndefaults"))
      assert.matches("What it does not", part)
    end
  end)
end)

-- ---- routes ----

local function routes_in(codes, pattern)
  local found = {}
  for _, text in ipairs(codes) do
    for method, path in text:gmatch(pattern) do found[method .. " " .. path] = true end
  end
  return found
end

local function declared(lists)
  local found = {}
  for _, list in pairs(lists) do
    for _, route in ipairs(list) do found[route[1] .. " " .. route[2]] = true end
  end
  return found
end

describe("the table of routes", function()
  it("has those of the code, and no other", function()
    assert.same(routes_in(own_code, 'ctx:route%("(%u+)", "([^"]+)"'), declared(http_api.services))
    assert.same(routes_in(shared_code, 'admin%(ctx, "(%u+)", "([^"]+)"'), declared { http_api.every })
    assert.same(services, tables.sorted_keys(http_api.services))
  end)
end)

-- ---- what a running service says ----

-- The methods that a path has, as the service tells who asks by another one.
local function allowed(url, path)
  local answer = assert(http.request { method = "PATCH", url = url .. path:gsub("{[%w_]+}", "1") })
  assert.equal(405, answer.status, path)
  local set = {}
  for word in answer.headers.allow:gmatch "%u+" do set[word] = true end
  return set
end

local function methods_of(routes)
  local by_path = {}
  for _, route in ipairs(routes) do
    by_path[route[2]] = by_path[route[2]] or {}
    by_path[route[2]][route[1]] = true
    if route[1] == "GET" then by_path[route[2]].HEAD = true end
  end
  return by_path
end

-- An answer that needs no server is one that the document knows.
local function check_answer(document, url, route)
  local answer = assert(http.get(url .. route[2]:gsub("{[%w_]+}", "1"), { timeout = "30s" }))
  local known = document.paths[route[2]].get.responses[tostring(answer.status)]
  assert(known, ("GET %s: %d is not described"):format(route[2], answer.status))
  local kind = answer.headers["content-type"]:match "^[^;]+"
  local content = known.content[kind]
  assert(content, ("GET %s: %d as %s"):format(route[2], answer.status, kind))
  if kind == "text/plain" then return end
  local shape = { ["$ref"] = content.schema["$ref"], ["$defs"] = document.components.schemas }
  assert.same({}, schema.problems(shape, json.decode(answer.body), route[2]))
end

describe("a running service", function()
  for _, name in ipairs(services) do
    it("of the name " .. name .. " has the routes and answers of the table", function()
      local p <close> = away.service(name)
      local url, document = away.ready(p), json.decode(openapi.text(name))
      for _, list in ipairs { http_api.every, http_api.services[name] } do
        for path, methods in pairs(methods_of(list)) do assert.same(methods, allowed(url, path), path) end
        for _, route in ipairs(list) do
          if route[1] == "GET" then check_answer(document, url, route) end
        end
      end
    end)
  end
end)

-- Bodies that the service takes and some that it does not: its schema must know each for what it is.
local BODIES = {
  NewAccount = { path = "/accounts", '{}', '{"id": 1}', '{"id": 9223372036854775807}', '{"id": 0}',
    '{"id": -1}', '{"id": "1"}', '{"id": 1.5}', '{"id": null}', '{"id": 1, "balance": 7}', '{"ID": 1}',
    "[]", "[1]", "5", "null" },
  NewEntry = { path = "/accounts/1/entries", '{"amount": 1, "request_id": "a"}',
    '{"amount": -5, "request_id": "한글"}', '{"amount": 0, "request_id": "a"}', '{"request_id": "a"}',
    '{"amount": 1, "request_id": ""}', '{"amount": 1, "request_id": "a\\nb"}',
    '{"amount": 1, "request_id": "a\\u007f"}', '{"amount": 1, "request_id": 5}',
    '{"amount": "1", "request_id": "a"}', '{"amount": 1, "request_id": "a", "currency": "EUR"}',
    ('{"amount": 1, "request_id": "%s"}'):format(("x"):rep(128)),
    ('{"amount": 1, "request_id": "%s"}'):format(("x"):rep(129)) },
}

describe("a request's body", function()
  it("is refused where a key is there twice, since each reader would take another", function()
    local p <close> = away.service("command", { "--deadline", "100ms" })
    local body = '{"amount": 1, "request_id": "a", "amount": 100}'
    local answer = assert(http.post(away.ready(p) .. "/accounts/1/entries", body,
      { headers = { ["content-type"] = "application/json" } }))
    assert.equal(400, answer.status)
    assert.matches("the key 'amount' is there twice", answer.body, 1, true)
  end)

  it("is taken exactly where its schema takes it", function()
    local p <close> = away.service("command", { "--deadline", "100ms" })
    local url, shapes = away.ready(p), json.decode(openapi.text "command").components.schemas
    for name, bodies in pairs(BODIES) do
      local outcomes, shape = {}, { ["$ref"] = name, ["$defs"] = shapes }
      for _, body in ipairs(bodies) do
        local fits = #schema.problems(shape, json.decode(body)) == 0
        local answer = assert(http.post(url .. bodies.path, body,
          { headers = { ["content-type"] = "application/json" } }))
        assert.equal(fits, answer.status ~= 400, ("%s: %d"):format(body, answer.status))
        outcomes[fits] = true
      end
      assert.same({ [true] = true, [false] = true }, outcomes)
    end
  end)
end)

-- ---- metrics ----

local KINDS = { "counter", "gauge", "histogram", "summary", "untyped" }

-- name -> {type, meaning} of the page's rows
local function documented()
  local rows = {}
  for name, kind, unit, meaning in page:gmatch "\n| `([%w_]+)` | (%l+) | ([^|]*) | [^|]* | ([^|\n]*) |" do
    if tables.contains(KINDS, kind) then
      assert(unit:find "%S", name .. " has no unit")
      assert.is_nil(rows[name], name)
      rows[name] = { kind, meaning }
    end
  end
  return rows
end

local OTHERS_NAMES = { '"(http_server_[%l_]+)"', '"(kafka_[%l]+_[%l_]+)"', '"(kafka_brokers)"',
  '"(cache_gets_total)"', '"(db_client_[%l_]+)"' }

local function told(text)
  local rows = {}
  for name, meaning, kind in text:gmatch "# HELP ([%w_]+) ([^\n]*)\n# TYPE %S+ (%l+)" do
    rows[name] = { kind, meaning }
  end
  return rows
end

describe("the metrics", function()
  local rows, seen = documented(), {}

  for _, words in ipairs { { "command" }, { "command", "--mode", "direct-queued", "--cache", "queued" },
    { "relay" }, { "consumer" }, { "query" }, { "replay" }, { "exporter" } } do
    it("of " .. table.concat(words, " ") .. " are in docs/services.md, with type and meaning", function()
      local p <close> = away.service(words[1], table.move(words, 2, #words, 1, {}))
      local url = away.ready(p)
      assert(http.get(url .. "/failpoints"))
      local body = assert(http.get(url .. "/actuator/prometheus")).body
      assert.same({}, promlint.problems(body))
      assert.equal("", promlint.promtool(body) or "")
      for name, row in pairs(told(body)) do
        assert.same(row, rows[name], name)
        seen[name] = true
      end
    end)
  end

  it("that need a server are there as the code has them, and no others", function()
    for _, codes in ipairs { own_code, shared_code } do
      for _, text in ipairs(codes) do
        for name in text:gmatch '"(rlab_[%l_]+%l)"' do
          if not tables.contains(services, name:sub(6)) then
            assert(rows[name], name .. " is not in docs/services.md")
            seen[name] = true
          end
        end
        for _, pattern in ipairs(OTHERS_NAMES) do
          for name in text:gmatch(pattern) do
            assert(rows[name], name .. " is not in docs/services.md")
            seen[name] = true
          end
        end
      end
    end
    seen.rlab_replay_lag = true
    assert.same(tables.sorted_keys(rows), tables.sorted_keys(seen))
  end)
end)

-- ---- OpenAPI ----

describe("docs/openapi", function()
  it("has today's document of each service (rlab api --write), and no other", function()
    local names = {}
    for i, name in ipairs(services) do
      names[i] = name .. ".json"
      assert.are.equal(openapi.text(name), assert(fs.read("docs/openapi/" .. names[i])))
    end
    local there = {}
    for i, entry in ipairs(assert(fs.list "docs/openapi")) do
      there[i] = type(entry) == "table" and entry.name or entry
    end
    table.sort(there)
    assert.same(names, there)
  end)

  it("refers to no shape that is not there, and has a success for each operation", function()
    for _, name in ipairs(services) do
      local document = json.decode(openapi.text(name))
      assert.equal("3.1.0", document.openapi)
      for shape in openapi.text(name):gmatch '"#/components/schemas/(%w+)"' do
        assert(document.components.schemas[shape], shape)
      end
      for path, operations in pairs(document.paths) do
        for method, operation in pairs(operations) do
          assert(operation.responses["200"] or operation.responses["201"] or operation.responses["204"],
            method .. " " .. path)
        end
      end
    end
  end)
end)
