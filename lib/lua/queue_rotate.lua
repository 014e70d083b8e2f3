-- queue_rotate: moves the message at the head of a queue to its tail, so that others get their
-- turn.
-- Guarantees that the message is in the queue exactly once at any time.
-- KEYS 1 queue
-- ARGV 1 message
-- returns 1 if it was moved, else 0
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then
  return 0
end
redis.call('LMOVE', KEYS[1], KEYS[1], 'LEFT', 'RIGHT')
return 1
