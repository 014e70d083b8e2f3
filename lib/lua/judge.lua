-- judge: the arbiter takes the 'trial' messages at the head of its queue, up to the first other one.
-- Guarantees that each is popped in the same step that gives its task a verdict or puts it back
-- (Q1), and that a task gets one verdict (C2, C3).
-- shared: event close judge
-- KEYS 1 arbiter_queue, 2 active_taskset, 3 persister_queue, 4 arbiter_queue:dead
-- ARGV 1 now, 2 most messages
-- returns how many were taken, the message of another kind that stands behind them (nil if none was
-- seen), then what was emitted (taskset, JSON, …)
local queue = KEYS[1]
ACTIVE, PERSISTER, NOW = KEYS[2], KEYS[3], ARGV[1]
local taken, other = 0, false
local prefix = string.match(queue, '^[^:]*:')
local pattern = '^trial\t((' .. prefix .. 'taskset:[^:]+):task:.+):trial:[^:]+$'
-- The messages are found here, not brought by the arbiter: a batch of them is longer than what
-- Redis reads at once, so that an arbiter among a thousand busy slaves would fall behind.
for _, message in ipairs(redis.call('LRANGE', queue, 0, ARGV[2] - 1)) do
  local task, taskset = string.match(message, pattern)
  if not task then
    other = message
    break
  end
  taken = taken + 1
  local refusal = judge(taskset, task, string.sub(message, 7))
  if refusal then
    redis.call('RPUSH', KEYS[4], cjson.encode({ message = message, reason = refusal, time = NOW }))
    redis.call('LTRIM', KEYS[4], -1000, -1)
    redis.call('EXPIRE', KEYS[4], KEY_TTL)
  end
end
if taken > 0 then
  redis.call('LTRIM', queue, taken, -1)
  flush()
end
return { taken, other, unpack(emitted) }
