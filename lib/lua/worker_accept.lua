-- worker_accept: accepts the taskset at the head of a worker's queue, and opens the worker log.
-- Guarantees that only an active taskset is accepted (the worker's Redis user cannot write that
-- list), that a finished taskset is dropped instead (Q4), that the message is popped only together
-- with the worker's note of it (Q2), that a call whose reply was lost may be repeated, and that a
-- second stay gets its own log (C10).
-- shared: event close
-- KEYS 1 taskset, 2 worker, 3 worker_queue, 4 worker log of a first stay
-- ARGV 1 message ('' when the worker's owner named the taskset), 2 now, 3 active_taskset (not a
--   key: only read)
-- returns {'accepted', worker log, emitted…} | {'over', status} | {'moved'} | {'staged'} |
--   {'inactive'}
local taskset, worker = KEYS[1], KEYS[2]
local exists, open, status = is_open(taskset)
local active = redis.call('LPOS', ARGV[3], taskset)
if redis.call('HGET', worker, 'taskset') == taskset then
  -- A worker asks only when idle, so an earlier call succeeded and its reply was lost.
  local logs = redis.call('LRANGE', taskset .. ':worker_log', 0, -1)
  for i = #logs, 1, -1 do
    local of_worker, finished_at = unpack(redis.call('HMGET', logs[i], 'worker', 'finished_at'))
    if of_worker == worker and not finished_at then
      if active then
        return { 'accepted', logs[i] }
      end
      redis.call('HSET', logs[i], 'finished_at', ARGV[2])
    end
  end
  if not active then
    redis.call('HDEL', worker, 'taskset')
  end
end
if ARGV[1] ~= '' and redis.call('LINDEX', KEYS[3], 0) ~= ARGV[1] then
  return { 'moved' }
end
if open and not active then
  return { ARGV[1] == '' and 'staged' or 'inactive' }
end
if exists and open and redis.call('TTL', taskset) ~= -1 then
  return { 'staged' }
end
if ARGV[1] ~= '' then
  redis.call('LPOP', KEYS[3])
end
if not open then
  return { 'over', status or 'gone' }
end
if not is_set(status) then
  redis.call('HSET', taskset, 'status', 'running')
  emit(taskset, { { event = 'taskset_running' } })
end
local log, stay = KEYS[4], 1
while redis.call('EXISTS', log) == 1 do
  stay = stay + 1
  log = KEYS[4] .. ':' .. stay
end
redis.call('HSET', log, 'worker', worker, 'taskset', taskset, 'started_at', ARGV[2])
redis.call('EXPIRE', log, KEY_TTL)
redis.call('RPUSH', taskset .. ':worker_log', log)
redis.call('EXPIRE', taskset .. ':worker_log', KEY_TTL)
redis.call('HSET', worker, 'taskset', taskset)
emit(taskset, { { event = 'worker_joined', worker = worker } })
redis.call('EXPIRE', taskset .. ':events', KEY_TTL)
return { 'accepted', log, unpack(emitted) }
