-- Writes an entry whatever is there: the plain fill. KEYS: entry. ARGV: ttl in ms, field, value, ...
-- Old fields go when the new ones are there: while the slot moves to another node of a cluster, a key that is
-- missing is not this node's, and a script that has deleted it fails before it writes.
local new = {}
for i = 2, #ARGV, 2 do new[ARGV[i]] = true end
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not new[field] then redis.call('HDEL', KEYS[1], field) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
