-- taskset_fail_unrunnable: fails a taskset that every live worker of its type has reported as
-- unrunnable.
-- Guarantees that the taskset does not wait forever for a worker that was to retry it and has left
-- since (L9), that a newly registered worker counts, and that with no live worker the taskset
-- waits.
-- shared: event close worker
-- KEYS 1 taskset, 2 active_taskset, 3 persister_queue
-- ARGV 1 the worker set (not a key: only read), 2 now, 3 whether to fail it (1) or only to check
--   (0)
-- returns 1 if the taskset is unrunnable, else 0; then the emitted events (taskset, JSON, …)
local taskset = KEYS[1]
ACTIVE, PERSISTER = KEYS[2], KEYS[3]
local _, open = is_open(taskset)
if not open then
  return { 0 }
end
local reasons, reason = {}, nil
for _, log in ipairs(redis.call('LRANGE', taskset .. ':worker_log', 0, -1)) do
  local worker, failure = unpack(redis.call('HMGET', log, 'worker', 'failure'))
  if worker and failure then
    reasons[worker] = failure
  end
end
-- Almost always empty: then the workers are not read.
if not next(reasons) then
  return { 0 }
end
local type = redis.call('HGET', taskset, 'worker_type')
for _, worker in ipairs(living(ARGV[1])) do
  local gave = reasons[worker.key]
  -- A busy or benched worker that has not tried the taskset may still succeed.
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
