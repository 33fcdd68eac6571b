-- Writes an entry only while the reader's lease still holds its token.
-- KEYS: entry, lease. ARGV: token, ttl in ms, field, value, ...
-- Returns 1 written, 0 refused: somebody has invalidated meanwhile, or the lease ran out.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
-- Old fields go when the new ones are there: see put.lua.
local new = {}
for i = 3, #ARGV, 2 do new[ARGV[i]] = true end
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not new[field] then redis.call('HDEL', KEYS[1], field) end
end
redis.call('DEL', KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
