-- Shared: events of a taskset. Prepended to the scripts that emit some.

-- What this call emitted, as taskset, JSON, taskset, JSON…: returned so that a role can print it.
local emitted = {}

-- Appends a list of events, tables or JSON, to the taskset's stream as one entry: one XADD a call.
-- The entry's id is the events' time, by the one clock all agree on (C12: Redis' own).
local function emit(taskset, events)
  for from = 1, #events, 500 do
    local fields = {}
    for i = from, math.min(from + 499, #events) do
      local json = type(events[i]) == 'string' and events[i] or cjson.encode(events[i])
      fields[#fields + 1] = tostring(i)
      fields[#fields + 1] = json
      emitted[#emitted + 1] = taskset
      emitted[#emitted + 1] = json
    end
    redis.call('XADD', taskset .. ':events', '*', unpack(fields))
  end
end

-- Tells the taskset's slaves something by its wake stream: 'work', 'stop' with a task, or 'over'.
local function wake(taskset, word, about)
  redis.call('XADD', taskset .. ':wake', 'MAXLEN', '~', 1000, '*', word, about or '')
  redis.call('EXPIRE', taskset .. ':wake', KEY_TTL)
end

-- A field of a hash that is set: the protocol's nil is an absent field, and '' is read as nil too.
local function is_set(field)
  return field and field ~= ''
end

-- The spec file of a task: its own field, or the last part of its key.
local function spec_file_of(task, field)
  return is_set(field) and field or string.match(task, ':task:(.*)$')
end
