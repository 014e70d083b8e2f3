-- trial_release: reports which trial of a slow batch is running, and requeues the tasks of the
-- trials that have not begun.
-- Guarantees that a released task is in the queue, and that a repeated call changes nothing: every
-- trial it names has begun, has ended, or is gone.
-- shared: event batch
-- KEYS 1 taskset, 2 slave, 3… the trials that have not begun, in order
-- ARGV 1 now, 2 the running trial ('' if none, or already reported), 3 its trial_started event as
--   JSON
-- returns nothing
local taskset, slave, running = KEYS[1], KEYS[2], ARGV[2]
if redis.call('TTL', taskset) ~= -1 then
  return
end
local held = running ~= '' and unended({ running })[1]
if held and not held[3] then
  redis.call('HSET', running, 'started_at', ARGV[1])
  if redis.call('HGET', taskset, 'status') == 'running' then
    emit(taskset, { ARGV[3] })
  end
end
give_back(taskset, slave, unended({ unpack(KEYS, 3) }))
