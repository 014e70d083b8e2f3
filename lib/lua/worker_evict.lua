-- worker_evict: unregisters a worker without a heartbeat. A worker that comes back registers again;
-- one of another implementation does so without its hash, which is therefore kept for as long as
-- any key.
-- KEYS 1 worker set, 2 worker, 3 worker_queue, 4 heartbeat
-- returns 1 if it was evicted, else 0
if redis.call('EXISTS', KEYS[4]) == 1 then
  return 0
end
redis.call('SREM', KEYS[1], KEYS[2])
redis.call('DEL', KEYS[3])
redis.call('EXPIRE', KEYS[2], redis.call('HGET', KEYS[2], 'instance') and 3600 or KEY_TTL)
return 1
