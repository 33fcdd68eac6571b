-- Invalidates: value and lease go together, so that a reader who has loaded the old value cannot write it
-- any more. KEYS: entry, lease.
return redis.call('DEL', KEYS[1], KEYS[2])
