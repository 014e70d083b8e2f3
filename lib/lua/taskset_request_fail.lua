-- taskset_request_fail: records why a worker cannot run a taskset, and asks the arbiter to fail the
-- taskset if no other worker is left that might succeed.
-- Guarantees that one sick machine does not fail a taskset that others could run (L9).
-- shared: event close worker
-- KEYS 1 taskset, 2 worker log, 3 arbiter_queue, 4 dispatcher_queue, 5 worker set
-- ARGV 1 the worker, 2 reason, 3 the number of distinct failed workers that fails a taskset
-- returns 'asked' | 'passed on' | 'over'
local taskset = KEYS[1]
local _, open = is_open(taskset)
if not open or redis.call('TTL', taskset) ~= -1 then
  return 'over'
end
-- A dispatcher that gives the taskset to the same worker again does not know of failures, and would
-- never stop.
local first = taskset .. ':worker_log:' .. ARGV[1]
local again = redis.call('HGET', first, 'failure') and not redis.call('HGET', KEYS[2], 'failure')
redis.call('HSET', KEYS[2], 'failure', ARGV[2])
redis.call('HSET', first, 'failure', ARGV[2])
redis.call('EXPIRE', first, KEY_TTL)
local failed, count = {}, 0
for _, log in ipairs(redis.call('LRANGE', taskset .. ':worker_log', 0, -1)) do
  local worker, failure = unpack(redis.call('HMGET', log, 'worker', 'failure'))
  if worker and failure and not failed[worker] then
    failed[worker] = true
    count = count + 1
  end
end
if count < tonumber(ARGV[3]) and not again then
  local type = redis.call('HGET', taskset, 'worker_type')
  for _, worker in ipairs(living(KEYS[5])) do
    if not failed[worker.key] and worker.type == type then
      redis.call('RPUSH', KEYS[4], '0')
      return 'passed on'
    end
  end
end
redis.call('HSETNX', taskset, 'fail_reason', ARGV[2])
redis.call('RPUSH', KEYS[3], 'fail\t' .. taskset)
return 'asked'
