-- mark_persisted: notes that a finished taskset's record is durable, by giving its hash an expiry.
-- Guarantees that nobody writes the record again from keys that are already expiring.
-- KEYS 1 taskset
-- ARGV 1 seconds
-- returns nothing
if redis.call('TTL', KEYS[1]) == -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return false
