-- assign: gives an open taskset to live, idle workers of its type, up to max_workers.
-- Guarantees that a worker has at most one taskset on hand and in its queue together, that
-- max_workers counts both (C4), and that a cancelled taskset is never set running (C1).
-- shared: event close
-- KEYS 1 taskset, 2 worker set
-- returns the workers it was given to, then '', then what was emitted (taskset, JSON, …)
local taskset = KEYS[1]
local f = redis.call('HMGET', taskset, 'worker_type', 'max_workers')
local _, open, status = is_open(taskset)
if not open then
  return { '' }
end
local engaged, idle = 0, {}
local workers = redis.call('SMEMBERS', KEYS[2])
table.sort(workers)
for _, worker in ipairs(workers) do
  -- What is no worker's key is not even looked at: the ACL refuses it, and with it the script (L8).
  local is_worker = string.sub(worker, 1, #KEYS[2] + 1) == KEYS[2] .. ':'
  if is_worker and redis.call('EXISTS', worker .. ':heartbeat') == 1 then
    local w = redis.call('HMGET', worker, 'taskset', 'worker_type', 'benched')
    local queue = redis.call('LRANGE', worker .. ':worker_queue', 0, -1)
    local has = w[1] == taskset
    for _, queued in ipairs(queue) do
      has = has or queued == taskset
    end
    if has then
      engaged = engaged + 1
    elseif #queue == 0 and not is_set(w[1]) and w[2] == f[1] and not is_set(w[3]) then
      -- A worker whose setup failed here is not asked again (L9).
      local log = taskset .. ':worker_log:' .. worker
      if not redis.call('HGET', log, 'failure') then
        idle[#idle + 1] = worker
      end
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
