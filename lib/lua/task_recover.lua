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
  local verdict, its_file, is_queued = unpack(redis.call('HMGET', task, 'status', 'spec_file', 'queued'))
  local spec_file = spec_file_of(task, its_file)
  if is_set(verdict) then
    -- Settled, but left in the list when another implementation's arbiter crashed (C2).
    redis.call('LREM', taskset .. ':tasks_left', NEAR, task)
  elseif spec_file and not (queued and is_queued) then
    if not its_file then
      redis.call('HSET', task, 'taskset', taskset, 'spec_file', spec_file)
      redis.call('EXPIRE', task, KEY_TTL)
    end
    local waiting = false
    for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
      -- A name without our prefix is skipped: the ACL would refuse it, and with it the script (L8).
      local is_ours = string.sub(trial, 1, #prefix) == prefix
      local fields = is_ours and redis.call('HMGET', trial, 'status', 'slave', 'judged', 'task') or {}
      local status, slave, judged, of_task = unpack(fields)
      local has_slave = is_set(slave) and string.sub(slave, 1, #prefix) == prefix
      if is_set(status) then
        if not judged then
          -- Finished, and its message is on its way or lost (Q3): judging it now gives the same
          -- verdict, once.
          judge(taskset, task, trial)
          waiting = true
        end
      elseif has_slave and redis.call('EXISTS', slave .. ':heartbeat') == 1 then
        waiting = true
      elseif has_slave and reap(taskset, slave, "the slave's heartbeat stopped", NOW, KEYS[4], false) == 1 then
        waiting = true
        -- The rest of its batch may be queued again now.
        queued = has_queue()
      elseif of_task then
        -- The race: the slave ended without knowing of this trial, because the reply that reserved
        -- it was lost or the call was delayed. The trial never ran, so it does not count.
        redis.call('HSET', trial, 'status', 'error', 'finished_at', NOW, 'stopped', 'its slave had ended')
        judge(taskset, task, trial)
        waiting = true
      end
    end
    if not (waiting or book.reached) then
      requeue(taskset, task, spec_file, 'lost')
      lost = lost + 1
    end
  end
end
flush(taskset)
return { lost, unpack(emitted) }
