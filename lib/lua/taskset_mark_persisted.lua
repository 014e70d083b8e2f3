-- taskset_mark_persisted: notes that a finished taskset's record is durable, by giving its hash an expiry,
-- and adds to the totals of all that ended.
-- Guarantees that nobody writes the record again from keys that are already expiring, and that a
-- taskset is counted once, however often its persister is killed or two of them meet.
-- KEYS 1 taskset, 2 totals
-- ARGV 1 seconds, 2… fields of the totals, each followed by what is to be added
-- returns nothing
if redis.call('TTL', KEYS[1]) == -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  for i = 2, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
return false
