-- suite_open: records that a slave has started a runner whose end counts for the verdict.
-- Guarantees that the taskset does not finish before that end is known, and that a late or repeated
-- call does not reopen an end.
-- shared: event ends
-- KEYS 1 taskset, 2 slave
-- ARGV 1 the number of the slave's runner, from 1
-- returns nothing
local taskset, slave = KEYS[1], KEYS[2]
if redis.call('HGET', taskset, 'status') ~= 'running' or is_set(redis.call('HGET', slave, 'status')) then
  return
end
if read_end(redis.call('HGET', taskset .. ':ends', slave)) < tonumber(ARGV[1]) then
  redis.call('HSET', taskset .. ':ends', slave, ARGV[1] .. ' open')
  redis.call('EXPIRE', taskset .. ':ends', KEY_TTL)
  -- If no script sets this field, the ends are never read.
  redis.call('HSET', taskset, 'ends', 1)
end
