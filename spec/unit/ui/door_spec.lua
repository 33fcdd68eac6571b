local door = require "rlab.ui.door"
local http = require "rlab.http"
local ui = require "rlab.ui"

describe("a console that listens wider than loopback", function()
  local console, base, key
  before_each(function()
    console = assert(ui.serve { port = 0, bind = "0.0.0.0", hosts = { "127.0.0.1" } })
    base, key = console.url:match "^(http://127%.0%.0%.1:%d+)/%?key=(%x+)$"
  end)
  after_each(function() console:close() end)

  local function get(path, cookie, method)
    return assert(http.request { method = method or "GET", url = base .. path,
      headers = { cookie = cookie, ["content-type"] = method and "application/json" },
      body = method and "{}" or nil })
  end

  it("answers nobody without its key: no page, no asset, no stream, no change", function()
    assert.equal(48, #key)
    local name = console.door.name
    for _, cookie in ipairs { "", "x=" .. key, name .. "=" .. ("0"):rep(48), name .. "=" .. key .. "0" } do
      for _, path in ipairs { "/", "/assets/main.js", "/events", "/api/runs", "/?key=" .. key .. "0" } do
        local answer = get(path, cookie)
        assert.equal(401, answer.status, path .. " " .. cookie)
        assert.is_nil(answer.headers["set-cookie"])
        assert.is_nil(answer.body:find(console.token, 1, true))
      end
      assert.equal(401, get("/api/stop", cookie, "POST").status)
    end
  end)

  it("takes the key out of the address and keeps it where no script reads it", function()
    local answer = get("/?key=" .. key)
    assert.same({ 303, "/" }, { answer.status, answer.headers.location })
    local cookie, rules = answer.headers["set-cookie"]:match "^([^;]+)(.*)$"
    assert.equal("; Path=/; HttpOnly; SameSite=Strict", rules)
    local page = get("/", "other=1; " .. cookie)
    assert.equal(200, page.status)
    assert.is_nil(page.body:find(key, 1, true))
    assert.equal(403, get("/api/stop", cookie, "POST").status) -- the page's token is another matter
    assert.equal(200, get("/events", cookie).status)
  end)

  it("has a key of its own at each start, and none on loopback", function()
    local other <close> = assert(ui.serve { port = 0, bind = "0.0.0.0", hosts = { "127.0.0.1" } })
    assert.not_equal(key, other.door.key)
    assert.not_equal(console.door.name, other.door.name)
    local near <close> = assert(ui.serve { port = 0 })
    assert.is_nil(near.door)
    for address, is in pairs { ["127.0.0.1"] = true, ["127.8.8.8"] = true, ["::1"] = true, localhost = true,
      ["0.0.0.0"] = false, ["::"] = false, ["127.0.0.1.evil.example"] = false, ["10.0.0.1"] = false } do
      assert.equal(is, door.is_loopback(address), address)
    end
  end)
end)
