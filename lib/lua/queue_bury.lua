-- queue_bury: moves an invalid message from the head of a queue to its dead list (L8).
-- Guarantees that the daemon meets the message once, and that the dead list stays short and
-- expires.
-- KEYS 1 queue, 2 the queue's dead list
-- ARGV 1 message, 2 the record to keep (JSON with the message and the reason)
-- returns 1 if the message was moved, else 0
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then
  return 0
end
redis.call('LPOP', KEYS[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -1000, -1)
redis.call('EXPIRE', KEYS[2], KEY_TTL)
return 1
