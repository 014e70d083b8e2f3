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
  local fields = redis.call('HMGET', taskset, 'succeeded_count', 'failed_count', 'flaky_count', 'fail_reason')
  local succeeded, failed, flaky, why = unpack(fields)
  succeeded, failed = tonumber(succeeded or '') or 0, tonumber(failed or '') or 0
  local tasks = redis.call('LLEN', taskset .. ':tasks')
  emit(taskset, { {
    event = 'taskset_finished',
    status = status,
    tasks = tasks,
    succeeded = succeeded,
    failed = failed,
    not_run = math.max(0, tasks - succeeded - failed),
    flaky = tonumber(flaky or '') or 0,
    fail_reason = status ~= 'succeeded' and is_set(why) and why or nil,
  } })
  wake(taskset, 'over', status)
end

-- Whether the taskset exists, whether it is still open, its status, its max_trials and its policy.
local function is_open(taskset)
  local fields = redis.call('HMGET', taskset, 'status', 'created_at', 'worker_type', 'max_trials', 'policy')
  local status, created_at, worker_type, max_trials, policy = unpack(fields)
  local exists = status or created_at or worker_type or max_trials
  local open = exists and (not is_set(status) or status == 'running')
  return exists and true or false, open and true or false, status, max_trials, policy
end
