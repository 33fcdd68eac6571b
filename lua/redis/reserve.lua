-- WRONG ON PURPOSE (E-013): takes the money from the cache before the database knows.
-- KEYS: entry. ARGV: amount to take.
-- Returns the balance that is left, or nil without taking anything: no entry. No MySQL transaction that fails
-- later takes this back.
if redis.call('HEXISTS', KEYS[1], 'balance') == 0 then return false end
return redis.call('HINCRBY', KEYS[1], 'balance', -tonumber(ARGV[1]))
