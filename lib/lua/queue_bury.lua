-- queue_bury: moves a message that makes no sense from the head of a queue to its dead list (L8).
-- Guarantees that the daemon meets it once, and that the dead list stays short, and not for ever.
-- KEYS 1 queue, 2 the queue's dead list
-- ARGV 1 message, 2 what to keep of it (JSON with the reason)
-- returns 1 if it was moved, else 0
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then
  return 0
end
redis.call('LPOP', KEYS[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -1000, -1)
redis.call('EXPIRE', KEYS[2], KEY_TTL)
return 1
