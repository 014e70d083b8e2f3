-- Shared: taking the next tasks. Needs event.lua and hand.lua.

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

-- What is to be known of a task; nil of something that is no task of ours (C7, L8). By pcall: an
-- error would come after others were taken from the queue, and they would be lost (Q2).
local function facts_of(task)
  local f = redis.pcall('HMGET', task, 'status', 'spec_file', 'estimate_sec', 'queued')
  if not f.err and (f[2] or redis.call('EXISTS', task) == 1) then
    return f
  end
end

-- Whether a task may share a hand: not one that was put back, since it may have ended its slave, nor
-- one that is known to take more than the least that an estimate can say.
local function may_share(facts)
  return not facts[4] and (not is_set(facts[3]) or facts[3] == '0' or facts[3] == '1')
end

-- Takes the tasks that stand next in the queue into the hand of the one that was taken: so few that other
-- slaves have as many each, and none that is not to be tried or may not share.
local function take_more(ask, tasks, facts)
  local queue = ask.taskset .. ':task_queue'
  local share = redis.call('LLEN', queue) / (2 * math.max(1, redis.call('LLEN', ask.taskset .. ':slave')))
  local more = math.min(ask.most - 1, MOST_IN_HAND - 1, math.floor(share))
  if more < 1 then
    return
  end
  local taken = { [tasks[1]] = true }
  for _, task in ipairs(redis.call('LRANGE', queue, 0, more - 1)) do
    local f = facts_of(task)
    -- The same twice would be the same trial (C7).
    if taken[task] or not f or is_set(f[1]) or not may_share(f) then
      break
    end
    taken[task] = true
    tasks[#tasks + 1], facts[#facts + 1] = task, f
  end
  if #tasks > 1 then
    redis.call('LTRIM', queue, #tasks - 1, -1)
  end
end

-- Takes tasks from the queue and creates their trials, in one step (Q2: never popped and untried).
-- ask: taskset, slave, trial_id, now, most (tasks it wants), patient (may be told to come back for
-- another slave's sake), announce (ask the arbiter for a check when the queue is empty), holds (the
-- slave may have trials already), arbiter_queue. Adds the event of the first to events: who has more
-- tells of the others as it begins them.
-- Returns {'run', then of each trial: trial, spec_file, estimate_sec, attempt, 1 if it has
-- begun}, {'empty'} or {'skip'}.
local function reserve(ask, events)
  local queue = ask.taskset .. ':task_queue'
  -- A slave that asks has nothing on hand. If it has trials that have not ended, it took those by a
  -- call whose answer was lost, or that was held up and came after its repetition: nobody else
  -- would make them, and while their slave lives nobody would put their tasks back.
  local hand = ask.holds and on_hand(ask.slave) or {}
  if #hand > 0 then
    local answer = { 'run' }
    for _, held in ipairs(hand) do
      local trial, task, begun = unpack(held)
      local k = redis.call('HMGET', task, 'spec_file', 'estimate_sec')
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3] = trial, spec_file_of(task, k[1]), k[2] or ''
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
    -- A copy of a finished task is dropped (L2, C7).
    if f and not is_set(f[1]) then
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
    f = facts_of(task)
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
  local tasks, facts = { task }, { f }
  if ask.most > 1 and may_share(f) then
    take_more(ask, tasks, facts)
  end
  local trials, answer = {}, { 'run' }
  for i, each in ipairs(tasks) do
    local trial = each .. ':trial:' .. ask.trial_id
    if i == 1 then
      redis.call('HSET', trial, 'task', each, 'slave', ask.slave, 'started_at', ask.now)
    else
      redis.call('HSET', trial, 'task', each, 'slave', ask.slave)
    end
    redis.call('EXPIRE', trial, KEY_TTL)
    local attempt = redis.call('RPUSH', each .. ':trial', trial)
    if attempt == 1 then
      redis.call('EXPIRE', each .. ':trial', KEY_TTL)
    else
      -- Spares the arbiter a look at the trials of each task that passes at once.
      redis.call('HSET', each, 'trials', attempt)
    end
    trials[i] = trial
    local n = #answer
    answer[n + 1], answer[n + 2], answer[n + 3] = trial, spec_file_of(each, facts[i][2]), facts[i][3] or ''
    answer[n + 4], answer[n + 5] = attempt, i == 1 and 1 or 0
  end
  if redis.call('RPUSH', ask.slave .. ':trial', unpack(trials)) == #trials then
    redis.call('EXPIRE', ask.slave .. ':trial', KEY_TTL)
  end
  -- By hand, as each task has one: a table and its encoding cost as much as two commands.
  local json = cjson.encode
  events[#events + 1] = '{"event":"trial_started","task":' .. json(task) .. ',"spec_file":' .. json(answer[3])
    .. ',"trial":' .. json(answer[2]) .. ',"slave":' .. json(ask.slave) .. ',"attempt":' .. answer[5] .. '}'
  return answer
end
