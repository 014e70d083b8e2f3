-- slave_join: adds a slave to a taskset, with a heartbeat before its first trial (C6).
-- Guarantees that a call repeated because its reply was lost does not add the slave twice, and that
-- a slave that was declared dead in the meantime stays dead (C5): its first reservation is fenced.
-- KEYS 1 taskset, 2 slave, 3 slave heartbeat, 4 the name under which its worker may have listed it
-- ARGV 1 heartbeat seconds
-- returns 'joined', or the status of a taskset that is not running ('gone' if it does not exist)
local list = KEYS[1] .. ':slave'
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'running' then
  return status or 'gone'
end
local ended = redis.call('HGET', KEYS[2], 'status')
if ended and ended ~= '' then
  return 'joined'
end
if redis.call('SET', KEYS[3], 'alive', 'EX', ARGV[1], 'NX') then
  redis.call('LREM', list, -1, KEYS[4])
  -- The race: the heartbeat of the first call may have expired before its repetition.
  if not redis.call('LPOS', list, KEYS[2]) then
    redis.call('RPUSH', list, KEYS[2])
  end
end
redis.call('EXPIRE', list, KEY_TTL)
return 'joined'
