-- slave_exit: records how a slave without a reserved trial ended.
-- Guarantees that the first status is kept, and that an expired taskset gets no new keys (K2).
-- KEYS 1 slave, 2 slave heartbeat, 3 taskset
-- ARGV 1 status
-- returns nothing
if redis.call('TTL', KEYS[3]) == -1 then
  redis.call('HSETNX', KEYS[1], 'status', ARGV[1])
  redis.call('EXPIRE', KEYS[1], KEY_TTL)
end
redis.call('DEL', KEYS[2])
return false
