-- append_log: adds to a log as long as it has room (K6).
-- Guarantees a bound in bytes, and that an expired taskset gets no new keys (K2).
-- KEYS 1 log, 2 taskset
-- ARGV 1 text, 2 most bytes
-- returns 1 if it was added, else 0
if redis.call('TTL', KEYS[2]) ~= -1 then
  return 0
end
local length, most = redis.call('STRLEN', KEYS[1]), tonumber(ARGV[2])
if length >= most then
  return 0
end
local text = ARGV[1]
if length + #text > most then
  text = string.sub(text, 1, most - length) .. '\n[... the log is full: the rest was dropped ...]\n'
end
if redis.call('APPEND', KEYS[1], text) == #text then
  redis.call('EXPIRE', KEYS[1], KEY_TTL)
end
return 1
