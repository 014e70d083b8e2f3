-- stage: writes the hash of a taskset that nobody acts on yet.
-- Guarantees that it expires by itself unless it is activated (K4), and that a call which comes a
-- second time, and late, leaves a taskset alone that is handed over by then.
-- KEYS 1 taskset
-- ARGV 1 seconds until it expires, 2… field, value
-- returns 1 if it was written, else 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
