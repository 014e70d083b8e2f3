-- slave_spawn: lists a slave that a worker has just started, under the protocol's name for it.
-- Guarantees that it is listed once, not also under the name by which an rrr slave may have joined
-- already, and that it is not mistaken for an earlier process with the same id.
-- KEYS 1 taskset, 2 slave
-- ARGV 1 the end of the name by which an rrr slave joins, 2 the name by which it was listed before
--   ('': none)
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
