-- finish: a slave ends its trial, tells the arbiter, and takes its next task, all in one step.
-- Guarantees that a result is recorded once and never lost between record and message (Q3), and
-- that a result of a trial that was already ended by somebody else changes nothing but late_status.
-- shared: event reserve
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue, 4 trial, 5 task
-- ARGV 1 next trial id ('' to take none), 2 now, 3 again (1/0), 4 trial status, 5 spec_file,
--      6 duration_ms, 7 passed, 8 pending, 9 failed, 10 stopped ('' or why),
--      11… field, value of the trial hash
-- returns first 'recorded' | 'late' | 'gone', then as reserve, or 'over'/'fenced'
local taskset, slave, trial = KEYS[1], KEYS[2], KEYS[4]
local state, detail = standing(taskset, slave)
local again = ARGV[3] == '1'
local outcome = 'recorded'
-- A slave in good standing is the only one who may end its trial, so only others need a look.
if state ~= 'good' or again then
  local f = redis.call('HMGET', trial, 'status', 'task')
  if not f[2] or redis.call('TTL', taskset) ~= -1 then
    -- Expired or persisted: a write would bring a key back without an expiry (K1, K2).
    outcome = 'gone'
  elseif is_set(f[1]) then
    outcome = 'late'
  end
end
local events = {}
if outcome == 'recorded' then
  redis.call('HSET', trial, 'status', ARGV[4], 'finished_at', ARGV[2], unpack(ARGV, 11))
  if detail == '' then
    redis.call('RPUSH', KEYS[3], 'trial\t' .. trial)
    events[1] = {
      event = 'trial_finished',
      task = KEYS[5],
      spec_file = ARGV[5],
      trial = trial,
      slave = slave,
      status = ARGV[4],
      duration_ms = tonumber(ARGV[6]),
      passed = tonumber(ARGV[7]),
      pending = tonumber(ARGV[8]),
      failed = tonumber(ARGV[9]),
      stopped = ARGV[10] ~= '' and ARGV[10] or nil,
    }
  end
elseif outcome == 'late' and not again then
  redis.call('HSET', trial, 'late_status', ARGV[4])
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
    again = again,
  }, events)
  answer = { outcome, unpack(next) }
end
emit(taskset, events)
return answer
