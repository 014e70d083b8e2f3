-- worker_bench: a worker whose preparation keeps failing takes itself off the dispatcher's list for
-- a while (L9), or comes back to it, which the dispatcher is told.
-- Guarantees that a successor of the worker is not benched by it.
-- KEYS 1 worker, 2 dispatcher_queue
-- ARGV 1 the worker's instance, 2 why and how long ('' to come back)
-- returns 1 if it was noted, else 0
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
