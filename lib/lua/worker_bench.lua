-- worker_bench: benches a worker whose preparation keeps failing, so that it is given no work for a
-- while (L9), or makes it available again and notifies the dispatcher.
-- Guarantees that a successor of the worker is not benched.
-- KEYS 1 worker, 2 dispatcher_queue
-- ARGV 1 the worker's instance, 2 the reason and the duration ('' to make it available again)
-- returns 1 if it was recorded, else 0
if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'benched', ARGV[2])
else
  redis.call('HDEL', KEYS[1], 'benched')
  redis.call('RPUSH', KEYS[2], '0')
end
return 1
