-- taskset_activate: hands a complete taskset over to the dispatcher and the arbiter.
-- Guarantees that neither a half-written taskset nor another submission's becomes active, and that
-- the call may be repeated, even after the taskset has ended. A staged taskset expires (K4); an
-- active one stays until it is persisted.
-- shared: event
-- KEYS 1 taskset, 2 active_taskset, 3 dispatcher_queue, 4 rsync lock
-- ARGV 1 number of tasks, 2 submission, 3 the required owner of the rsync lock ('' if no lock is
--   needed)
-- returns 'active' | 'incomplete' | 'unlocked' | 'taken'
local taskset = KEYS[1]
local submission, status = unpack(redis.call('HMGET', taskset, 'submission', 'status'))
if submission ~= ARGV[2] then
  return submission and 'taken' or 'incomplete'
end
-- A finished taskset may have a TTL again; a staged one has no status.
if status or redis.call('TTL', taskset) == -1 then
  return 'active'
end
local count = tonumber(ARGV[1])
for _, list in ipairs({ ':tasks', ':tasks_left', ':task_queue' }) do
  if redis.call('LLEN', taskset .. list) ~= count then
    return 'incomplete'
  end
end
if ARGV[3] ~= '' then
  if redis.call('GET', KEYS[4]) ~= ARGV[3] then
    return 'unlocked'
  end
  redis.call('DEL', KEYS[4])
end
if redis.call('PERSIST', taskset) == 0 then
  return 'incomplete'
end
redis.call('RPUSH', KEYS[2], taskset)
redis.call('RPUSH', KEYS[3], '0')
emit(taskset, { { event = 'taskset_submitted', tasks = count } })
redis.call('EXPIRE', taskset .. ':events', KEY_TTL)
return 'active'
