-- finish: a slave ends its trial, tells the arbiter, and takes its next task, all in one step.
-- Guarantees that a result is recorded once and never lost between record and message (Q3), that
-- a result of a trial that was already ended by somebody else changes nothing but late_status, and
-- that a call which comes a second time (its answer, or itself, was held up) changes nothing.
-- shared: event reserve
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue, 4 trial
-- ARGV 1 next trial id ('' to take none), 2 now, 3 trial status, 4 duration_ms, 5 its trial_finished
--      event as JSON, 6 stdout, 7 stderr, 8 passed, 9 pending, 10 failed, 11… more of the trial hash: field, value
-- returns first 'recorded' | 'late' | 'gone', then as reserve, or 'over'/'fenced'
local taskset, slave, trial = KEYS[1], KEYS[2], KEYS[4]
local f = redis.call('HMGET', trial, 'status', 'task', 'duration_ms')
-- Who declares a slave dead ends its trial in the same step (reap.lua): one whose trial has not
-- ended lives, and holds no later one.
local fresh = f[2] and not is_set(f[1])
local state, detail = standing(taskset, not fresh and slave)
local outcome, repeated = 'recorded', false
if not f[2] or (state ~= 'good' and redis.call('TTL', taskset) ~= -1) then
  -- Expired or persisted: a write would bring a key back without an expiry (K1, K2).
  outcome = 'gone'
elseif f[1] == ARGV[3] and f[3] == ARGV[4] then
  -- The status alone does not tell: who ends the trial of a dead slave may have given the same, but
  -- knows no duration.
  repeated = true
elseif is_set(f[1]) then
  outcome = 'late'
end
local events = {}
if outcome == 'recorded' and not repeated then
  redis.call('HSET', trial, 'status', ARGV[3], 'finished_at', ARGV[2], 'duration_ms', ARGV[4],
    'stdout', ARGV[6], 'stderr', ARGV[7],
    'passed', ARGV[8], 'pending', ARGV[9], 'failed', ARGV[10], unpack(ARGV, 11))
  if detail == '' then
    redis.call('RPUSH', KEYS[3], 'trial\t' .. trial)
    events[1] = ARGV[5]
  end
elseif outcome == 'late' then
  redis.call('HSET', trial, 'late_status', ARGV[3])
end
local answer
if state ~= 'good' then
  answer = { outcome, state, detail }
elseif ARGV[1] == '' then
  answer = { outcome, 'none' }
else
  local next = reserve({
    taskset = taskset,
    slave = slave,
    arbiter_queue = KEYS[3],
    trial_id = ARGV[1],
    now = ARGV[2],
    patient = true,
    announce = true,
    holds = not fresh,
    finished = trial,
  }, events)
  answer = { outcome, unpack(next) }
end
emit(taskset, events)
return answer
