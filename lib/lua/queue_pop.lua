-- queue_pop: takes messages off the head of a queue after their effect.
-- Guarantees that only these messages are taken: what another consumer took already is not made
-- up for by taking something else.
-- KEYS 1 queue
-- ARGV 1… messages, in the order in which they stand
-- returns how many were taken
local head = redis.call('LRANGE', KEYS[1], 0, #ARGV - 1)
local taken = 0
for i = 1, #ARGV do
  if head[i] ~= ARGV[i] then
    break
  end
  taken = i
end
if taken > 0 then
  redis.call('LTRIM', KEYS[1], taken, -1)
end
return taken
