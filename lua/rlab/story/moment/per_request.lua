-- E-035's moment: what the brokers keep when all is closed.
return function(seen, arm)
  return { says = "all producers are closed, and their process is gone",
    { "events in the topic", tostring(#seen.records) },
    { "producer ids in the partitions", tostring(#seen.known), arm.class == "wrong" },
    { "transactional.ids at the coordinators", tostring(#seen.transactional_ids),
      #seen.transactional_ids > 0 } }
end
