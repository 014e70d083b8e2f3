-- slave_reap: declares a slave dead, ends its running trial with 'error', and requeues the rest of
-- its batch.
-- Guarantees that a slave with a heartbeat is left alone unless its worker saw it die, and that a
-- dead slave stays dead.
-- shared: event batch ends reap
-- KEYS 1 taskset, 2 slave, 3 arbiter_queue
-- ARGV 1 now, 2 the reason, 3 certain (1: its worker waited on the process; 0: no heartbeat), 4 the
--   trial that it began last ('': none, '*': unknown), 5 how it ended, as a slave's status
-- returns 1 if it was declared dead now, else 0; then the emitted events (taskset, JSON, …)
local taskset, slave = KEYS[1], KEYS[2]
if ARGV[3] == '1' then
  -- A slave of another implementation sets no expiry on its keys.
  redis.call('EXPIRE', slave, KEY_TTL)
  redis.call('EXPIRE', slave .. ':trial', KEY_TTL)
end
if ARGV[3] ~= '1' and redis.call('EXISTS', slave .. ':heartbeat') == 1 then
  return { 0 }
elseif redis.call('EXISTS', taskset) == 0 or redis.call('TTL', taskset) ~= -1 then
  return { 0 }
end
local reaped = reap(taskset, slave, ARGV[2], ARGV[1], KEYS[3], ARGV[3] == '1' and ARGV[4], ARGV[5])
return { reaped, unpack(emitted) }
