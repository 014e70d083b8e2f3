-- taskset_stage_tasks: adds tasks to a staged taskset.
-- Guarantees that they are added once, however late or often the call arrives, only by the
-- submission that owns the taskset, and that their keys expire (K4).
-- KEYS 1 taskset, 2 tasks, 3 tasks_left, 4 task_queue
-- ARGV 1 submission, 2 number of tasks before these, then for each: key, spec_file, estimate_sec
--   ('' if unknown)
-- returns the number of tasks now, or -1 if the taskset is no longer staged or belongs to another
--   submission
if redis.call('TTL', KEYS[1]) < 0 or redis.call('HGET', KEYS[1], 'submission') ~= ARGV[1] then
  return -1
end
local count = redis.call('LLEN', KEYS[2])
if count ~= tonumber(ARGV[2]) then
  return count
end
local tasks = {}
for at = 3, #ARGV, 3 do
  local task, spec_file, estimate = unpack(ARGV, at, at + 2)
  tasks[#tasks + 1] = task
  local known = estimate ~= '' and { 'estimate_sec', estimate } or {}
  redis.call('HSET', task, 'taskset', KEYS[1], 'spec_file', spec_file, unpack(known))
  redis.call('EXPIRE', task, KEY_TTL)
end
for list = 2, 4 do
  redis.call('RPUSH', KEYS[list], unpack(tasks))
  redis.call('EXPIRE', KEYS[list], KEY_TTL)
end
return count + #tasks
