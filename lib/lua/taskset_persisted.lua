-- taskset_persisted: lets a durable taskset expire, and pops the message that asked to persist it.
-- Guarantees that the message is popped only after everything else is done (Q1, L6).
-- KEYS 1 taskset, 2 persister_queue
-- ARGV 1 message, 2 seconds until the hash expires
-- returns 1 if the message was popped, else 0
redis.call('EXPIRE', KEYS[1], ARGV[2])
if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[1] then
  return 0
end
redis.call('LPOP', KEYS[2])
return 1
