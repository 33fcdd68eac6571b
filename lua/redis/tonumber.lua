-- WRONG ON PURPOSE (E-013): set if newer with versions as numbers. Redis' Lua has doubles
-- only: 2^53 and 2^53 + 1 are the same.
-- KEYS: entry. ARGV: version, field, value, ... Returns as versioned.lua's update.
local there = redis.call('HGET', KEYS[1], 'version')
if not there then return -1 end
if tonumber(there) >= tonumber(ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[1], 'state')
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 2))
return 1
