-- trial_finish: records the results of a slave's trials, notifies the arbiter, and reserves the
-- slave's next tasks, all in one step.
-- Guarantees that a result is recorded once and never lost between record and message (Q3), that a
-- result for a trial that was already ended by another process changes nothing but late_status, and
-- that a repeated call (because its reply or the call itself was delayed) changes nothing.
-- shared: event batch reserve
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue, 4… the trials
-- ARGV 1 next trial id, 2 now, 3 maximum tasks to reserve (0: none), 4… for each trial: the number
--   of its further arguments, trial status, duration_ms, its trial_started event as JSON ('' if
--   already emitted), its trial_finished event as JSON, stdout, stderr, passed, pending, failed,
--   further fields of the trial hash: field, value, …
-- returns for each trial 'recorded' | 'late' | 'gone', then the answer of reserve, or 'none'
local taskset, slave, arbiter_queue = KEYS[1], KEYS[2], KEYS[3]
local found, fresh = {}, false
for i = 4, #KEYS do
  local status, task, duration_ms = unpack(redis.call('HMGET', KEYS[i], 'status', 'task', 'duration_ms'))
  found[i] = { status = status, exists = task, duration_ms = duration_ms }
  fresh = fresh or (task and not is_set(status))
end
-- Declaring a slave dead ends its trials in the same step (slave_reap.lua). So a slave with an
-- unended trial is alive, and it has no later batch.
local state, detail = standing(taskset, not fresh and slave)
-- Expired or persisted: a write would recreate a key without an expiry (K1, K2).
local expired = state ~= 'good' and redis.call('TTL', taskset) ~= -1
local answer, events, messages = {}, {}, {}
local at = 4
for i = 4, #KEYS do
  local trial, known = KEYS[i], found[i]
  local last = at + ARGV[at]
  local status, duration_ms, started, finished, stdout, stderr, passed, pending, failed = unpack(ARGV, at + 1, at + 9)
  local outcome = 'recorded'
  if expired or not known.exists then
    outcome = 'gone'
  elseif not is_set(known.status) then
    redis.call('HSET', trial, 'status', status, 'finished_at', ARGV[2], 'duration_ms', duration_ms,
      'stdout', stdout, 'stderr', stderr,
      'passed', passed, 'pending', pending, 'failed', failed, unpack(ARGV, at + 10, last))
    if detail == '' then
      messages[#messages + 1] = 'trial\t' .. trial
      if started ~= '' then
        events[#events + 1] = started
      end
      events[#events + 1] = finished
    end
  elseif known.status ~= status or known.duration_ms ~= duration_ms then
    -- The race: this call may be a repetition of itself, or another process may have ended the
    -- trial of a dead slave with the same status. Only the duration distinguishes them, since that
    -- process does not know it.
    outcome = 'late'
    redis.call('HSET', trial, 'late_status', status)
  end
  answer[#answer + 1] = outcome
  at = last + 1
end
if #messages > 0 then
  redis.call('RPUSH', arbiter_queue, unpack(messages))
end
local most, taken = tonumber(ARGV[3]), { 'none' }
if state ~= 'good' then
  taken = { state, detail }
elseif most > 0 then
  taken = reserve({
    taskset = taskset,
    slave = slave,
    arbiter_queue = arbiter_queue,
    trial_id = ARGV[1],
    now = ARGV[2],
    most = most,
    patient = true,
    announce = true,
    holds = not fresh,
  }, events)
end
for i = 1, #taken do
  answer[#answer + 1] = taken[i]
end
emit(taskset, events)
return answer
