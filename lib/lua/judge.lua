-- judge: the arbiter takes a run of 'trial' messages from the head of its queue.
-- Guarantees that each is popped in the same step that gives its task a verdict or puts it back
-- (Q1), that a task gets one verdict (C2, C3), and that a message which is no longer at the head
-- (another arbiter took it) is left alone.
-- shared: event close judge
-- KEYS 1 arbiter_queue, 2 active_taskset, 3 persister_queue, 4 arbiter_queue:dead
-- ARGV 1 now, then for each message: the message, taskset, task, trial
-- returns how many messages were taken, then what was emitted (taskset, JSON, …)
local queue = KEYS[1]
ACTIVE, PERSISTER, NOW = KEYS[2], KEYS[3], ARGV[1]
local count = (#ARGV - 1) / 4
local head = redis.call('LRANGE', queue, 0, count - 1)
local taken = 0
for i = 1, count do
  local at = 2 + (i - 1) * 4
  if head[i] ~= ARGV[at] then
    break
  end
  taken = i
  local refusal = judge(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  if refusal then
    redis.call('RPUSH', KEYS[4], cjson.encode({ message = ARGV[at], reason = refusal, time = NOW }))
    redis.call('LTRIM', KEYS[4], -1000, -1)
    redis.call('EXPIRE', KEYS[4], KEY_TTL)
  end
end
if taken > 0 then
  redis.call('LTRIM', queue, taken, -1)
  flush()
end
return { taken, unpack(emitted) }
