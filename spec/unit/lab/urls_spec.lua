-- Connection URLs: what is written is read as it was.
local urls = require "rlab.urls"

describe("a connection URL", function()
  it("is read as it was written, whatever stands in it", function()
    for _, password in ipairs { "", "p@ss/1", "%41", "a:b", "?#[]", "한 ö", "p%w" } do
      local who = { user = "o@d", password = password }
      local text = urls.write("mysql", who, urls.address("::1", 3306), "s/1")
      assert.same({ host = "::1", port = 3306, user = "o@d", password = password, database = "s/1" },
        urls.mysql(text))
    end
    local text = urls.write("redis", { user = "u", password = "@" }, urls.address("h", 1), "2")
    assert.same({ host = "h", port = 1, db = 2, user = "u", password = "@" }, urls.redis(text))
    assert.equal("redis://h:1/0", urls.write("redis", {}, "h:1", "0"))
  end)

  it("has IPv6 addresses in brackets", function()
    assert.equal("[::1]:5", urls.address("::1", 5))
    assert.equal("h:5", urls.address("h", 5))
    assert.same({ "::1", 5 }, { urls.split "[::1]:5" })
    assert.same({ "h", 7 }, { urls.split("h", 7) })
    for _, wrong in ipairs { "", "h", "h:", "h:x", "::1", "[::1", "h:0", "h:65536", "[x]:1" } do
      assert.is_nil((urls.split(wrong)))
    end
  end)
end)
