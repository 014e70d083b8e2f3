-- worker_exit: releases a worker's id; the tasksets in its queue go to other workers.
-- KEYS 1 worker, 2 heartbeat, 3 worker set, 4 worker_queue, 5 dispatcher_queue
-- ARGV 1 instance
-- returns nothing
if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then
  return false
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
redis.call('SREM', KEYS[3], KEYS[1])
redis.call('RPUSH', KEYS[5], '0')
return false
