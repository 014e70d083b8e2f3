-- taskset_expire_tasks: sets the expiry of tasks and their trials, without a round trip for each.
-- Guarantees nothing but the expiry: a second call restarts the time.
-- KEYS 1… tasks
-- ARGV 1 seconds
-- returns nothing
for _, task in ipairs(KEYS) do
  for _, trial in ipairs(redis.call('LRANGE', task .. ':trial', 0, -1)) do
    redis.call('EXPIRE', trial, ARGV[1])
  end
  redis.call('EXPIRE', task .. ':trial', ARGV[1])
  redis.call('EXPIRE', task, ARGV[1])
end
return false
