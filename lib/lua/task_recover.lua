-- task_recover: puts back tasks that got lost, and finalises a taskset that has nothing left.
-- Guarantees that a task is put back only if nothing else will bring its verdict: it has no
-- status, is not queued, and no living slave tries it. Called with no task it only finalises.
-- shared: event batch close ends reap judge
-- KEYS 1 taskset, 2 active_taskset, 3 persister_queue, 4 arbiter_queue
-- ARGV 1 now, 2… tasks that may be lost (at most 200)
-- returns how many were put back, then what was emitted (taskset, JSON, …)
local taskset = KEYS[1]
ACTIVE, PERSISTER, NOW = KEYS[2], KEYS[3], ARGV[1]
-- They come from the last to the first, as each is put at the head of the queue.
NEAR = TAIL
local exists, open, status = is_open(taskset)
if not exists then
  redis.call('LREM', ACTIVE, 0, taskset)
  return { 0 }
elseif not open then
  -- Somebody else's arbiter stopped half-way through finishing it (I8).
  if redis.call('LREM', ACTIVE, 0, taskset) > 0 and redis.call('TTL', taskset) == -1 then
    redis.call('RPUSH', PERSISTER, taskset)
  end
  return { 0 }
elseif redis.call('EXISTS', taskset .. ':tasks') == 0 then
  -- It never had tasks (F2), or waited for a worker until they expired: no verdict can come.
  finalise(taskset)
  return { 0, unpack(emitted) }
elseif status ~= 'running' then
  return { 0 }
end
local book = book_of(taskset)
book.look = true
local function has_queue()
  return redis.call('EXISTS', taskset .. ':task_queue') == 1
end
local queued = has_queue()
local prefix = string.match(taskset, '^[^:]*:')
local lost = 0
for i = 2, #ARGV do
  local task = ARGV[i]
  local k = redis.call('HMGET', task, 'status', 'spec_file', 'queued')
  local spec_file = spec_file_of(task, k[2])
  if is_set(k[1]) then
    -- Settled, but left here by a crash of somebody else's arbiter (C2).
    redis.call('LREM', taskset .. ':tasks_left', NEAR, task)
  elseif spec_file and not (queued and k[3]) then
    if not k[2] then
      redis.call('HSET', task, 'taskset', taskset, 'spec_file', spec_file)
      redis.call('EXPIRE', task, KEY_TTL)
    end
    local waiting = false
    for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
      -- A name without our prefix is passed over: the ACL refuses it, and with it the script (L8).
      local is_ours = string.sub(trial, 1, #prefix) == prefix
      local f = is_ours and redis.call('HMGET', trial, 'status', 'slave', 'judged', 'task') or {}
      if is_set(f[2]) and string.sub(f[2], 1, #prefix) ~= prefix then
        f[2] = nil
      end
      if is_set(f[1]) then
        if not f[3] then
          -- Finished, its message on the way or lost (Q3): to judge now is the same, and once.
          judge(taskset, task, trial)
          waiting = true
        end
      elseif is_set(f[2]) and redis.call('EXISTS', f[2] .. ':heartbeat') == 1 then
        waiting = true
      elseif is_set(f[2]) and reap(taskset, f[2], "the slave's heartbeat stopped", NOW, KEYS[4], false) == 1 then
        waiting = true
        -- What it had on batch besides is back there.
        queued = has_queue()
      elseif f[4] then
        -- Its slave has said its own end, and did not know of it: the answer was lost by which it
        -- was taken, or the call came late. So nobody has made it, and it is no try.
        redis.call('HSET', trial, 'status', 'error', 'finished_at', NOW, 'stopped', 'its slave had ended')
        judge(taskset, task, trial)
        waiting = true
      end
    end
    if not waiting then
      requeue(taskset, task, spec_file, 'lost')
      lost = lost + 1
    end
  end
end
flush(taskset)
return { lost, unpack(emitted) }
