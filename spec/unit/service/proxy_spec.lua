-- The fault proxy in this process: Toxiproxy's HTTP API as its official Go client uses it, toxics on real
-- sockets, rules on Redis commands.
local http = require "rlab.http"
local json = require "rlab.json"
local must = require "rlab.must"
local promlint = dofile "spec/support/formats/promlint.lua"
local proxy = require "rlab.proxy"
local seconds = require "spec.support.timed"
local task = require "rlab.task"

describe("the proxy", function()
  local served, backend, client

  before_each(function()
    backend = must(http.serve { handler = function(req)
      return { status = 200, body = req.body ~= "" and req.body or "hello" } end, max_body = "8MiB" })
    served = must(proxy.serve { seed = 7 })
    client = must(proxy.connect(served.url))
    must(client:create { name = "web", upstream = "127.0.0.1:" .. backend.port })
  end)

  after_each(function()
    served:close()
    backend:close "100ms"
  end)

  local function fetch(body, connection)
    local at = must(client:proxy "web")
    return http.request { method = "POST", url = ("http://127.0.0.1:%d/"):format(at.port),
      body = body or "x", timeout = "60s",
      headers = { connection = connection or "close" } }
  end

  it("forwards, and counts what it forwards", function()
    local text = ("0123456789"):rep(300000)
    assert.equal(text, must(fetch(text)).body)
    local row = must(client:proxy "web")
    assert.equal(1, row.accepted)
    assert.is_true(row.bytes_up > #text and row.bytes_down > #text)
  end)

  it("has metrics that promtool check metrics lets pass", function()
    must(client:add_rule { proxy = "web", api = "Produce", action = "delay" })
    local body = must(http.get(served.url .. "/metrics")).body
    assert.matches('\nrlab_proxy_connections{proxy="web"} 0\n', body, 1, true)
    assert.same({}, promlint.problems(body))
    assert.equal("", promlint.promtool(body) or "")
  end)

  local function ask(method, path, body, headers)
    return must(http.request { method = method, url = served.url .. path, body = body,
      headers = headers or { ["user-agent"] = "toxiproxy-cli/v2 (linux/amd64)",
        ["content-type"] = body and "application/json" } })
  end

  -- asked(method, path, body) -> status, the error's text or the value
  local function asked(method, path, body)
    local answer = ask(method, path, body)
    local value = json.decode(answer.body)
    return answer.status, type(value) == "table" and value.error or value
  end

  it("answers what the Go client asks, in its forms", function()
    -- client.CreateProxy
    local made = ask("POST", "/proxies", (
      '{"name":"r","listen":"127.0.0.1:0","upstream":"127.0.0.1:%d","enabled":true,"toxics":null}'):format(
      backend.port))
    assert.equal(201, made.status)
    local row = json.decode(made.body)
    assert.same({ "r", true, 0 }, { row.name, row.enabled, #row.toxics })
    assert.equal(409, ask("POST", "/proxies",
      '{"name":"r","listen":"","upstream":"127.0.0.1:1","enabled":true}').status)
    -- proxy.AddToxic("", "latency", "downstream", 1.0, Attributes{...})
    local toxic = ask("POST", "/proxies/r/toxics",
      '{"name":"","type":"latency","stream":"downstream","toxicity":1,\z
        "attributes":{"latency":100,"jitter":5}}')
    assert.equal(200, toxic.status)
    assert.same({ name = "latency_downstream", type = "latency", stream = "downstream", toxicity = 1.0,
      attributes = { latency = 100, jitter = 5 } },
      json.decode(toxic.body))
    -- proxy.UpdateToxic, proxy.Toxics, proxy.RemoveToxic
    local changed = ask("PATCH", "/proxies/r/toxics/latency_downstream",
      '{"toxicity":0.5,"attributes":{"latency":30}}')
    assert.same({ latency = 30, jitter = 5 }, json.decode(changed.body).attributes)
    assert.equal(1, #json.decode(ask("GET", "/proxies/r/toxics").body))
    assert.equal(204, ask("DELETE", "/proxies/r/toxics/latency_downstream").status)
    -- proxy.Disable: Save
    assert.is_false(json.decode(ask("PATCH", "/proxies/r", (
      '{"name":"r","listen":"%s","upstream":"127.0.0.1:%d","enabled":false}'):format(
      row.listen, backend.port)).body).enabled)
    -- client.Populate, client.Proxies, client.ResetState, proxy.Delete
    local all = ask("POST", "/populate", (
      '[{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:%d","enabled":true}]'):format(backend.port))
    assert.equal(201, all.status)
    assert.equal("p", json.decode(all.body).proxies[1].name)
    assert.equal(204, ask("POST", "/reset", "").status)
    assert.is_true(json.decode(ask("GET", "/proxies").body).r.enabled)
    assert.equal(204, ask("DELETE", "/proxies/r").status)
    local gone = ask("DELETE", "/proxies/r")
    assert.equal(404, gone.status)
    assert.same({ error = "proxy not found", status = 404, rlab = { why = "there is no proxy 'r'" } },
      json.decode(gone.body))
    assert.equal("2.12.0", json.decode(ask("GET", "/version").body).version)
    assert.equal(405, ask("PUT", "/proxies").status)
  end)

  it("has Toxiproxy's texts of errors, and one place for what is ours", function()
    local web = must(client:proxy "web")
    local row = json.decode(ask("GET", "/proxies/web").body)
    assert.equal(backend.port, tonumber(row.upstream:match "%d+$"))
    row.rlab = nil
    assert.same({ name = "web", listen = web.listen, upstream = web.upstream, enabled = true, toxics = {} },
      row)
    for _, case in ipairs {
      { 400, "missing required field: name", "POST", "/proxies", "{}" },
      { 400, "missing required field: upstream", "POST", "/proxies", '{"name":"x"}' },
      { 409, "proxy already exists", "POST", "/proxies", '{"name":"web","upstream":"127.0.0.1:1"}' },
      { 400, "bad request body: EOF", "POST", "/proxies", "" },
      { 400, "missing required field: name at proxy 1", "POST", "/populate", "[{}]" },
      { 400, "missing required field: upstream at proxy 2", "POST", "/populate",
        '[{"name":"x","upstream":"127.0.0.1:1"},{"name":"y"}]' },
      { 400, "missing required field: name at proxy 1", "POST", "/populate", "[null]" },
      { 400, "bad request body: json: cannot unmarshal object into Go value of type []struct { \z
        toxiproxy.Proxy; Enabled *bool \"json:\\\"enabled\\\"\" }", "POST", "/populate", "{}" },
      { 400, "bad request body: json: cannot unmarshal number into Go value of type struct { \z
        toxiproxy.Proxy; Enabled *bool \"json:\\\"enabled\\\"\" }", "POST", "/populate", "[5]" },
      { 400, "bad request body: json: cannot unmarshal number into Go struct field .Proxy.name of type \z
        string", "POST", "/populate", '[{"name":5}]' },
      { 400, "bad request body: json: cannot unmarshal array into Go value of type toxiproxy.Proxy", "POST",
        "/proxies", "[]" },
      { 400, "missing required field: name", "POST", "/proxies", "null" },
      { 400, "bad request body: unexpected EOF", "POST", "/proxies", "{" },
      { 400, "invalid toxic type", "POST", "/proxies/web/toxics", "null" },
      { 400, "invalid toxic type", "POST", "/proxies/web/toxics", '{"name":"x"}' },
      { 400, "bad request body: json: cannot unmarshal array into Go value of type toxics.ToxicWrapper",
        "POST", "/proxies/web/toxics", "[]" },
      { 400, "bad request body: json: cannot unmarshal bool into Go struct field \z
        LimitDataToxic.attributes.bytes of type int64", "POST", "/proxies/web/toxics",
        '{"type":"limit_data","attributes":{"bytes":true}}' },
      { 400, "bad request body: json: cannot unmarshal string into Go struct field \z
        ToxicWrapper.toxicity of type float32", "POST", "/proxies/web/toxics",
        '{"type":"latency","toxicity":"1"}' },
      { 404, "proxy not found", "POST", "/proxies/none/toxics", "{}" },
      { 404, "proxy not found", "PATCH", "/proxies/none", "{" },
      { 404, "toxic not found", "PATCH", "/proxies/web/toxics/none", "{" },
      { 404, "toxic not found", "DELETE", "/proxies/web/toxics/none" },
      { 400, "invalid toxic type", "POST", "/proxies/web/toxics", '{"type":"latnecy"}' },
      { 400, "stream was invalid, can be either upstream or downstream", "POST", "/proxies/web/toxics",
        '{"type":"latency","stream":"walrustream"}' },
    } do
      local status, text = asked(case[3], case[4], case[5])
      assert.same({ case[1], case[2] }, { status, text })
    end
    assert.is_nil(must(client:proxies()).x)
    local none = ask("GET", "/proxies/")
    assert.same({ 404, "404 page not found\n" }, { none.status, none.body })
    local refused = ask("PUT", "/proxies/web")
    assert.same({ 405, "GET, HEAD, POST, PATCH, DELETE" }, { refused.status, refused.headers.allow })
    local twice = ask("GET", "//version") -- of a client whose address ends with a slash
    assert.same({ 301, "/version" }, { twice.status, twice.headers.location })
    local version = ask("GET", "/version")
    assert.equal('{"version": "2.12.0"}\n', version.body)
    assert.is_truthy(version.headers["x-toxiproxy-request-id"])
  end)

  it("refuses a rule for a request that never comes", function()
    for field, body in pairs { nth = '{"action":"count","nth":0}',
      times = '{"action":"count","times":-1}' } do
      local status, text = asked("POST", "/rules", body)
      assert.equal(400, status, body)
      assert.matches("option '" .. field .. "'", text, 1, true)
    end
  end)

  it("refuses a field of another type, and names it", function()
    for field, body in pairs {
      ["attributes.latency of type int64"] = '{"type":"latency","attributes":{"latency":"100"}}',
      ["number 1.5 into"] = '{"type":"latency","attributes":{"latency":1.5}}',
      ["number 9223372036854775808 into"] = '{"type":"latency","attributes":{"latency":9223372036854775808}}',
      ["latency is at most"] = '{"type":"latency","attributes":{"latency":1e30}}',
      ["toxicity of type float"] = '{"type":"latency","toxicity":true}',
      ["toxicity is a number from 0 to 1"] = '{"type":"latency","toxicity":-1}',
      ["stream of type string"] = '{"type":"latency","stream":5}',
    } do
      local status, text = asked("POST", "/proxies/web/toxics", body)
      assert.equal(400, status)
      assert.matches(field, text, 1, true)
    end
    local status, text = asked("PATCH", "/proxies/web", '{"enabled":"no"}')
    assert.same({ 400, true }, { status, text:find("Proxy.enabled of type bool", 1, true) ~= nil })
    assert.same({}, json.decode(ask("GET", "/proxies/web/toxics").body))
  end)

  it("takes no name that a client could not ask for, and any other", function()
    local body = '{"name":%s,"upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}'
    for _, name in ipairs { '"a/b"', '"/"', '"."', '".."', '"\\ud83d"', '"\xff"', '"a\\u0000b"' } do
      assert.equal(400, ask("POST", "/proxies", body:format(name)).status, name)
      assert.equal(400, ask("POST", "/populate", "[" .. body:format(name) .. "]").status, name)
      assert.equal(400, ask("POST", "/proxies/web/toxics",
        ('{"name":%s,"type":"noop"}'):format(name)).status, name)
    end
    assert.same({}, json.decode(ask("GET", "/proxies/web/toxics").body))
    for name, path in pairs { ["a?b"] = "a%3Fb", ["a b"] = "a%20b", ["%2F"] = "%252F",
      ["..."] = "...", ["한"] = "%ED%95%9C", ["#"] = "%23" } do
      assert.equal(201, ask("POST", "/proxies", body:format('"' .. name .. '"')).status, name)
      assert.equal(name, json.decode(ask("GET", "/proxies/" .. path).body).name)
      assert.equal(204, ask("DELETE", "/proxies/" .. path).status, name)
    end
  end)

  it("takes keys in any case, noop, and toxics that come with a proxy", function()
    local upstream = "127.0.0.1:" .. backend.port
    assert.equal(201, (asked("POST", "/proxies", ('{"Name":"n","LISTEN":"127.0.0.1:0","Upstream":"%s",\z
      "toxics":[{"type":"latency","Attributes":{"Latency":1.0}},{"type":"noop","name":"nothing"}]}'):format(
      upstream))))
    local toxics = must(client:proxy "n").toxics
    assert.same({ { "latency_downstream", { latency = 1, jitter = 0 } }, { "nothing", {} } },
      { { toxics[1].name, toxics[1].attributes }, { toxics[2].name, toxics[2].attributes } })
    assert.equal(200, (asked("POST", "/proxies/n/toxics", '{"type":"noop","stream":"UPSTREAM"}')))
    assert.equal("noop_upstream", must(client:proxy "n").toxics[1].name) -- before those downstream
    assert.equal(400, (asked("POST", "/proxies", ('{"name":"m","upstream":"%s","toxics":[{"type":"noop"},\z
      {"type":"none"}]}'):format(upstream))))
    assert.is_nil(must(client:proxies()).m)
    local port = must(client:proxy "n").port
    assert.equal("x", must(http.post(("http://127.0.0.1:%d/"):format(port), "x")).body)
  end)

  it("refuses names that a path could not carry", function()
    assert.equal(400, (asked("POST", "/proxies", '{"name":"a/b","upstream":"127.0.0.1:1"}')))
    assert.equal(400, (asked("POST", "/proxies/web/toxics", '{"name":"a/b","type":"noop"}')))
    must(client:create { name = "a b%", upstream = "127.0.0.1:1" })
    must(client:remove "a b%")
  end)

  it("leaves what is populated again as it is", function()
    local port = must(client:proxy "web").port
    must(client:toxic("web", { type = "latency" }))
    for _, listen in ipairs { "localhost:" .. port, "127.0.0.1:0", "localhost:0" } do
      local status = asked("POST", "/populate",
        ('[{"name":"web","listen":"%s","upstream":"127.0.0.1:%d"}]'):format(listen, backend.port))
      assert.equal(201, status)
      local web = must(client:proxy "web")
      assert.same({ port, 1 }, { web.port, #web.toxics })
    end
    local status, failure = asked("POST", "/populate", ('[{"name":"one","upstream":"127.0.0.1:1"},\z
      {"name":"web","listen":"nowhere","upstream":"127.0.0.1:1"},{"name":"two","upstream":"127.0.0.1:1"}]'))
    assert.equal(400, status)
    assert.matches("nowhere", failure, 1, true)
    local all = must(client:proxies())
    assert.same({ port, true, false }, { all.web.port, all.one ~= nil, all.two ~= nil })
  end)

  it("keeps a listener until there is a better one, and says so when it is off", function()
    local web = must(client:proxy "web")
    local taken <close> = must(http.serve { handler = function() return "" end })
    assert.equal(400, (asked("PATCH", "/proxies/web", '{"listen":"nowhere"}')))
    assert.equal(400, (asked("PATCH", "/proxies/web", '{"upstream":"nowhere"}')))
    assert.equal("x", must(fetch()).body)
    local status, failure = asked("PATCH", "/proxies/web", ('{"listen":"127.0.0.1:%d"}'):format(taken.port))
    assert.equal(500, status)
    assert.matches("address already in use", failure, 1, true)
    assert.is_false(must(client:proxy "web").enabled)
    assert.equal(500, (asked("PATCH", "/proxies/web", '{"enabled":true}')))
    assert.equal(500, (asked("POST", "/reset", "")))
    assert.equal(200, (asked("PATCH", "/proxies/web", ('{"listen":"%s","enabled":true}'):format(web.listen))))
    assert.equal("x", must(fetch()).body)
  end)

  it("is no browser's business, and listens on this machine unless it is told otherwise", function()
    local browser = ask("GET", "/proxies", nil, { ["user-agent"] = "Mozilla/5.0 (X11)" })
    assert.same({ 403, "User agent not allowed\n" }, { browser.status, browser.body })
    local body = '{"name":"x","upstream":"127.0.0.1:1"}'
    assert.equal(415, ask("POST", "/proxies", body, { ["content-type"] = "text/plain" }).status)
    assert.equal(403, ask("POST", "/proxies", body, { ["content-type"] = "application/json",
      origin = "http://evil.example" }).status)
    assert.equal(403, ask("GET", "/version", nil, { host = "evil.example" }).status)
    for _, listen in ipairs { "0.0.0.0:0", ":0", "[::]:0" } do
      local _, failure = client:create { name = "x", upstream = "127.0.0.1:1", listen = listen }
      assert.matches("--anywhere", failure.message, 1, true)
    end
    local open <close> = must(proxy.serve { anywhere = true })
    must(must(proxy.connect(open.url)):create { name = "x", upstream = "127.0.0.1:1", listen = "0.0.0.0:0" })
  end)

  it("latency holds an answer back, and lets go when it is removed", function()
    must(client:toxic("web", { name = "slow", type = "latency", attributes = { latency = 150 } }))
    assert.is_true(seconds(function() return must(fetch()) end) >= 0.15)
    must(client:remove_toxic("web", "slow"))
    must(fetch())
  end)

  it("bandwidth lets so many kilobytes a second through", function()
    must(client:toxic("web", { type = "bandwidth", stream = "upstream", attributes = { rate = 500 } }))
    local took = seconds(function() return must(fetch(("x"):rep(150000))) end)
    assert.is_true(took > 0.2, "took " .. took)
  end)

  it("what a toxic holds goes on when it is removed", function()
    must(client:toxic("web", { name = "thin", type = "bandwidth", attributes = { rate = 1 } }))
    local text = ("x"):rep(150000)
    local fetching = task.spawn(function() return fetch(text) end)
    assert.is_true(task.wait_until(function() return must(client:proxy "web").bytes_down > 0 end,
      { at_most = "20s", every = "10ms" }))
    must(client:remove_toxic("web", "thin"))
    assert.equal(text, must(fetching:join()).body)
  end)

  it("timeout swallows, reset_peer and limit_data break", function()
    -- longer than an answer takes here: one that is not swallowed comes in time
    local ms = math.max(100, math.ceil(20000 * seconds(fetch)))
    must(client:toxic("web", { name = "t", type = "timeout", attributes = { timeout = ms } }))
    local took, answer, failure = seconds(fetch)
    assert.is_nil(answer)
    assert.equal("CONNECTION_LOST", failure.name)
    assert.is_true(took >= 0.0009 * ms, "took " .. took)
    must(client:remove_toxic("web", "t"))
    must(client:toxic("web", { name = "r", type = "reset_peer", stream = "upstream",
      attributes = { timeout = 0 } }))
    -- the reset may come before the client has looked at its new connection
    local name = select(2, fetch()).name
    assert.is_true(name == "CONNECTION_LOST" or name == "CONNECT", name)
    must(client:remove_toxic("web", "r"))
    must(client:toxic("web", { name = "l", type = "limit_data", attributes = { bytes = 20 } }))
    local cut = fetch()
    assert.is_true(not cut or cut.body ~= "x")
    must(client:remove_toxic("web", "l"))
    assert.equal("x", must(fetch()).body)
  end)

  it("reset_peer resets, limit_data closes: neither waits for the other side to end", function()
    must(client:toxic("web", { name = "r", type = "reset_peer", stream = "upstream",
      attributes = { timeout = 100 } }))
    assert.matches("reset by peer", tostring(select(2, fetch "x")))
    must(client:remove_toxic("web", "r"))
    must(client:toxic("web", { name = "l", type = "limit_data", attributes = { bytes = 20 } }))
    local answer, failure = fetch("x", "keep-alive")
    assert.is_true(answer ~= nil or failure.name == "CONNECTION_LOST", tostring(failure))
    assert.not_matches("reset by peer", tostring(failure))
  end)

  it("a sliced stream is the same stream", function()
    must(client:toxic("web", { type = "slicer",
      attributes = { average_size = 100, size_variation = 90, delay = 10 } }))
    must(client:toxic("web", { type = "slicer", stream = "upstream", attributes = { average_size = 64 } }))
    local text = ("abcdefghij"):rep(2000)
    assert.equal(text, must(fetch(text)).body)
  end)

  it("a proxy that is down refuses, and comes back at its port", function()
    local port = must(client:proxy "web").port
    must(client:disable "web")
    assert.equal("CONNECT", select(2, fetch()).name)
    must(client:enable "web")
    assert.equal(port, must(client:proxy "web").port)
    assert.equal("x", must(fetch()).body)
  end)

  it("toxicity strikes the same connections for the same seed", function()
    local function struck()
      local again <close> = must(proxy.serve { seed = 11 })
      local c = must(proxy.connect(again.url))
      local row = must(c:create { name = "web", upstream = "127.0.0.1:" .. backend.port })
      must(c:toxic("web", { name = "half", type = "reset_peer", toxicity = 0.5,
        attributes = { timeout = 0 } }))
      local list = {}
      for i = 1, 12 do
        list[i] = http.get(("http://127.0.0.1:%d/"):format(row.port),
          { headers = { connection = "close" } }) and "ok" or "cut"
      end
      return table.concat(list, " ")
    end
    local first = struck()
    assert.is_truthy(first:find "ok" and first:find "cut")
    assert.equal(first, struck())
  end)

  it("complains of what it does not know, with what was meant", function()
    local _, failure = client:toxic("web", { type = "latnecy" })
    assert.equal("the proxy: no toxic of type 'latnecy', did you mean 'latency'?", failure.message)
    _, failure = client:toxic("web", { type = "latency", attributes = { rate = 1 } })
    assert.equal("the proxy: a latency toxic has no attribute 'rate'", failure.message)
    _, failure = client:add_rule { action = "cut", api = "Produce" }
    assert.is_truthy(failure.message:find("no action 'cut'; there are delay", 1, true))
    _, failure = client:add_rule { action = "delay", api = "Produze" }
    assert.equal("the proxy: kafka has no request called 'Produze'", failure.message)
    _, failure = client:add_rule { action = "delay", ap = "Produce" }
    assert.is_truthy(failure.message:find("unknown option 'ap', did you mean 'api'?", 1, true))
    _, failure = client:create { name = "bad", upstream = "nowhere" }
    assert.is_truthy(failure.message:find("'nowhere' is no address", 1, true))
    assert.equal("NOT_FOUND", select(2, client:rule(99)).name)
  end)

  it("takes no number that it could not keep", function()
    local function latency(ms, jitter)
      return client:toxic("web", { type = "latency", attributes = { latency = ms, jitter = jitter or 0 } })
    end
    local function refused(failure) return (failure.message:gsub("^the proxy: ", "")) end
    for _, ms in ipairs { 1000000000001, 1e300 } do
      assert.equal("latency is at most 1000000000000", refused(select(2, latency(ms))))
    end
    assert.equal("latency cannot be negative", refused(select(2, latency(-1))))
    must(latency(1000000000000, 1000000000000))

    local function failing(proto, code, text)
      return client:add_rule { proto = proto, api = proto == "kafka" and "Produce" or nil, action = "error",
        code = code, error = text }
    end
    assert.equal("kafka has no error code 32768", refused(select(2, failing("kafka", 32768))))
    assert.equal("mysql has no error code 65536", refused(select(2, failing("mysql", 65536))))
    assert.equal("the text of an error has at most 1024 bytes",
      refused(select(2, failing("redis", 1, ("x"):rep(1025)))))
    must(failing("kafka", 32767))
    must(failing("redis", 1, ("x"):rep(1024)))
  end)

  it("removes what belongs to an owner, and only that", function()
    must(client:add_rule { action = "count", api = "Produce", owner = "run-1" })
    must(client:add_rule { action = "count", api = "Produce", owner = "run-1-arm" })
    must(client:add_rule { action = "count", api = "Produce", owner = "run-10" })
    must(client:create { name = "mine", upstream = "127.0.0.1:1", owner = "run-1" })
    must(client:watch { api = "Produce", owner = "run-1-arm" })
    assert.equal(4, must(client:sweep "run-1"))
    assert.equal("run-10", must(client:rules())[1].owner)
    assert.is_nil(must(client:proxies()).mine)
  end)

  it("ends while connections are open, and they with it", function()
    must(client:toxic("web", { type = "timeout", attributes = { timeout = 0 } }))
    local hanging = task.spawn(fetch)
    must(task.wait_until(function() return must(client:proxy "web").accepted == 1 end,
      { at_most = "60s", what = "an open connection" }))
    must(client:remove "web")
    local _, failure = hanging:join()
    assert.equal("CONNECTION_LOST", failure.name)
  end)
end)
