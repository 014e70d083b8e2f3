-- Shared: the death of a slave. Needs event.lua, batch.lua and ends.lua.

-- Declares the slave dead, ends the trial that it was running, if any, with a message to the
-- arbiter, and requeues the rest of its batch. From now on the slave is fenced: whatever it reports
-- later changes nothing (C5).
-- certain: false if only its heartbeat has stopped. If its worker saw it die: the trial that it
-- began last ('' if none, '*' if unknown).
-- how: the status that its exit code stands for.
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
    -- The end of its suite may have killed it, and that cannot be tried again. A stopped heartbeat
    -- proves nothing of the kind: losing a machine must not fail a run.
    if certain and redis.call('EXISTS', slave .. ':trial') == 1 then
      note_bad_end(taskset, slave, 'the end of the suite is not known: ' .. why)
    end
    ask_for_check(taskset, arbiter_queue)
  end
  -- A reply that never reached the slave may have given it the trial: then the trial never ran.
  local known = #batch == 1 and (certain == '*' or (batch[1][3] and certain == batch[1][1]))
  local verdict = how == 'timeout_exit' and 'timeout' or 'error'
  if batch[1] then
    -- The first trial is the one that was running or about to. It is ended rather than deleted,
    -- since a slave of another implementation keeps it in its own memory.
    batch[1][3] = true
  end
  give_back(taskset, slave, batch)
  for _, held in ipairs(batch) do
    local trial, task, begun = unpack(held)
    if begun then
      -- The trial counts towards max_trials only if it may have killed its slave. It does not count
      -- when a heartbeat stopped, since the machine or Redis may have been away; nor in a batch of
      -- several, where it may have ended already and another one may have killed the slave. Those
      -- tasks are reserved alone from now on.
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
