-- Shared: the workers on the books. Needs event.lua.

-- Those that live, by name, each with what it has on batch (taskset) and what it was given (queue).
local function living(set)
  local found = {}
  local workers = redis.call('SMEMBERS', set)
  table.sort(workers)
  for _, worker in ipairs(workers) do
    -- What is no worker's key is not even looked at: the ACL refuses it, and with it the script (L8).
    local is_worker = string.sub(worker, 1, #set + 1) == set .. ':'
    if is_worker and redis.call('EXISTS', worker .. ':heartbeat') == 1 then
      -- One whose keys are of the wrong type can be given nothing; the others can.
      local f = try(redis.call, 'HMGET', worker, 'taskset', 'worker_type', 'benched')
      local queue = try(redis.call, 'LRANGE', worker .. ':worker_queue', 0, -1)
      if f and queue then
        found[#found + 1] = { key = worker, taskset = f[1], type = f[2], benched = is_set(f[3]), queue = queue }
      end
    end
  end
  return found
end

-- Whether a worker has the taskset on batch or in its queue.
local function is_engaged(worker, taskset)
  local engaged = worker.taskset == taskset
  for _, queued in ipairs(worker.queue) do
    engaged = engaged or queued == taskset
  end
  return engaged
end
