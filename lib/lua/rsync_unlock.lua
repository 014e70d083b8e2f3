-- rsync_unlock: releases the lock on a remote folder.
-- Guarantees that only the owner releases it.
-- KEYS 1 lock
-- ARGV 1 the owner
-- returns 1 if the lock was held, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
