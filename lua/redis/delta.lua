-- WRONG ON PURPOSE (E-013): adds the event's amount to whatever is there. A redelivery adds
-- twice, a missing key begins at zero.
-- KEYS: entry. ARGV: version, amount. Returns 1.
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[2])
redis.call('HSET', KEYS[1], 'version', ARGV[1])
return 1
