-- Shared: the batch of a slave: the trials that it has reserved and not yet ended. Needs event.lua.
--
-- A slave with very short trials reserves several tasks in one call: a batch. All their trials are
-- created at once, so that every task is either queued or has a trial (Q2). A trial without
-- started_at has not been reported as begun. A slave reserves nothing more until its whole batch
-- has ended or was released, and it ends the trials in order.

-- The unended ones among the trials, each as trial, task and whether it has begun.
local function unended(trials)
  local batch = {}
  for _, trial in ipairs(trials) do
    local status, task, started_at = unpack(redis.call('HMGET', trial, 'status', 'task', 'started_at'))
    if task and not is_set(status) then
      batch[#batch + 1] = { trial, task, is_set(started_at) }
    end
  end
  return batch
end

-- The slave's unended trials, in order.
local function open_batch(slave)
  local trials, prefix = {}, string.match(slave, '^[^:]*:')
  for _, trial in ipairs(redis.call('LRANGE', slave .. ':trial', -MAX_BATCH, -1)) do
    -- Names without our prefix are skipped: the ACL would refuse them, and with them the script
    -- (L8).
    if string.sub(trial, 1, #prefix) == prefix then
      trials[#trials + 1] = trial
    end
  end
  return unended(trials)
end

-- Deletes the trials of the batch that have not begun and requeues their tasks at the head of the
-- queue. The mark 'queued' makes the next slave reserve each of them alone.
local function give_back(taskset, slave, batch)
  local running = redis.call('HGET', taskset, 'status') == 'running'
  local given = 0
  -- Last to first, since each one is pushed to the head.
  for i = #batch, 1, -1 do
    local trial, task, begun = unpack(batch[i])
    if not begun then
      redis.call('DEL', trial)
      redis.call('LREM', task .. ':trial', -1, trial)
      redis.call('LREM', slave .. ':trial', -1, trial)
      local spec_file, status, queued = unpack(redis.call('HMGET', task, 'spec_file', 'status', 'queued'))
      if running and spec_file and not is_set(status) and not queued then
        redis.call('LPUSH', taskset .. ':task_queue', task)
        redis.call('HSET', task, 'queued', 1)
        given = given + 1
      end
    end
  end
  if given > 0 then
    redis.call('EXPIRE', taskset .. ':task_queue', KEY_TTL)
    wake(taskset, 'work')
  end
end

-- Whether the slave may go on: 'over' when its taskset has ended, 'fenced' when it was declared
-- dead. Without a slave, only the taskset is checked.
local function standing(taskset, slave)
  local status = redis.call('HGET', taskset, 'status')
  if status ~= 'running' then
    return 'over', status or 'gone'
  elseif slave and is_set(redis.call('HGET', slave, 'status')) then
    return 'fenced', ''
  end
  return 'good', ''
end
