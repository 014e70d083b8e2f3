-- rsync_unlock: gives the right to sync into a remote folder back.
-- Guarantees that only its holder does.
-- KEYS 1 lock
-- ARGV 1 who held it
-- returns 1 if it was held, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
