-- worker_leave: closes a worker's log of a taskset, marks the worker idle, and notifies the
-- dispatcher.
-- Guarantees that an expired log is not recreated (K2), and that a successor of the worker keeps
-- its current taskset.
-- KEYS 1 taskset, 2 worker, 3 worker log, 4 dispatcher_queue
-- ARGV 1 now, 2 the worker's instance
-- returns nothing
local taskset, instance = unpack(redis.call('HMGET', KEYS[2], 'taskset', 'instance'))
-- Without an instance, the hash was deleted, and the next heartbeat writes it again.
if taskset == KEYS[1] and (instance == ARGV[2] or not instance) then
  redis.call('HDEL', KEYS[2], 'taskset')
end
redis.call('RPUSH', KEYS[4], '0')
-- Last: a log key of the wrong type must not keep the worker busy (L8).
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('HSET', KEYS[3], 'finished_at', ARGV[1])
end
return false
