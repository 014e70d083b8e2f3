-- Shared: the death of a slave. Needs event.lua, batch.lua and ends.lua.

-- Ends the slave and the trial it was making, if any, and tells the arbiter of it; what it had on batch
-- besides goes back. From here on the slave is fenced: whatever it says later changes nothing (C5).
-- certain: false if only its heartbeat has stopped; if its worker has seen it die, the trial that it
-- had begun last ('': none, '*': not known). how: the status that its exit code means.
local function reap(taskset, slave, why, now, arbiter_queue, certain, how)
  if is_set(redis.call('HGET', slave, 'status')) then
    return 0
  end
  local batch = open_batch(slave)
  how = (how == 'normal_exit' and #batch > 0) and 'failure_exit' or how or 'failure_exit'
  redis.call('HSET', slave, 'status', how)
  redis.call('EXPIRE', slave, KEY_TTL)
  redis.call('DEL', slave .. ':heartbeat')
  local _, open = read_end((try(redis.call, 'HGET', taskset .. ':ends', slave)))
  if open and redis.call('EXISTS', taskset .. ':tasks_left') == 0 then
    -- What its suite did last may have killed it, and that nobody can try again. Not so where a heartbeat
    -- has stopped: a machine that is lost costs no run.
    if certain and redis.call('EXISTS', slave .. ':trial') == 1 then
      note_bad_end(taskset, slave, 'the end of the suite is not known: ' .. why)
    end
    ask_for_check(taskset, arbiter_queue)
  end
  -- Redis may have given it the trial by a call whose answer never reached it: then it never ran.
  local known = #batch == 1 and (certain == '*' or (batch[1][3] and certain == batch[1][1]))
  local verdict = how == 'timeout_exit' and 'timeout' or 'error'
  if batch[1] then
    -- The first is the one it was making, or about to: a slave of another implementation has it in
    -- its own memory, so it is ended and not deleted.
    batch[1][3] = true
  end
  give_back(taskset, slave, batch)
  for _, held in ipairs(batch) do
    local trial, task, begun = unpack(held)
    if begun then
      -- It is a try if it may have killed its slave. Not so where a heartbeat has stopped, since a
      -- machine or Redis was away; nor in a batch of several, where it may have ended before, and another
      -- have brought death: the tasks of the batch are taken alone from now on.
      local stopped = known and certain and {} or { 'stopped', why }
      redis.call('HSET', trial, 'status', verdict, 'finished_at', now, 'stderr', 'rrr: ' .. why .. '\n', unpack(stopped))
      redis.call('RPUSH', arbiter_queue, 'trial\t' .. trial)
      emit(taskset, { {
        event = 'trial_finished',
        task = task,
        spec_file = spec_file_of(task),
        trial = trial,
        slave = slave,
        status = verdict,
        passed = 0,
        pending = 0,
        failed = 0,
        stopped = stopped[2],
        reason = why,
      } })
    end
  end
  return 1
end
