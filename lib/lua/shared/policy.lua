-- Shared: the submitter's policy, by which a failure is final and failures end a taskset. Needs
-- event.lua.
--
-- The taskset's field 'policy' is a JSON object (lib/protocol/policy.rs), absent if every rule is
-- the default, so that a run without a policy costs nothing. The decisions are made here, in the
-- step that writes the verdict, so that two arbiters cannot make them differently.

-- The policy; nil if it cannot be read.
local function read_policy(text)
  local ok, policy = pcall(cjson.decode, text)
  return ok and type(policy) == 'table' and policy or nil
end

-- Whether a trial that failed with this status may be followed by another one. A retry is paid from
-- the taskset's budget unless a live copy will bring the verdict anyway.
local function may_retry(taskset, book, status, live)
  local policy = book.policy
  if type(policy.retry_on) == 'table' then
    local listed = false
    for _, each in ipairs(policy.retry_on) do
      listed = listed or each == status
    end
    if not listed then
      return false
    end
  end
  local budget = tonumber(policy.retry_budget)
  if not budget or live then
    return true
  end
  -- HSET instead of HINCRBY: a field that another program has overwritten must not end the script
  -- after the trial was marked as judged (L8).
  local spent = tonumber(redis.call('HGET', taskset, 'retry_count') or '') or 0
  if spent < budget then
    redis.call('HSET', taskset, 'retry_count', spent + 1)
    return true
  end
  if redis.call('HSETNX', taskset, 'retry_budget_spent', 1) == 1 then
    book.events[#book.events + 1] = { event = 'retry_budget_spent', budget = budget }
  end
  return false
end

-- Whether the failed tasks, those of this call included, are as many as --max-fail allows.
local function has_reached_max_fail(taskset, book)
  local most = tonumber(book.policy.max_fail)
  if not most then
    return false
  end
  book.failed_before = book.failed_before or tonumber(redis.call('HGET', taskset, 'failed_count') or '') or 0
  return book.failed_before + book.failed >= most
end

local function why_reached(book)
  local failed = book.failed_before + book.failed
  return string.format('--max-fail: %d %s failed', failed, failed == 1 and 'task' or 'tasks')
end

-- The reason why a taskset without a failed task fails nevertheless: its flaky tasks; nil if it
-- does not.
local function why_flaky_fails(text, count)
  local policy, flaky = read_policy(text), tonumber(count or '') or 0
  if policy and policy.flaky == 'fail' and flaky > 0 then
    return string.format('%d flaky', flaky)
  end
end
