-- Shared: the registered workers. Needs event.lua.

-- The live workers, sorted by name, each with its current taskset and its queue.
local function living(set)
  local found = {}
  local workers = redis.call('SMEMBERS', set)
  table.sort(workers)
  for _, worker in ipairs(workers) do
    -- A name that is not a worker's key is skipped: the ACL would refuse it, and with it the script
    -- (L8).
    local is_worker = string.sub(worker, 1, #set + 1) == set .. ':'
    if is_worker and redis.call('EXISTS', worker .. ':heartbeat') == 1 then
      -- A worker with keys of the wrong type cannot be given work; the others can.
      local fields = try(redis.call, 'HMGET', worker, 'taskset', 'worker_type', 'benched')
      local queue = try(redis.call, 'LRANGE', worker .. ':worker_queue', 0, -1)
      if fields and queue then
        local taskset, type, benched = unpack(fields)
        found[#found + 1] = { key = worker, taskset = taskset, type = type, benched = is_set(benched), queue = queue }
      end
    end
  end
  return found
end

-- Whether the worker runs the taskset or has it in its queue.
local function is_engaged(worker, taskset)
  local engaged = worker.taskset == taskset
  for _, queued in ipairs(worker.queue) do
    engaged = engaged or queued == taskset
  end
  return engaged
end
