-- Shared: the death of a slave. Needs event.lua.

-- Ends the slave and the trial it was making, if any, and tells the arbiter of it. From here on
-- the slave is fenced: whatever it says later changes nothing (C5).
local function reap(taskset, slave, why, now, arbiter_queue)
  if is_set(redis.call('HGET', slave, 'status')) then
    return 0
  end
  redis.call('HSET', slave, 'status', 'failure_exit')
  redis.call('EXPIRE', slave, KEY_TTL)
  redis.call('DEL', slave .. ':heartbeat')
  local trial = redis.call('LINDEX', slave .. ':trial', -1)
  if trial then
    local f = redis.call('HMGET', trial, 'status', 'task')
    if f[2] and not is_set(f[1]) then
      redis.call('HSET', trial, 'status', 'error', 'finished_at', now, 'stderr', 'rrr: ' .. why .. '\n')
      redis.call('RPUSH', arbiter_queue, 'trial\t' .. trial)
      emit(taskset, { {
        event = 'trial_finished',
        task = f[2],
        spec_file = spec_file_of(f[2]),
        trial = trial,
        slave = slave,
        status = 'error',
        passed = 0,
        pending = 0,
        failed = 0,
        reason = why,
      } })
    end
  end
  return 1
end
