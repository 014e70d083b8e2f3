-- trial_reserve: reserves a slave's next tasks and creates their trials, in one step.
-- Guarantees that a task leaves the queue only when its trial is created, that finished tasks get
-- no further trial, and that a fenced slave gets nothing.
-- shared: event batch reserve
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue
-- ARGV 1 trial id, 2 now, 3 maximum tasks, 4 patient (1/0), 5 announce (1/0)
-- returns {'run', then for each trial: trial, spec_file, estimate_sec, attempt, 1 if it has begun}
--   | {'empty'} | {'skip'} | {'over', status} | {'fenced'}
local taskset, slave = KEYS[1], KEYS[2]
local state, detail = standing(taskset, slave)
if state ~= 'good' then
  return { state, detail }
end
local events = {}
local answer = reserve({
  taskset = taskset,
  slave = slave,
  arbiter_queue = KEYS[3],
  trial_id = ARGV[1],
  now = ARGV[2],
  most = tonumber(ARGV[3]),
  patient = ARGV[4] == '1',
  announce = ARGV[5] == '1',
  holds = true,
}, events)
emit(taskset, events)
return answer
