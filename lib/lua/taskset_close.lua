-- taskset_close: cancels or fails an open taskset, and pops the message that requested it.
-- Guarantees that a final status never changes (I7), and that the request is popped only together
-- with its effect (Q1).
-- shared: event close
-- KEYS 1 taskset, 2 active_taskset, 3 persister_queue, 4 arbiter_queue
-- ARGV 1 message ('' if there is none to pop), 2 status, 3 now, 4 reason ('' for none)
-- returns 1 if the taskset was closed now, else 0; then the emitted events (taskset, JSON, …)
local taskset = KEYS[1]
ACTIVE, PERSISTER = KEYS[2], KEYS[3]
if ARGV[1] ~= '' and redis.call('LINDEX', KEYS[4], 0) ~= ARGV[1] then
  return { 0 }
end
-- Before the pop: a message about a key of the wrong type is refused, and must still be in the
-- queue for that (L8).
local exists, open = is_open(taskset)
if ARGV[1] ~= '' then
  redis.call('LPOP', KEYS[4])
end
if not (exists and open) then
  return { 0 }
end
close(taskset, ARGV[2], ARGV[4] ~= '' and ARGV[4] or nil, ARGV[3])
return { 1, unpack(emitted) }
