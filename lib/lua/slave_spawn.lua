-- slave_spawn: a worker lists a slave that it has started, by the name that the protocol gives it.
-- Guarantees that it is listed once, and not beside the name by which a slave of ours has joined by
-- then, and that it is not taken for a process of the same id that has ended.
-- KEYS 1 taskset, 2 slave
-- ARGV 1 how the name ends by which a slave of ours joins, 2 a name by which it was listed before ('': none)
-- returns nothing
local list = KEYS[1] .. ':slave'
if redis.call('HGET', KEYS[1], 'status') ~= 'running' then
  return false
end
if ARGV[2] ~= '' then
  redis.call('LREM', list, -1, ARGV[2])
else
  redis.call('HDEL', KEYS[2], 'status')
end
for _, known in ipairs(redis.call('LRANGE', list, -100, -1)) do
  if known == KEYS[2] or string.sub(known, -#ARGV[1]) == ARGV[1] then
    return false
  end
end
redis.call('RPUSH', list, KEYS[2])
redis.call('EXPIRE', list, KEY_TTL)
return false
