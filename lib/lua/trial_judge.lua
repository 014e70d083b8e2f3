-- trial_judge: the arbiter takes the 'trial' messages at the head of its queue, up to the first other one.
-- Guarantees that each is popped in the same step that gives its task a verdict or puts it back
-- (Q1), that a task gets one verdict (C2, C3), and that a key of the wrong type costs the taskset it
-- is of its verdicts, and no other (L8).
-- shared: event close ends judge
-- KEYS 1 arbiter_queue, 2 active_taskset, 3 persister_queue, 4 arbiter_queue:dead
-- ARGV 1 now, 2 most messages
-- returns how many were taken, the message of another kind that stands behind them (nil if none was
-- seen), then what was emitted (taskset, JSON, …)
local queue = KEYS[1]
ACTIVE, PERSISTER, NOW = KEYS[2], KEYS[3], ARGV[1]
local taken, other = 0, false
local prefix = string.match(queue, '^[^:]*:')
local pattern = '^trial\t((' .. prefix .. 'taskset:[^:]+):task:.+):trial:[^:]+$'
local function bury(message, reason)
  redis.call('RPUSH', KEYS[4], cjson.encode({ message = message, reason = reason, time = NOW }))
  redis.call('LTRIM', KEYS[4], -1000, -1)
  redis.call('EXPIRE', KEYS[4], KEY_TTL)
end
-- The messages are found here, not brought by the arbiter: a batch of them is longer than what
-- Redis reads at once, so that an arbiter among a thousand busy slaves would fall behind.
for _, message in ipairs(redis.call('LRANGE', queue, 0, ARGV[2] - 1)) do
  local task, taskset = string.match(message, pattern)
  if not task then
    other = message
    break
  end
  taken = taken + 1
  local refusal, nonsense = try(judge, taskset, task, string.sub(message, 7))
  if refusal or nonsense then
    try(bury, message, refusal or nonsense)
  end
end
if taken > 0 then
  redis.call('LTRIM', queue, taken, -1)
  for each in pairs(books) do
    local _, nonsense = try(flush, each)
    if nonsense then
      try(bury, each, 'what was judged of it could not be written: ' .. nonsense)
    end
  end
end
return { taken, other, unpack(emitted) }
