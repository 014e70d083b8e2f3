-- taskset_assign: gives an open taskset to idle workers that the dispatcher has chosen.
-- Guarantees that a worker has at most one taskset, counting its queue, that max_workers covers
-- both (C4), and that a cancelled taskset is never set running (C1). The race: the dispatcher
-- counts the taskset's workers before this call. If another dispatcher has given it to one since,
-- the field 'given' differs, the count is stale, and nothing is given.
-- shared: event close
-- KEYS 1 taskset
-- ARGV 1 the taskset's 'given' when the dispatcher counted, 2 maximum workers, 3… idle workers
-- returns 'done' | 'stale', the workers it was given to, '', those that have failed it before, '',
--   then the emitted events (taskset, JSON, …)
local taskset = KEYS[1]
local wanted_type, counted = unpack(redis.call('HMGET', taskset, 'worker_type', 'given'))
local _, open, status = is_open(taskset)
if not open then
  return { 'done', '', '' }
elseif (counted or '') ~= ARGV[1] then
  return { 'stale', '', '' }
end
local given, failed = {}, {}
for i = 3, #ARGV do
  if #given >= tonumber(ARGV[2]) then
    break
  end
  local worker = ARGV[i]
  local current, type, benched = unpack(redis.call('HMGET', worker, 'taskset', 'worker_type', 'benched'))
  local queue = worker .. ':worker_queue'
  local is_idle = not is_set(current) and type == wanted_type and not is_set(benched)
  if is_idle and redis.call('EXISTS', queue) == 0 and redis.call('EXISTS', worker .. ':heartbeat') == 1 then
    -- A worker whose setup failed for this taskset is not given it again (L9).
    if redis.call('HGET', taskset .. ':worker_log:' .. worker, 'failure') then
      failed[#failed + 1] = worker
    else
      redis.call('RPUSH', queue, taskset)
      redis.call('EXPIRE', queue, KEY_TTL)
      given[#given + 1] = worker
    end
  end
end
if #given > 0 then
  redis.call('HSET', taskset, 'given', (tonumber(counted or '') or 0) + #given)
  if not is_set(status) then
    redis.call('HSET', taskset, 'status', 'running')
    emit(taskset, { { event = 'taskset_running' } })
    redis.call('EXPIRE', taskset .. ':events', KEY_TTL)
  end
end
local answer = { 'done' }
for _, list in ipairs({ given, failed }) do
  for _, worker in ipairs(list) do
    answer[#answer + 1] = worker
  end
  answer[#answer + 1] = ''
end
for _, item in ipairs(emitted) do
  answer[#answer + 1] = item
end
return answer
