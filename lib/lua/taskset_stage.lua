-- taskset_stage: writes the hash of a taskset that is not active yet.
-- Guarantees that the hash expires unless the taskset is activated (K4), that a late repetition of
-- the call does not touch a taskset that was handed over by then, and that only one of several
-- submissions under the same key gets it.
-- KEYS 1 taskset, 2 tasks, 3 tasks_left, 4 task_queue
-- ARGV 1 seconds until it expires, 2 submission, 3… field, value
-- returns 1 if the taskset belongs to this submission, else 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'submission') == ARGV[2] and 1 or 0
end
-- The lists of a submitter that died half-way outlive its hash.
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'submission', ARGV[2], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
