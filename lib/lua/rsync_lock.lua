-- rsync_lock: acquires or renews the lock on the remote folder of an rsync name (F4).
-- Guarantees that a folder is not changed while an active taskset reads it.
-- KEYS 1 lock
-- ARGV 1 the owner (the taskset being submitted, a space, its submission), 2 rsync name, 3
--   milliseconds, 4 active_taskset, 5 renewal (1: the lock must be held already)
-- returns '' when locked, else the taskset that uses the folder or the owner of the lock; '-' when
--   it has expired
for _, taskset in ipairs(redis.call('LRANGE', ARGV[4], 0, -1)) do
  local name, status = unpack(redis.call('HMGET', taskset, 'rsync_name', 'status'))
  if name == ARGV[2] and (not status or status == '' or status == 'running') then
    return taskset
  end
end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return holder
end
-- Another submission may have written to the folder since.
if not holder and ARGV[5] == '1' then
  return '-'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ''
