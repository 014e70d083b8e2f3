-- Shared: taking the next task. Needs event.lua.

-- How many tasks that this slave has tried before it may step over in one call.
local MOST_SKIPS = 3

local function has_tried(slave, task)
  for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
    if redis.call('HGET', trial, 'slave') == slave then
      return true
    end
  end
  return false
end

-- Takes a task from the queue and creates its trial, in one step (Q2: never popped and untried).
-- ask: taskset, slave, trial_id, now, patient (may be told to come back for another slave's
-- sake), announce (ask the arbiter for a check when the queue is empty), holds (the slave may have
-- a trial already), finished (one it has ended, if any), arbiter_queue. Adds its event to events.
-- Returns {'run', trial, spec_file, estimate_sec, attempt}, {'empty'} or {'skip'}.
local function reserve(ask, events)
  local queue = ask.taskset .. ':task_queue'
  -- A slave that asks has nothing on hand. If it has a trial that has not ended, it took that by a
  -- call whose answer was lost, or that was held up and came after its repetition: nobody else
  -- would make this trial, and while its slave lives nobody would put its task back.
  local last = ask.holds and redis.call('LINDEX', ask.slave .. ':trial', -1)
  if last and last ~= ask.finished then
    local t = redis.call('HMGET', last, 'status', 'task')
    if t[2] and not is_set(t[1]) then
      local k = redis.call('HMGET', t[2], 'spec_file', 'estimate_sec')
      local attempt = redis.call('LLEN', t[2] .. ':trial')
      return { 'run', last, spec_file_of(t[2], k[1]), k[2] or '', attempt }
    end
  end
  local task, f
  local skipped = {}
  for _ = 1, 500 do
    task = redis.call('LPOP', queue)
    if not task then
      break
    end
    f = redis.call('HMGET', task, 'status', 'spec_file', 'estimate_sec', 'queued')
    -- A copy of a finished task, or something that is no task of ours, is dropped (L2, C7, L8).
    if not is_set(f[1]) and (f[2] or redis.call('EXISTS', task) == 1) then
      if not (f[4] and #skipped < MOST_SKIPS and has_tried(ask.slave, task)) then
        break
      end
      skipped[#skipped + 1] = task
    end
    task = nil
  end
  if not task and #skipped > 0 and not (ask.patient and redis.call('LLEN', ask.taskset .. ':slave') > 1) then
    -- Nobody else may come for it (L1).
    task = table.remove(skipped, 1)
    f = redis.call('HMGET', task, 'status', 'spec_file', 'estimate_sec', 'queued')
  end
  if #skipped > 0 then
    redis.call('RPUSH', queue, unpack(skipped))
    redis.call('EXPIRE', queue, KEY_TTL)
  end
  if not task then
    if #skipped > 0 then
      return { 'skip' }
    end
    if ask.announce then
      local message = 'check\t' .. ask.taskset
      if redis.call('LINDEX', ask.arbiter_queue, -1) ~= message then
        redis.call('RPUSH', ask.arbiter_queue, message)
      end
    end
    return { 'empty' }
  end
  if f[4] then
    redis.call('HDEL', task, 'queued')
  end
  local trial = task .. ':trial:' .. ask.trial_id
  local spec_file = spec_file_of(task, f[2])
  redis.call('HSET', trial, 'task', task, 'slave', ask.slave, 'started_at', ask.now)
  redis.call('EXPIRE', trial, KEY_TTL)
  local attempt = redis.call('RPUSH', task .. ':trial', trial)
  if attempt == 1 then
    redis.call('EXPIRE', task .. ':trial', KEY_TTL)
  else
    -- Spares the arbiter a look at the trials of each task that passes at once.
    redis.call('HSET', task, 'trials', attempt)
  end
  if redis.call('RPUSH', ask.slave .. ':trial', trial) == 1 then
    redis.call('EXPIRE', ask.slave .. ':trial', KEY_TTL)
  end
  -- By hand, as each task has one: a table and its encoding cost as much as two commands.
  local json = cjson.encode
  events[#events + 1] = '{"event":"trial_started","task":' .. json(task) .. ',"spec_file":' .. json(spec_file)
    .. ',"trial":' .. json(trial) .. ',"slave":' .. json(ask.slave) .. ',"attempt":' .. attempt .. '}'
  return { 'run', trial, spec_file, f[3] or '', attempt }
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
