-- queue_pop: pops messages from the head of a queue after their effect.
-- Guarantees that exactly these messages are popped: if another consumer has popped some already,
-- no others are popped for them.
-- KEYS 1 queue
-- ARGV 1… messages, in queue order
-- returns how many were popped
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
