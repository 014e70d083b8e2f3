-- taskset_mark_persisted: marks a finished taskset's record as durable by setting an expiry on its
-- hash, and adds it to the totals.
-- Guarantees that the record is not written again from keys that are expiring, and that a taskset
-- is counted once, even if its persister is killed repeatedly or two persisters meet.
-- KEYS 1 taskset, 2 totals
-- ARGV 1 seconds, 2… fields of the totals, each followed by its increment
-- returns nothing
if redis.call('TTL', KEYS[1]) == -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  for i = 2, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
return false
