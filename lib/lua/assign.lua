-- assign: gives an open taskset to live, idle workers of its type, up to max_workers.
-- Guarantees that a worker has at most one taskset on hand and in its queue together, that
-- max_workers counts both (C4), and that a cancelled taskset is never set running (C1).
-- shared: event close worker
-- KEYS 1 taskset, 2 worker set
-- returns the workers it was given to, then '', then what was emitted (taskset, JSON, …)
local taskset = KEYS[1]
local f = redis.call('HMGET', taskset, 'worker_type', 'max_workers')
local _, open, status = is_open(taskset)
if not open then
  return { '' }
end
local engaged, idle = 0, {}
for _, worker in ipairs(living(KEYS[2])) do
  if is_engaged(worker, taskset) then
    engaged = engaged + 1
  elseif #worker.queue == 0 and not is_set(worker.taskset) and worker.type == f[1] and not worker.benched then
    -- A worker whose setup failed here is not asked again (L9).
    local log = taskset .. ':worker_log:' .. worker.key
    if not redis.call('HGET', log, 'failure') then
      idle[#idle + 1] = worker.key
    end
  end
end
local most = tonumber(f[2] or '') or 1
local given = {}
for _, worker in ipairs(idle) do
  if engaged + #given >= most then
    break
  end
  redis.call('RPUSH', worker .. ':worker_queue', taskset)
  redis.call('EXPIRE', worker .. ':worker_queue', KEY_TTL)
  given[#given + 1] = worker
end
if #given > 0 and not is_set(status) then
  redis.call('HSET', taskset, 'status', 'running')
  emit(taskset, { { event = 'taskset_running' } })
  redis.call('EXPIRE', taskset .. ':events', KEY_TTL)
end
given[#given + 1] = ''
for _, item in ipairs(emitted) do
  given[#given + 1] = item
end
return given
