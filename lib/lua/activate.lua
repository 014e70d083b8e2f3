-- activate: hands a complete taskset over to the dispatcher and the arbiter.
-- Guarantees that a half-written taskset never becomes active, and that the call may be repeated.
-- A staged taskset expires by itself (K4); from here on it stays until it is persisted.
-- shared: event
-- KEYS 1 taskset, 2 active_taskset, 3 dispatcher_queue, 4 rsync lock
-- ARGV 1 number of tasks, 2 locked (1: the rsync lock must be ours)
-- returns 'active' | 'incomplete' | 'unlocked'
local taskset = KEYS[1]
if redis.call('TTL', taskset) == -1 then
  return 'active'
end
local count = tonumber(ARGV[1])
for _, list in ipairs({ ':tasks', ':tasks_left', ':task_queue' }) do
  if redis.call('LLEN', taskset .. list) ~= count then
    return 'incomplete'
  end
end
if ARGV[2] == '1' then
  if redis.call('GET', KEYS[4]) ~= taskset then
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
