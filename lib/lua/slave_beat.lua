-- slave_beat: renews a slave's heartbeat.
-- Guarantees that a slave that was declared dead stays dead (C5).
-- KEYS 1 slave, 2 slave heartbeat
-- ARGV 1 heartbeat seconds
-- returns 1, or 0 if the slave was declared dead
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= '' then
  return 0
end
redis.call('SET', KEYS[2], 'alive', 'EX', ARGV[1])
return 1
