-- suite_end: records how the end of a slave's runner went.
-- Guarantees that an end counts once, that a failed one is kept until no task is left, and that the
-- arbiter is notified when nothing else is awaited. An interrupted end counts only if no task is
-- left (otherwise other slaves go on with the suite) and the slave has run a trial.
-- shared: event ends
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue
-- ARGV 1 the number of the slave's runner, 2 'good' | 'bad' | 'broken', 3 the reason
-- returns nothing
local taskset, slave = KEYS[1], KEYS[2]
if redis.call('HGET', taskset, 'status') ~= 'running' or is_set(redis.call('HGET', slave, 'status')) then
  return
end
local number, open = read_end(redis.call('HGET', taskset .. ':ends', slave))
local this = tonumber(ARGV[1])
if number > this or (number == this and not open) then
  return
end
local last = redis.call('EXISTS', taskset .. ':tasks_left') == 0
redis.call('HSET', taskset .. ':ends', slave, ARGV[1] .. ' ended')
if ARGV[2] == 'bad' or (ARGV[2] == 'broken' and last and redis.call('EXISTS', slave .. ':trial') == 1) then
  note_bad_end(taskset, slave, ARGV[3])
  redis.call('HSET', taskset, 'ends', 1)
end
redis.call('EXPIRE', taskset .. ':ends', KEY_TTL)
if last then
  ask_for_check(taskset, KEYS[3])
end
