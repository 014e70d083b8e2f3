-- persist_count_attempt: counts a failed attempt to persist a taskset.
-- Guarantees that the count expires with the taskset's other keys if the taskset is never
-- persisted.
-- KEYS 1 the count
-- ARGV none
-- returns the count
local count = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], KEY_TTL)
return count
