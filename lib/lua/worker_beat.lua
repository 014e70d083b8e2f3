-- worker_beat: renews a worker's heartbeat, and registers the worker again if it had been evicted.
-- Guarantees that a worker whose id was taken over does not disturb its successor.
-- A hash of the wrong type names no holder: the heartbeat goes on, since trials are running, and the
-- caller gets the error (L8).
-- KEYS 1 worker, 2 heartbeat, 3 worker set
-- ARGV 1 instance, 2 heartbeat seconds, 3 worker_type, 4 slaves, 5 version
-- returns 1, or 0 if the id belongs to another instance now
local holder = redis.pcall('HGET', KEYS[1], 'instance')
if type(holder) == 'table' then
  redis.call('SET', KEYS[2], 'alive', 'EX', ARGV[2])
  return holder
end
if holder and holder ~= ARGV[1] then
  return 0
end
if not holder then
  redis.call('HSET', KEYS[1], 'worker_type', ARGV[3], 'slaves', ARGV[4], 'version', ARGV[5], 'instance', ARGV[1],
    'heartbeat_sec', ARGV[2])
end
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('SET', KEYS[2], 'alive', 'EX', ARGV[2])
redis.call('SADD', KEYS[3], KEYS[1])
return 1
