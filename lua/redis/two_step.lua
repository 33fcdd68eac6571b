-- WRONG ON PURPOSE (E-013): two writes without looking first. When the second fails the first one
-- stays: a script is not rolled back.
-- KEYS: entry, latest. ARGV: version, event id, field, value, ...
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
redis.call('HSET', KEYS[2], 'version', ARGV[1], 'event', ARGV[2])
return 1
