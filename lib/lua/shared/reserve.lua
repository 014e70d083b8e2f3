-- Shared: reserving the next tasks. Needs event.lua and batch.lua.

-- Maximum tasks per call that are skipped in favour of another slave.
local MOST_SKIPS = 30
-- Maximum slaves examined for one worth waiting for: those that joined last.
local MOST_OTHERS = 1000

local function worker_of(slave)
  return string.match(slave, '^(.*):slave:[^:]*$') or slave
end

-- Whether a slave has an unended trial: if so, it asks for its next task in bounded time.
local function is_busy(slave)
  local trial = redis.pcall('LINDEX', slave .. ':trial', -1)
  local status = type(trial) == 'string' and redis.pcall('HGET', trial, 'status')
  return type(trial) == 'string' and not is_set(status)
end

-- The other slaves that may come for a task, as a function from 1, 2, … to each one, nil after the
-- last: live slaves as {slave, worker}, then workers that still prepare as {false, worker}. Once
-- the asking slave has waited long, only busy slaves. Uses pcall for the reason given at facts_of.
local function others_than(ask)
  local mine = string.match(ask.taskset, '^[^:]*:') .. 'worker:'
  local slaves = redis.pcall('LRANGE', ask.taskset .. ':slave', -MOST_OTHERS, -1)
  local left, known, have = #slaves, {}, {}
  local function is_alive(key)
    return string.sub(key, 1, #mine) == mine and redis.pcall('EXISTS', key .. ':heartbeat') == 1
  end
  local function next_slave()
    while left > 0 do
      local slave = slaves[left]
      left = left - 1
      if slave ~= ask.slave and is_alive(slave) and (ask.patient or is_busy(slave)) then
        have[worker_of(slave)] = true
        return { slave, worker_of(slave) }
      end
    end
  end
  local logs = nil
  local function next_worker()
    logs = logs or (ask.patient and redis.pcall('LRANGE', ask.taskset .. ':worker_log', 0, -1)) or {}
    while #logs > 0 do
      local fields = redis.pcall('HMGET', table.remove(logs), 'worker', 'finished_at', 'failure')
      local worker, finished_at, failure = unpack(fields)
      local is_open = is_set(worker) and not is_set(finished_at) and not is_set(failure)
      if is_open and not have[worker] and is_alive(worker) then
        have[worker] = true
        return { false, worker }
      end
    end
  end
  have[worker_of(ask.slave)] = true
  return function(i)
    known[i] = known[i] or next_slave() or next_worker()
    return known[i]
  end
end

-- Whether a requeued task should go to another slave: to one of another worker if it has failed on
-- this worker, otherwise to one without a trial of it if this slave has had one. So a task has all
-- its trials on one slave only if no other slave is alive, and a sick machine does not use up its
-- trials.
local function is_for_another(ask, task)
  local tried, failed_on = {}, {}
  for _, trial in ipairs(redis.pcall('LRANGE', task .. ':trial', 0, -1)) do
    local slave, status, stopped = unpack(redis.pcall('HMGET', trial, 'slave', 'status', 'stopped'))
    if is_set(slave) then
      tried[slave] = true
      if is_set(status) and not is_set(stopped) then
        failed_on[worker_of(slave)] = true
      end
    end
  end
  local here = failed_on[worker_of(ask.slave)]
  if not (here or tried[ask.slave]) then
    return false
  end
  ask.others = ask.others or others_than(ask)
  local i, other = 1, ask.others(1)
  while other do
    local slave, worker = unpack(other)
    if (here and not failed_on[worker]) or (tried[ask.slave] and slave and not tried[slave]) then
      return true
    end
    i = i + 1
    other = ask.others(i)
  end
  return false
end

-- The fields of a task; nil for anything that is not an rrr task (C7, L8). Uses pcall: an error
-- here would come after other tasks were popped, and they would be lost (Q2).
local function facts_of(task)
  local fields = redis.pcall('HMGET', task, 'status', 'spec_file', 'estimate_sec', 'queued')
  local status, spec_file, estimate, queued = unpack(fields)
  if not fields.err and (spec_file or redis.call('EXISTS', task) == 1) then
    return { is_final = is_set(status), spec_file = spec_file, estimate = estimate or '', queued = queued }
  end
end

-- Whether a task may share a batch. A requeued task may not, since it may have killed its slave;
-- nor may one whose estimate is above one second, the smallest one.
local function may_share(facts)
  local estimate = facts.estimate
  return not facts.queued and (estimate == '' or estimate == '0' or estimate == '1')
end

-- Adds the next tasks of the queue to the batch. It leaves other slaves at least as many each, and
-- stops at a task that needs no trial or may not share.
local function take_more(ask, tasks, facts)
  local queue = ask.taskset .. ':task_queue'
  local share = redis.call('LLEN', queue) / (2 * math.max(1, redis.call('LLEN', ask.taskset .. ':slave')))
  local more = math.min(ask.most - 1, MAX_BATCH - 1, math.floor(share))
  if more < 1 then
    return
  end
  local taken = { [tasks[1]] = true }
  for _, task in ipairs(redis.call('LRANGE', queue, 0, more - 1)) do
    local f = facts_of(task)
    -- A task that appears twice would get the same trial twice (C7).
    if taken[task] or not f or f.is_final or not may_share(f) then
      break
    end
    taken[task] = true
    tasks[#tasks + 1], facts[#facts + 1] = task, f
  end
  if #tasks > 1 then
    redis.call('LTRIM', queue, #tasks - 1, -1)
  end
end

-- Returns skipped tasks to the head of the queue for the next slave; or to its tail, if there are
-- so many that this slave would never see any others.
local function put_back(queue, skipped)
  if #skipped == MOST_SKIPS then
    redis.call('RPUSH', queue, unpack(skipped))
  elseif #skipped > 0 then
    for i = #skipped, 1, -1 do
      redis.call('LPUSH', queue, skipped[i])
    end
  else
    return
  end
  redis.call('EXPIRE', queue, KEY_TTL)
end

-- Pops tasks and creates their trials in one step (Q2: a task is never popped without a trial).
--
-- ask: taskset, slave, trial_id, now, arbiter_queue,
--   most      maximum tasks
--   patient   leave a task tried here to any other live slave, else only to a busy one
--             (see others_than)
--   announce  ask the arbiter for a check when the queue is empty
--   holds     the slave may have unended trials
--
-- Adds the trial_started event of the first trial to events; a slave reports the others of its
-- batch as it begins them.
-- Returns {'run', then for each trial: trial, spec_file, estimate_sec, attempt, 1 if it has begun},
-- {'empty'} or {'skip'}.
local function reserve(ask, events)
  local queue = ask.taskset .. ':task_queue'
  -- The race: a slave asks only after its batch has ended. If it has unended trials nevertheless,
  -- it reserved them by a call whose reply was lost, or that was delayed and arrived after its own
  -- repetition. No other slave would run them, and while this one lives their tasks are not
  -- requeued. So they are returned again.
  local batch = ask.holds and open_batch(ask.slave) or {}
  if #batch > 0 then
    local answer = { 'run' }
    for _, held in ipairs(batch) do
      local trial, task, begun = unpack(held)
      local spec_file, estimate = unpack(redis.call('HMGET', task, 'spec_file', 'estimate_sec'))
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3] = trial, spec_file_of(task, spec_file), estimate or ''
      answer[n + 4], answer[n + 5] = redis.call('LLEN', task .. ':trial'), begun and 1 or 0
    end
    return answer
  end
  local task, f
  local skipped = {}
  for _ = 1, 500 do
    task = redis.call('LPOP', queue)
    if not task then
      break
    end
    f = facts_of(task)
    -- Copies of finished tasks are dropped (L2, C7).
    if f and not f.is_final then
      if not (f.queued and is_for_another(ask, task)) then
        break
      end
      skipped[#skipped + 1] = task
    end
    task = nil
    if #skipped == MOST_SKIPS then
      break
    end
  end
  put_back(queue, skipped)
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
  if f.queued then
    redis.call('HDEL', task, 'queued')
  end
  local tasks, facts = { task }, { f }
  if ask.most > 1 and may_share(f) then
    take_more(ask, tasks, facts)
  end
  local trials, answer = {}, { 'run' }
  for i, each in ipairs(tasks) do
    local trial, first = each .. ':trial:' .. ask.trial_id, #trials == 0
    -- The race: a call that was delayed arrives after its own repetition, whose trials have ended.
    -- They must not change any more.
    local is_new = not ask.holds or redis.call('EXISTS', trial) == 0
    if is_new and first then
      is_new = redis.call('HSET', trial, 'task', each, 'slave', ask.slave, 'started_at', ask.now) == 3
    elseif is_new then
      is_new = redis.call('HSET', trial, 'task', each, 'slave', ask.slave) == 2
    end
    if is_new then
      redis.call('EXPIRE', trial, KEY_TTL)
      local attempt = redis.call('RPUSH', each .. ':trial', trial)
      if attempt == 1 then
        redis.call('EXPIRE', each .. ':trial', KEY_TTL)
      else
        -- Set only from the second trial on: without it, the arbiter need not read the trials of a
        -- task that passes at once.
        redis.call('HSET', each, 'trials', attempt)
      end
      trials[#trials + 1] = trial
      task = first and each or task
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3] = trial, spec_file_of(each, facts[i].spec_file), facts[i].estimate
      answer[n + 4], answer[n + 5] = attempt, first and 1 or 0
    else
      -- This same call was run before, and its trial has ended: listing the trial twice would count
      -- it twice.
      redis.call('LPUSH', queue, each)
      redis.call('EXPIRE', queue, KEY_TTL)
      redis.call('HSET', each, 'queued', 1)
    end
  end
  if #trials == 0 then
    return { 'skip' }
  end
  if redis.call('RPUSH', ask.slave .. ':trial', unpack(trials)) == #trials then
    redis.call('EXPIRE', ask.slave .. ':trial', KEY_TTL)
  end
  -- JSON by string concatenation, since every task has this event: a table and its encoding cost as
  -- much as two commands.
  local json = cjson.encode
  events[#events + 1] = '{"event":"trial_started","task":' .. json(task) .. ',"spec_file":' .. json(answer[3])
    .. ',"trial":' .. json(answer[2]) .. ',"slave":' .. json(ask.slave) .. ',"attempt":' .. answer[5] .. '}'
  return answer
end
