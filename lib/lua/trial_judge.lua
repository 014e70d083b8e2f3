-- trial_judge: judges the 'trial' messages at the head of the arbiter's queue, up to the first
-- other message.
-- Guarantees that each message is popped in the same step that settles or requeues its task (Q1),
-- that a task gets one verdict (C2, C3), and that a key of the wrong type affects the verdicts of
-- its own taskset only (L8).
-- shared: event close ends policy judge
-- KEYS 1 arbiter_queue, 2 active_taskset, 3 persister_queue, 4 arbiter_queue:dead
-- ARGV 1 now, 2 maximum messages
-- returns how many were judged, the first message of another kind (nil if none was seen), then the
--   emitted events (taskset, JSON, …)
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
-- The script reads the messages instead of getting them from the arbiter: a batch of them exceeds
-- what Redis reads at once, and an arbiter with a thousand busy slaves would fall behind.
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
      try(bury, each, 'its verdicts could not be written: ' .. nonsense)
    end
  end
end
return { taken, other, unpack(emitted) }
