-- log_append: appends to a log while it has room (K6).
-- Guarantees a maximum size in bytes, that an expired taskset gets no new keys (K2), and that a
-- call repeated because its reply was lost appends nothing. A log has one writer.
-- KEYS 1 log, 2 taskset
-- ARGV 1 text, 2 maximum bytes, 3 the log's length before this call
-- returns 1 if the text was appended, else 0
if redis.call('TTL', KEYS[2]) ~= -1 then
  return 0
end
local length, most = redis.call('STRLEN', KEYS[1]), tonumber(ARGV[2])
local before, text = tonumber(ARGV[3]), ARGV[1]
if length > before or length >= most then
  return 0
end
if length + #text > most then
  text = string.sub(text, 1, most - length) .. '\n[... the log is full: the rest was dropped ...]\n'
end
if redis.call('APPEND', KEYS[1], text) == #text then
  redis.call('EXPIRE', KEYS[1], KEY_TTL)
end
return 1
