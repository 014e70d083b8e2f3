-- task_recover: requeues lost tasks, and finalises a taskset that has nothing left.
-- Guarantees that a task is requeued only if nothing else will bring its verdict: it has no status,
-- is not queued, and no live slave runs it. A call without tasks only finalises.
-- shared: event batch close ends reap policy judge
-- KEYS 1 taskset, 2 active_taskset, 3 persister_queue, 4 arbiter_queue
-- ARGV 1 now, 2… tasks that may be lost (at most 200)
-- returns how many were requeued, then the emitted events (taskset, JSON, …)
local taskset = KEYS[1]
ACTIVE, PERSISTER, NOW = KEYS[2], KEYS[3], ARGV[1]
-- The tasks arrive last to first, since each is pushed to the head of the queue.
NEAR = TAIL
local exists, open, status = is_open(taskset)
if not exists then
  redis.call('LREM', ACTIVE, 0, taskset)
  return { 0 }
elseif not open then
  -- Another implementation's arbiter stopped half-way through finishing it (I8).
  if redis.call('LREM', ACTIVE, 0, taskset) > 0 and redis.call('TTL', taskset) == -1 then
    redis.call('RPUSH', PERSISTER, taskset)
  end
  return { 0 }
elseif redis.call('EXISTS', taskset .. ':tasks') == 0 then
  -- The taskset never had tasks (F2), or waited for a worker until they expired: a verdict is
  -- impossible.
  finalise(taskset)
  return { 0, unpack(emitted) }
elseif status ~= 'running' then
  return { 0 }
end
local book = book_of(taskset)
book.look = true
local function has_queue()
  return redis.call('EXISTS', taskset .. ':task_queue') == 1
end
local queued = has_queue()
local prefix = string.match(taskset, '^[^:]*:')
local lost = 0
for i = 2, #ARGV do
  local task = ARGV[i]
  local k = redis.call('HMGET', task, 'status', 'spec_file', 'queued')
  local spec_file = spec_file_of(task, k[2])
  if is_set(k[1]) then
    -- Settled, but left in the list when another implementation's arbiter crashed (C2).
    redis.call('LREM', taskset .. ':tasks_left', NEAR, task)
  elseif spec_file and not (queued and k[3]) then
    if not k[2] then
      redis.call('HSET', task, 'taskset', taskset, 'spec_file', spec_file)
      redis.call('EXPIRE', task, KEY_TTL)
    end
    local waiting = false
    for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
      -- A name without our prefix is skipped: the ACL would refuse it, and with it the script (L8).
      local is_ours = string.sub(trial, 1, #prefix) == prefix
      local f = is_ours and redis.call('HMGET', trial, 'status', 'slave', 'judged', 'task') or {}
      if is_set(f[2]) and string.sub(f[2], 1, #prefix) ~= prefix then
        f[2] = nil
      end
      if is_set(f[1]) then
        if not f[3] then
          -- Finished, and its message is on its way or lost (Q3): judging it now gives the same
          -- verdict, once.
          judge(taskset, task, trial)
          waiting = true
        end
      elseif is_set(f[2]) and redis.call('EXISTS', f[2] .. ':heartbeat') == 1 then
        waiting = true
      elseif is_set(f[2]) and reap(taskset, f[2], "the slave's heartbeat stopped", NOW, KEYS[4], false) == 1 then
        waiting = true
        -- The rest of its batch may be queued again now.
        queued = has_queue()
      elseif f[4] then
        -- The race: the slave ended without knowing of this trial, because the reply that reserved
        -- it was lost or the call was delayed. The trial never ran, so it does not count.
        redis.call('HSET', trial, 'status', 'error', 'finished_at', NOW, 'stopped', 'its slave had ended')
        judge(taskset, task, trial)
        waiting = true
      end
    end
    if not waiting then
      requeue(taskset, task, spec_file, 'lost')
      lost = lost + 1
    end
  end
end
flush(taskset)
return { lost, unpack(emitted) }
