-- give_back: a slave whose hand takes longer than it thought tells which of its trials runs, and gives
-- back the tasks of those that it has not begun.
-- Guarantees that a task that leaves the slave is in the queue, and that a call which comes a
-- second time changes nothing: what it names has begun, has ended, or is gone.
-- shared: event hand
-- KEYS 1 taskset, 2 slave, 3… the trials that have not begun, in order
-- ARGV 1 now, 2 the trial that runs ('' if none does, or it was told of), 3 its trial_started event as JSON
-- returns nothing
local taskset, slave, running = KEYS[1], KEYS[2], ARGV[2]
if redis.call('TTL', taskset) ~= -1 then
  return
end
if running ~= '' then
  local f = redis.call('HMGET', running, 'status', 'task', 'started_at')
  if f[2] and not is_set(f[1]) and not is_set(f[3]) then
    redis.call('HSET', running, 'started_at', ARGV[1])
    if redis.call('HGET', taskset, 'status') == 'running' then
      emit(taskset, { ARGV[3] })
    end
  end
end
local hand = {}
for i = 3, #KEYS do
  local f = redis.call('HMGET', KEYS[i], 'status', 'task', 'started_at')
  if f[2] and not is_set(f[1]) then
    hand[#hand + 1] = { KEYS[i], f[2], is_set(f[3]) }
  end
end
give_back(taskset, slave, hand)
