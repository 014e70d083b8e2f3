-- slave_join: a slave joins a taskset, alive before its first trial (C6).
-- KEYS 1 taskset, 2 slave, 3 slave heartbeat
-- ARGV 1 heartbeat seconds
-- returns 'joined', or the status of a taskset that is not running ('gone' when it does not exist)
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'running' then
  return status or 'gone'
end
redis.call('SET', KEYS[3], 'alive', 'EX', ARGV[1])
redis.call('RPUSH', KEYS[1] .. ':slave', KEYS[2])
redis.call('EXPIRE', KEYS[1] .. ':slave', KEY_TTL)
return 'joined'
