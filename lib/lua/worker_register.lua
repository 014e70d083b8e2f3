-- worker_register: registers a worker under its id.
-- Guarantees that two live workers never share an id (C9). A predecessor whose process the caller
-- knows to be gone is replaced at once, and the worker log that it left open is closed, so that
-- nothing waits for its end.
-- shared: event
-- KEYS 1 worker, 2 heartbeat, 3 worker set, 4 dispatcher_queue
-- ARGV 1 instance, 2 the instance known to be gone ('' for none), 3 heartbeat seconds, 4
--   worker_type, 5 slaves, 6 version, 7 now
-- returns '' when registered, else the instance that holds the id
local holder = redis.call('HGET', KEYS[1], 'instance') or 'unknown'
if redis.call('EXISTS', KEYS[2]) == 1 and holder ~= ARGV[1] and holder ~= ARGV[2] then
  return holder
end
local open_batch = redis.call('HGET', KEYS[1], 'taskset')
-- Names without our prefix are skipped: the ACL would refuse them. So are keys of the wrong type (L8).
local prefix = string.match(KEYS[1], '^[^:]*:') .. 'taskset:'
local is_ours = open_batch and string.sub(open_batch, 1, #prefix) == prefix
for _, log in ipairs(is_ours and try(redis.call, 'LRANGE', open_batch .. ':worker_log', 0, -1) or {}) do
  local is_log = string.sub(log, 1, #prefix) == prefix
  local worker, finished_at = unpack(is_log and try(redis.call, 'HMGET', log, 'worker', 'finished_at') or {})
  if worker == KEYS[1] and not finished_at then
    redis.call('HSET', log, 'finished_at', ARGV[7])
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'worker_type', ARGV[4], 'slaves', ARGV[5], 'version', ARGV[6], 'instance', ARGV[1],
  'heartbeat_sec', ARGV[3])
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('SET', KEYS[2], 'alive', 'EX', ARGV[3])
redis.call('SADD', KEYS[3], KEYS[1])
redis.call('RPUSH', KEYS[4], '0')
return ''
