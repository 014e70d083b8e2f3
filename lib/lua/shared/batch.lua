-- Shared: what a slave has on batch. Needs event.lua.
--
-- A slave whose trials take next to no time takes several tasks in one call: a batch. Each of them has
-- its trial at once, so that a task is always queued or tried (Q2); a trial without started_at has
-- not begun, as far as its slave has told. A slave takes no other task before all of its batch have
-- ended or were given back, and ends them in order.

-- Those of the trials that have not ended, each as trial, task and whether it has begun.
local function unended(trials)
  local batch = {}
  for _, trial in ipairs(trials) do
    local f = redis.call('HMGET', trial, 'status', 'task', 'started_at')
    if f[2] and not is_set(f[1]) then
      batch[#batch + 1] = { trial, f[2], is_set(f[3]) }
    end
  end
  return batch
end

-- The trials that a slave has not ended, in order.
local function open_batch(slave)
  local trials, prefix = {}, string.match(slave, '^[^:]*:')
  for _, trial in ipairs(redis.call('LRANGE', slave .. ':trial', -MAX_BATCH, -1)) do
    -- What is no key of ours is not even looked at: the ACL refuses it, and with it the script (L8).
    if string.sub(trial, 1, #prefix) == prefix then
      trials[#trials + 1] = trial
    end
  end
  return unended(trials)
end

-- Takes the trials that have not begun from their slave, as if they had never been, and puts their tasks
-- back at the head of the queue, marked, so that each is then taken alone.
local function give_back(taskset, slave, batch)
  local running = redis.call('HGET', taskset, 'status') == 'running'
  local given = 0
  -- From the last to the first, as each is put at the head.
  for i = #batch, 1, -1 do
    local trial, task, begun = unpack(batch[i])
    if not begun then
      redis.call('DEL', trial)
      redis.call('LREM', task .. ':trial', -1, trial)
      redis.call('LREM', slave .. ':trial', -1, trial)
      local f = redis.call('HMGET', task, 'spec_file', 'status', 'queued')
      if running and f[1] and not is_set(f[2]) and not f[3] then
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
-- dead. Without a slave only the taskset is looked at.
local function standing(taskset, slave)
  local status = redis.call('HGET', taskset, 'status')
  if status ~= 'running' then
    return 'over', status or 'gone'
  elseif slave and is_set(redis.call('HGET', slave, 'status')) then
    return 'fenced', ''
  end
  return 'good', ''
end
