-- suite_open: a slave has started a runner whose end decides too.
-- Guarantees that the taskset does not end before that end is known, and that a call which comes late or
-- twice does not open again what has ended.
-- shared: event ends
-- KEYS 1 taskset, 2 slave
-- ARGV 1 which runner of the slave it is, from 1
-- returns nothing
local taskset, slave = KEYS[1], KEYS[2]
if redis.call('HGET', taskset, 'status') ~= 'running' or is_set(redis.call('HGET', slave, 'status')) then
  return
end
if read_end(redis.call('HGET', taskset .. ':ends', slave)) < tonumber(ARGV[1]) then
  redis.call('HSET', taskset .. ':ends', slave, ARGV[1] .. ' open')
  redis.call('EXPIRE', taskset .. ':ends', KEY_TTL)
  -- Spares a look at the ends where there are none.
  redis.call('HSET', taskset, 'ends', 1)
end
