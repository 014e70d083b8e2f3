-- Shared: the events of a taskset. Part of every script that emits events.

-- The events that this call emitted, as taskset, JSON, taskset, JSON…: returned for the role to
-- print.
local emitted = {}

-- The field names of an entry, one letter per event; they carry no meaning and bound the entry's
-- size. Converting a number to text would cost as much as a command.
local NAMES = '123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

-- Appends events (tables or JSON) to the taskset's stream, in as few entries as possible. An
-- entry's id is the time of its events by Redis' clock, the only one that all machines share (C12).
local function emit(taskset, events)
  for from = 0, #events - 1, #NAMES do
    local fields = {}
    for i = 1, math.min(#NAMES, #events - from) do
      local event = events[from + i]
      local json = type(event) == 'string' and event or cjson.encode(event)
      fields[2 * i - 1] = string.sub(NAMES, i, i)
      fields[2 * i] = json
      emitted[#emitted + 1] = taskset
      emitted[#emitted + 1] = json
    end
    redis.call('XADD', taskset .. ':events', '*', unpack(fields))
  end
end

-- Writes a hint to the taskset's wake stream: 'work', 'stop' with a task, 'end' when no task is
-- left, or 'over'.
local function wake(taskset, word, about)
  redis.call('XADD', taskset .. ':wake', 'MAXLEN', '~', 1000, '*', word, about or '')
  redis.call('EXPIRE', taskset .. ':wake', KEY_TTL)
end

-- Whether a hash field is set: the protocol's nil is an absent field, and '' is read as nil too.
local function is_set(field)
  return field and field ~= ''
end

-- The errors of Redis for a key or a field of the wrong type.
local NONSENSE = { '^WRONGTYPE ', '^ERR hash value is not an integer', '^ERR increment or decrement would overflow' }

-- Calls f, which may read keys that another program has overwritten. An error from such a key must
-- not end the script (L8), or the effects on other tasksets would remain half done. In that case
-- try returns nil and the error's text. Any other error is raised again: missing memory or rights
-- are not the key's fault.
local function try(f, ...)
  local ok, result = pcall(f, ...)
  if ok then
    return result
  end
  local text = type(result) == 'table' and result.err or tostring(result)
  for _, pattern in ipairs(NONSENSE) do
    if string.find(text, pattern) then
      return nil, text
    end
  end
  -- A table keeps the error's code, which shows the caller whether a retry may help; Redis 6.2
  -- accepts only text.
  error(redis.REDIS_VERSION_NUM and { err = text } or text, 0)
end

-- The spec file of a task: its field, or the last part of its key.
local function spec_file_of(task, field)
  return is_set(field) and field or string.match(task, ':task:(.*)$')
end
