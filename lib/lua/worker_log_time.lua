-- worker_log_time: records when a worker reached a step.
-- Guarantees that an expired log is not recreated (K2).
-- KEYS 1 worker log
-- ARGV 1 field, 2 time
-- returns 1 if it was recorded, else 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
