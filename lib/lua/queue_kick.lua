-- queue_kick: moves the messages of a dead list back into their queue.
-- Guarantees that each message is in one of the two at any time.
-- KEYS 1 queue, 2 the queue's dead list
-- ARGV none
-- returns how many were moved
local count = 0
for _ = 1, redis.call('LLEN', KEYS[2]) do
  local record = redis.call('LINDEX', KEYS[2], 0)
  redis.call('RPUSH', KEYS[1], cjson.decode(record).message)
  redis.call('LPOP', KEYS[2])
  count = count + 1
end
return count
