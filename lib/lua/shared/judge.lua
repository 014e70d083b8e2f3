-- Shared: the verdicts of tasks. Needs event.lua, close.lua, ends.lua and policy.lua.
--
-- One call may judge trials of several tasksets. The changes to each taskset are collected in its
-- book and written once, by flush(). A key of the wrong type (L8) fails before its book is changed,
-- so the rest of the call remains valid.

local NOW
local books = {}

-- The end of tasks_left from which LREM searches. LREM scans every entry before its match, which
-- took 85 s of Redis' time in a run of 100,000 tasks, so the nearer end matters. Strings, since
-- Redis would convert a number at every call.
local HEAD, TAIL = '1', '-1'
local NEAR = HEAD

local function book_of(taskset)
  local book = books[taskset]
  if not book then
    local exists, open, _, max_trials, policy = is_open(taskset)
    book = {
      exists = exists,
      open = open,
      max_trials = math.max(1, tonumber(max_trials or '') or 1),
      policy = is_set(policy) and read_policy(policy) or nil,
      succeeded = 0,
      failed = 0,
      flaky = 0,
      events = {},
    }
    books[taskset] = book
  end
  return book
end

local function note(taskset, event)
  local events = books[taskset].events
  events[#events + 1] = event
end

-- Writes status, count and tasks_left in one script (C2). The caller has checked that the task has
-- no status, so that a task is finalised at most once (promise 1).
local function settle(taskset, task, spec_file, status, trials, flaky)
  local book = books[taskset]
  -- LREM first: if that key is not a list, the task must get neither a status nor a count.
  redis.call('LREM', taskset .. ':tasks_left', NEAR, task)
  redis.call('HSET', task, 'status', status)
  if status == 'failed' then
    book.failed = book.failed + 1
    if book.policy and has_reached_max_fail(taskset, book) then
      -- The rest of this call's messages come too late: what is judged no more is not counted.
      book.reached = true
    end
  else
    book.succeeded = book.succeeded + 1
    if flaky then
      book.flaky = book.flaky + 1
    end
  end
  -- JSON by string concatenation: every task has this event, and cjson is slower.
  note(taskset, '{"event":"task_finished","spec_file":' .. cjson.encode(spec_file) .. ',"status":"' .. status
    .. '","trials":' .. trials .. ',"flaky":' .. tostring(flaky) .. '}')
end

-- Requeues a task at the head, marked so that it is not requeued twice.
local function requeue(taskset, task, spec_file, reason)
  redis.call('LPUSH', taskset .. ':task_queue', task)
  redis.call('EXPIRE', taskset .. ':task_queue', KEY_TTL)
  redis.call('HSET', task, 'queued', 1)
  books[taskset].wake = true
  note(taskset, { event = 'task_requeued', spec_file = spec_file, reason = reason })
end

-- The state of a task's trials: the number that finished, the number of failures that count, the
-- status of a recorded pass (good; nil without one), whether a live slave still runs one, and of
-- one of them whether it was stopped and whether its runner refuses a retry. A name without our
-- prefix is skipped: the ACL would refuse it, and with it the script (L8).
local function survey(taskset, trials, one)
  local s = { finished = 0, bad = 0, unfinished = 0, live = false, stopped = false, refused = false }
  local prefix = string.match(taskset, '^[^:]*:')
  for _, trial in ipairs(trials) do
    local is_ours = string.sub(trial, 1, #prefix) == prefix
    local fields = is_ours and redis.call('HMGET', trial, 'status', 'stopped', 'slave', 'retry') or {}
    local status, stopped, slave, retry = unpack(fields)
    if trial == one then
      s.stopped, s.refused = is_set(stopped), retry == '0'
    end
    if is_set(status) then
      s.finished = s.finished + 1
      if status == 'passed' or (status == 'pending' and not s.good) then
        s.good = status
      elseif status ~= 'pending' and not is_set(stopped) then
        s.bad = s.bad + 1
      end
    elseif is_ours then
      s.unfinished = s.unfinished + 1
      local is_slave = is_set(slave) and string.sub(slave, 1, #prefix) == prefix
      if is_slave and redis.call('EXISTS', slave .. ':heartbeat') == 1 then
        s.live = true
      end
    end
  end
  return s
end

-- Judges one finished trial of a task; safe to repeat. Returns the reason why it cannot be judged,
-- or nil.
local function judge(taskset, task, trial)
  local book = book_of(taskset)
  if not book.exists then
    return 'the taskset does not exist'
  elseif not book.open or book.reached then
    return nil
  end
  local status, of_task, duration_ms = unpack(redis.call('HMGET', trial, 'status', 'task', 'duration_ms'))
  if not is_set(status) then
    return of_task and 'the trial has not finished' or 'the trial does not exist'
  end
  local verdict, spec_file, of_taskset, many = unpack(redis.call('HMGET', task, 'status', 'spec_file', 'taskset', 'trials'))
  if is_set(verdict) then
    return nil
  elseif not (spec_file or of_taskset) then
    return 'the task does not exist'
  end
  spec_file = spec_file_of(task, spec_file)
  local passed = status == 'passed' or status == 'pending'
  if passed and duration_ms and not many then
    -- A duration means that an rrr slave ran the trial, and it is the only one: there is nothing to
    -- compare it with.
    settle(taskset, task, spec_file, status, 1, false)
    return nil
  end
  local trials = redis.call('LRANGE', task .. ':trial', 0, -1)
  if passed then
    local flaky = false
    if #trials > 1 then
      local s = survey(taskset, trials)
      flaky = s.bad > 0
      if s.unfinished > 0 then
        wake(taskset, 'stop', task)
      end
    end
    settle(taskset, task, spec_file, status, #trials, flaky)
    return nil
  end
  -- Before the mark below: if a trial cannot be read, this one must not remain marked as judged.
  local s = survey(taskset, trials, trial)
  -- A failed trial may requeue its task once, however often it is announced (C3, C7).
  if redis.call('HSETNX', trial, 'judged', 1) == 0 then
    return nil
  end
  if s.good then
    -- A copy has passed and its message is still on its way: a pass counts, whatever the order.
    if s.unfinished > 0 then
      wake(taskset, 'stop', task)
    end
    settle(taskset, task, spec_file, s.good, #trials, s.bad > 0)
    return nil
  end
  -- Trials stopped from outside (by a worker's shutdown, for example) do not count towards
  -- max_trials. Their number is limited, so that a test that stops its own worker still comes to an
  -- end.
  local last = s.bad >= book.max_trials or s.finished >= book.max_trials + STOPPED_ALLOWANCE
  if not (last or s.stopped) then
    last = s.refused or (book.policy and not may_retry(taskset, book, status, s.live))
  end
  if last then
    if s.unfinished > 0 then
      wake(taskset, 'stop', task)
    end
    settle(taskset, task, spec_file, 'failed', #trials, false)
  elseif not s.live then
    -- A live copy will bring its own verdict.
    requeue(taskset, task, spec_file, status)
  end
  return nil
end

-- Counts a taskset's tasks by their own statuses, and corrects the sums if every task has one:
-- another implementation's arbiter may have counted a task that was counted here too (C3). Returns
-- the numbers of succeeded and failed tasks.
local function recount(taskset)
  local tasks = redis.call('LRANGE', taskset .. ':tasks', 0, -1)
  local succeeded, failed = 0, 0
  for _, task in ipairs(tasks) do
    local status = try(redis.call, 'HGET', task, 'status')
    if status == 'passed' or status == 'pending' then
      succeeded = succeeded + 1
    elseif status == 'failed' then
      failed = failed + 1
    end
  end
  if succeeded + failed == #tasks then
    redis.call('HSET', taskset, 'succeeded_count', succeeded, 'failed_count', failed)
  end
  return succeeded, failed
end

-- The verdict once no task is left. A taskset whose books do not balance has not succeeded (F1).
-- While the end of a suite is awaited, slaves are asked to end their runners, and the arbiter's
-- next tick calls this again.
local function finalise(taskset)
  local fields = redis.call('HMGET', taskset, 'succeeded_count', 'failed_count', 'ends', 'policy', 'flaky_count')
  local succeeded, failed, ends, policy, flaky = unpack(fields)
  succeeded, failed = tonumber(succeeded or '') or 0, tonumber(failed or '') or 0
  local tasks = redis.call('LLEN', taskset .. ':tasks')
  if succeeded + failed ~= tasks then
    succeeded, failed = recount(taskset)
  end
  if tasks == 0 then
    close(taskset, 'failed', 'no tasks: none were written, or they expired', NOW)
  elseif succeeded + failed ~= tasks then
    local reason = string.format(
      'accounting mismatch: %d succeeded + %d failed of %d tasks', succeeded, failed, tasks)
    close(taskset, 'failed', reason, NOW)
  else
    local awaited, reason
    if ends then
      awaited, reason = look_at_ends(taskset)
    end
    if awaited then
      wake(taskset, 'end')
    else
      if failed == 0 and not reason and is_set(policy) then
        reason = why_flaky_fails(policy, flaky)
      end
      close(taskset, failed == 0 and not reason and 'succeeded' or 'failed', reason, NOW)
    end
  end
end

-- Writes a taskset's book, and finalises the taskset if it has no task left.
local function flush(taskset)
  local book = books[taskset]
  if not book.open then
    return
  end
  if book.succeeded > 0 then
    redis.call('HINCRBY', taskset, 'succeeded_count', book.succeeded)
  end
  if book.failed > 0 then
    redis.call('HINCRBY', taskset, 'failed_count', book.failed)
  end
  if book.flaky > 0 then
    redis.call('HINCRBY', taskset, 'flaky_count', book.flaky)
  end
  emit(taskset, book.events)
  if book.wake then
    wake(taskset, 'work')
  end
  if book.look or book.succeeded + book.failed > 0 then
    if redis.call('EXISTS', taskset .. ':tasks_left') == 0 then
      finalise(taskset)
    elseif book.reached then
      close(taskset, 'failed', why_reached(book), NOW)
    end
  end
end
