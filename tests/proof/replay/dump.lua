-- Reads the keys of the taskset that the model knows, as JSON.
-- ARGV 1 taskset, 2 number of tasks, 3… the slaves
local taskset = ARGV[1]
local function fields(key, ...)
  return redis.call('HMGET', key, ...)
end
local function number(text)
  return tonumber(text or '0')
end
local function count(list, wanted)
  local found = 0
  for _, each in ipairs(redis.call('LRANGE', list, 0, -1)) do
    found = found + (each == wanted and 1 or 0)
  end
  return found
end
local t = fields(taskset, 'status', 'succeeded_count', 'failed_count', 'flaky_count')
local receipts = 0
for _, entry in ipairs(redis.call('XRANGE', taskset .. ':events', '-', '+')) do
  for i = 2, #entry[2], 2 do
    receipts = receipts + (string.find(entry[2][i], '"event":"taskset_finished"', 1, true) and 1 or 0)
  end
end
local tasks, slaves = {}, {}
for i = 0, tonumber(ARGV[2]) - 1 do
  local task = taskset .. ':task:t' .. i
  local k = fields(task, 'status', 'queued', 'trials', 'speculated')
  local trials = {}
  for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
    local f = fields(trial, 'task', 'slave', 'status', 'started_at', 'stopped', 'judged', 'duration_ms')
    trials[#trials + 1] = { trial, f[1], f[2], f[3], f[4] and true, f[5] and true, f[6] and true, f[7] and true }
  end
  tasks[#tasks + 1] = { k[1], k[2] and true, k[3] and true, k[4] and true, trials }
end
for i = 3, #ARGV do
  local slave = ARGV[i]
  slaves[#slaves + 1] = {
    count(taskset .. ':slave', slave),
    redis.call('EXISTS', slave .. ':heartbeat'),
    redis.call('HGET', slave, 'status'),
    redis.call('LRANGE', slave .. ':trial', 0, -1),
  }
end
return cjson.encode({
  status = t[1],
  succeeded = number(t[2]),
  failed = number(t[3]),
  flaky = number(t[4]),
  active = count('rrrspec:active_taskset', taskset),
  handed_over = count('rrrspec:persister_queue', taskset),
  receipts = receipts,
  ttl = redis.call('TTL', taskset),
  left = redis.call('LRANGE', taskset .. ':tasks_left', 0, -1),
  queue = redis.call('LRANGE', taskset .. ':task_queue', 0, -1),
  tasks = tasks,
  slaves = slaves,
  inbox = redis.call('LRANGE', 'rrrspec:arbiter_queue', 0, -1),
  buried = redis.call('LLEN', 'rrrspec:arbiter_queue:dead'),
})
