-- taskset_fail_unrunnable: fails a taskset that every living worker of its type has said it cannot run.
-- Guarantees that a failure which was passed on to a worker that has gone since is not waited on for
-- ever (L9), that one which has just registered is counted, and that with none alive it still waits.
-- shared: event close worker
-- KEYS 1 taskset, 2 active_taskset, 3 persister_queue
-- ARGV 1 the worker set (no key: it is only read), 2 now, 3 whether to fail it (1), or only to look (0)
-- returns 1 if that is how it stands, else 0; then what was emitted (taskset, JSON, …)
local taskset = KEYS[1]
ACTIVE, PERSISTER = KEYS[2], KEYS[3]
local _, open = is_open(taskset)
if not open then
  return { 0 }
end
local reasons, reason = {}, nil
for _, log in ipairs(redis.call('LRANGE', taskset .. ':worker_log', 0, -1)) do
  local f = redis.call('HMGET', log, 'worker', 'failure')
  if f[1] and f[2] then
    reasons[f[1]] = f[2]
  end
end
-- Nearly always none: the books of the workers are not looked at.
if not next(reasons) then
  return { 0 }
end
local type = redis.call('HGET', taskset, 'worker_type')
for _, worker in ipairs(living(ARGV[1])) do
  local gave = reasons[worker.key]
  -- A busy or benched one that has not tried it may do better later.
  if is_engaged(worker, taskset) or (worker.type == type and not gave) then
    return { 0 }
  elseif worker.type == type then
    reason = gave
  end
end
if not reason then
  return { 0 }
end
if ARGV[3] == '1' then
  close(taskset, 'failed', reason, ARGV[2])
end
return { 1, unpack(emitted) }
