-- task_speculate: queues a second copy of long-running tasks while slaves are idle.
-- Guarantees at most one extra copy per task, only while the queue is empty (C8), and none if
-- max_trials is 1.
-- shared: event
-- KEYS 1 taskset
-- ARGV 1… tasks
-- returns how many were queued, then the emitted events (taskset, JSON, …)
local taskset = KEYS[1]
local queue = taskset .. ':task_queue'
local status, max_trials = unpack(redis.call('HMGET', taskset, 'status', 'max_trials'))
if status ~= 'running' or max_trials == '1' or redis.call('EXISTS', queue) == 1 then
  return { 0 }
end
local events = {}
for _, task in ipairs(ARGV) do
  local verdict, spec_file, of_taskset = unpack(redis.call('HMGET', task, 'status', 'spec_file', 'taskset'))
  if (spec_file or of_taskset) and not is_set(verdict) and redis.call('HSETNX', task, 'speculated', 1) == 1 then
    redis.call('HSET', task, 'queued', 1)
    redis.call('RPUSH', queue, task)
    events[#events + 1] = { event = 'task_speculated', spec_file = spec_file_of(task, spec_file) }
  end
end
if #events > 0 then
  redis.call('EXPIRE', queue, KEY_TTL)
  emit(taskset, events)
  wake(taskset, 'work')
end
return { #events, unpack(emitted) }
