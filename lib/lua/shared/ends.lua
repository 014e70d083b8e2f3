-- Shared: the ends of suites. Needs event.lua.
--
-- A runner that is started once for many spec files also ends once: hooks after the suite, fixtures
-- of the whole session, hooks at exit. If any of these fails, the suite has failed. TASKSET:ends
-- has one field per slave with such a runner, named by the slave's key: 'N open' while the end of
-- its Nth runner is unknown, then 'N ended'. The field 'failed SLAVE' holds the reason of the
-- slave's first failed end.

-- The runner's number in an entry (0 without one), and whether its end is open.
local function read_end(entry)
  local number, state = string.match(entry or '', '^(%d+) (%a+)$')
  return tonumber(number or '0'), state == 'open'
end

-- Records a failed end of the slave. The first reason is kept.
local function note_bad_end(taskset, slave, reason)
  redis.call('HSETNX', taskset .. ':ends', 'failed ' .. slave, reason)
end

-- Asks the arbiter to check whether the taskset is finished.
local function ask_for_check(taskset, arbiter_queue)
  local message = 'check\t' .. taskset
  if redis.call('LINDEX', arbiter_queue, -1) ~= message then
    redis.call('RPUSH', arbiter_queue, message)
  end
end

-- Whether the slave may still report an open end. A slave without a heartbeat may, until the
-- arbiter declares it dead, which it does for every slave in the taskset's list.
local function may_end(taskset, slave)
  -- The ACL refuses a key that is not a slave's, and with it the script (L8).
  local prefix = string.match(taskset, '^[^:]*:')
  if string.sub(slave, 1, #prefix + 7) ~= prefix .. 'worker:' then
    return false
  elseif is_set(try(redis.call, 'HGET', slave, 'status')) then
    return false
  elseif redis.call('EXISTS', slave .. ':heartbeat') == 1 then
    return true
  end
  for _, each in ipairs(try(redis.call, 'LRANGE', taskset .. ':slave', 0, -1) or {}) do
    if each == slave then
      return true
    end
  end
  return false
end

-- Whether an end is still awaited, and the reason why the suite has failed, if a known end did.
local function look_at_ends(taskset)
  local entries, nonsense = try(redis.call, 'HGETALL', taskset .. ':ends')
  if not entries then
    return false, 'the ends of the suite cannot be read: ' .. nonsense
  end
  local failed, reason, count = nil, nil, 0
  for i = 1, #entries, 2 do
    local slave = string.match(entries[i], '^failed (.*)$')
    if slave then
      count = count + 1
      if not failed or slave < failed then
        failed, reason = slave, entries[i + 1]
      end
    else
      local _, open = read_end(entries[i + 1])
      if open and may_end(taskset, entries[i]) then
        return true
      end
    end
  end
  if count > 1 then
    reason = reason .. (count == 2 and ' (and on another slave)' or string.format(' (and on %d more slaves)', count - 1))
  end
  return false, reason
end
