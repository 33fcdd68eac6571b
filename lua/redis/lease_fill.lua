-- Writes an entry only while the reader's lease still holds its token.
-- KEYS: entry, lease. ARGV: token, ttl in ms, field, value, ...
-- Returns 1 written, 0 refused: somebody has invalidated meanwhile, or the lease ran out.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
