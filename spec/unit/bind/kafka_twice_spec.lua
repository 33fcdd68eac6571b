-- busted gives each spec file modules of its own, so the handle types that C keeps are wrapped once a file.
describe("rlab.kafka loaded twice", function()
  it("still closes its producers", function()
    for _ = 1, 2 do
      package.loaded["rlab.kafka"], package.loaded["rlab.kafka.helpers"] = nil, nil
      local producer = assert(require("rlab.kafka").producer { test_mock_num_brokers = 1 })
      producer:close()
      assert.is_false(producer:is_open())
    end
  end)
end)
