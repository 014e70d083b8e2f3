-- Shared: events of a taskset. Prepended to the scripts that emit some.

-- What this call emitted, as taskset, JSON, taskset, JSON…: returned so that a role can print it.
local emitted = {}

-- The names of an entry's fields, which tell nothing: a letter each, for so many events at most.
-- To make text of a number costs as much as a command.
local NAMES = '123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

-- Appends a list of events, tables or JSON, to the taskset's stream, as few entries.
-- An entry's id is the events' time, by the one clock all agree on (C12: Redis' own).
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

-- Tells the taskset's slaves something by its wake stream: 'work', 'stop' with a task,
-- 'end' when no task is left, or 'over'.
local function wake(taskset, word, about)
  redis.call('XADD', taskset .. ':wake', 'MAXLEN', '~', 1000, '*', word, about or '')
  redis.call('EXPIRE', taskset .. ':wake', KEY_TTL)
end

-- A field of a hash that is set: the protocol's nil is an absent field, and '' is read as nil too.
local function is_set(field)
  return field and field ~= ''
end

-- What Redis says of a key or a field that is not of the kind it should be.
local NONSENSE = { '^WRONGTYPE ', '^ERR hash value is not an integer', '^ERR increment or decrement would overflow' }

-- Calls f, which may meet what somebody else has written there, and must not end the script by it
-- (L8): what was done of other tasksets would stay half done. Returns nil and what Redis said then.
-- Any other error is passed on: want of memory or of rights is no fault of that key's.
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
  -- As a table the error keeps its code, by which we know what passes; Redis 6.2 takes only text.
  error(redis.REDIS_VERSION_NUM and { err = text } or text, 0)
end

-- The spec file of a task: its own field, or the last part of its key.
local function spec_file_of(task, field)
  return is_set(field) and field or string.match(task, ':task:(.*)$')
end
