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

  it("says how TLS is spoken, and nothing else", function()
    local tls = { host = "h", port = 1, user = "u", password = "p", tls = "verify", ca = "/c a.pem",
      cert = "/x&y", key = "/k?" }
    local sql = urls.write("mysql", tls, "h:1", "s")
    assert.equal("mysql://u:p@h:1/s?tls=verify&ca=%2Fc%20a.pem&cert=%2Fx%26y&key=%2Fk%3F", sql)
    tls.database = "s"
    assert.same(tls, urls.mysql(sql))
    tls.database, tls.db = nil, 3
    assert.same(tls, urls.redis(urls.write("redis", tls, "h:1", "3")))
    assert.equal("rediss://h:1/0", urls.write("redis", { tls = "verify" }, "h:1", "0"))
    assert.equal("rediss://h:1/0?tls=on", urls.write("redis", { tls = "on" }, "h:1", "0"))
    assert.equal("redis://h:1/0", urls.write("redis", { tls = "off", ca = "x" }, "h:1", "0"))
    assert.equal("on", urls.redis "rediss://h:1?tls=on".tls)
    for _, query in ipairs { "tls=yes", "x=1", "tls", "ca=", "ca=a=b", "ca=a b" } do
      assert.is_nil(urls.mysql("mysql://h/s?" .. query), query)
      assert.is_nil(urls.redis("rediss://h/0?" .. query), query)
    end
    assert.is_nil(urls.redis "redis://h/0?tls=on")
    assert.same({ "a?b=c", "on" }, { urls.mysql("mysql://u:a?b=c@h/s").password,
      urls.mysql("mysql://u:a?b@h/s?tls=on").tls })
  end)

  it("has no blank, and nothing behind the schema", function()
    for _, rest in ipairs { "h /s", " h/s", "h/s ", "h\t/s", "h/s#x", "h/s?x=1", "h/s/t", "h/s\n",
      "h\0/s" } do
      assert.is_nil(urls.mysql("mysql://u:p@" .. rest), rest)
    end
    assert.equal("a b#c", urls.mysql("mysql://u:p@h/a%20b%23c").database)
    for _, rest in ipairs { "h /0", "h/0 ", " h" } do assert.is_nil(urls.redis("redis://" .. rest), rest) end
    assert.is_nil(urls.redis "redis-cluster://h:1, h:2")
  end)

  it("has a host that can be one", function()
    assert.is_nil(urls.redis "redis://h?db=3") -- which would be database 0 of a host h?db=3
    for _, host in ipairs { "h?x", "h#x", "h;x", "h'x", "(h)", "h,i" } do
      assert.is_nil(urls.mysql(("mysql://u:p@%s/s"):format(host)), host)
    end
    for _, host in ipairs { "127.0.0.1", "a_b-c.D", "한글" } do
      assert.equal(host, urls.mysql(("mysql://u:p@%s/s"):format(host)).host)
    end
  end)

  it("of Kafka's is a list of addresses, before anybody waits for a broker there", function()
    for _, text in ipairs { "a:1", "A", "[::1]:9092", " a:1 , b:2", "a:1,,b:2", "SASL_SSL://a:1" } do
      assert.equal(text, urls.brokers(text))
    end
    for _, text in ipairs { "", ",", "::1:9092", "[::1", "a:0", "a:99999", "a:", "http://a:1", "a:1;b:2",
      "a:1/x", "a b:1", "a:x" } do
      assert.is_nil(urls.brokers(text), text)
    end
  end)

  it("is told without its password, malformed or not", function()
    for text, told in pairs { ["mysql://a:s3cret@h:0/d"] = "mysql://a:***@h:0/d", x = "x",
      ["redis://:p@h"] = "redis://:***@h", ["mysql://a:p@ss@wo:rd@h"] = "mysql://a:***@h",
      ["mysql://a@h:1/d"] = "mysql://a@h:1/d", [" mysql://a:p@h"] = " mysql://a:***@h",
      ["jdbc:mysql://a:p@h"] = "jdbc:mysql://a:***@h" } do
      assert.equal(told, urls.masked(text))
    end
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
