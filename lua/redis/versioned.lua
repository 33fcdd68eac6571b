-- Set if newer. KEYS: entry. ARGV: op, version (20 digits), ttl in ms (0 keeps the one that is there), field,
-- value, ...
--   fill       a reader's value: refused when a newer version is there (its own version is written again,
--              which renews it)
--   tombstone  an invalidation: a mark that refuses older fills for as long as it lives
--   update     a writer's value: only over an older entry, a missing one stays missing
-- Returns 1 written, 0 refused as old, -1 missing. Versions are compared as text of one width: Lua's numbers
-- are doubles. Types are tested before the first write, since a script that fails half-way leaves its first
-- half.
local op, version, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', no cache entry')
end
if #version ~= 20 then return redis.error_reply('BADVERSION a version has 20 digits, not ' .. version) end
local there = redis.call('HGET', KEYS[1], 'version')
if op == 'update' and not there then return -1 end
if there and (there > version or (there == version and op ~= 'fill')) then return 0 end
redis.call('HSET', KEYS[1], 'version', version, unpack(ARGV, 4))
if ttl == 0 then
  redis.call('HDEL', KEYS[1], 'state')
  return 1
end
-- Old fields go when the new ones are there: see put.lua.
local new = { version = true }
for i = 4, #ARGV, 2 do new[ARGV[i]] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not new[field] then redis.call('HDEL', KEYS[1], field) end
end
redis.call('PEXPIRE', KEYS[1], ttl)
return 1
