-- Shared: the end of a taskset. Needs event.lua.

-- Set by each script that closes tasksets, from its KEYS.
local ACTIVE, PERSISTER

-- Sets the taskset's final status. The caller has checked that the taskset is open, so this happens
-- exactly once.
local function close(taskset, status, reason, now)
  redis.call('HSET', taskset, 'status', status, 'finished_at', now)
  if reason then
    redis.call('HSETNX', taskset, 'fail_reason', reason)
  end
  redis.call('DEL', taskset .. ':task_queue', taskset .. ':ends')
  redis.call('LREM', ACTIVE, 0, taskset)
  redis.call('RPUSH', PERSISTER, taskset)
  local f = redis.call('HMGET', taskset, 'succeeded_count', 'failed_count', 'flaky_count', 'fail_reason')
  local tasks, succeeded, failed = redis.call('LLEN', taskset .. ':tasks'), tonumber(f[1] or '') or 0, tonumber(f[2] or '') or 0
  emit(taskset, { {
    event = 'taskset_finished',
    status = status,
    tasks = tasks,
    succeeded = succeeded,
    failed = failed,
    not_run = math.max(0, tasks - succeeded - failed),
    flaky = tonumber(f[3] or '') or 0,
    fail_reason = status ~= 'succeeded' and is_set(f[4]) and f[4] or nil,
  } })
  wake(taskset, 'over', status)
end

-- Whether the taskset exists, whether it is still open, its status, its max_trials and its policy.
local function is_open(taskset)
  local f = redis.call('HMGET', taskset, 'status', 'created_at', 'worker_type', 'max_trials', 'policy')
  local exists = f[1] or f[2] or f[3] or f[4]
  local open = exists and (not is_set(f[1]) or f[1] == 'running')
  return exists and true or false, open and true or false, f[1], f[4], f[5]
end
