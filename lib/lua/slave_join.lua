-- slave_join: adds a slave to a taskset, with a heartbeat before its first trial (C6).
-- Guarantees that a call repeated because its reply was lost does not add the slave twice.
-- KEYS 1 taskset, 2 slave, 3 slave heartbeat, 4 the name under which its worker may have listed it
-- ARGV 1 heartbeat seconds
-- returns 'joined', or the status of a taskset that is not running ('gone' if it does not exist)
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'running' then
  return status or 'gone'
end
if redis.call('SET', KEYS[3], 'alive', 'EX', ARGV[1], 'NX') then
  redis.call('LREM', KEYS[1] .. ':slave', -1, KEYS[4])
  redis.call('RPUSH', KEYS[1] .. ':slave', KEYS[2])
end
redis.call('EXPIRE', KEYS[1] .. ':slave', KEY_TTL)
return 'joined'
