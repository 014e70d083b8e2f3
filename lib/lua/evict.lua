-- evict: takes a worker without a heartbeat off the books; one that comes back adds itself again.
-- KEYS 1 worker set, 2 worker, 3 worker_queue, 4 heartbeat
-- returns 1 if it was evicted, else 0
if redis.call('EXISTS', KEYS[4]) == 1 then
  return 0
end
redis.call('SREM', KEYS[1], KEYS[2])
redis.call('DEL', KEYS[3])
redis.call('EXPIRE', KEYS[2], 3600)
return 1
