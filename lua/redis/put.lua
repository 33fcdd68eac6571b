-- Writes an entry whatever is there: the plain fill. KEYS: entry. ARGV: ttl in ms, field, value, ...
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
