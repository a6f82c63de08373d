-- Functions that all scripts of the jobs share. Redis runs each script as a whole or not at all.
--
-- trainer/jobs/scripts.py puts this file in front of every script, and generated locals in front of it:
-- TRANSITIONS, ENDED and HELD from trainer/jobs/states.py, the limits from trainer/jobs/limits.py, and the
-- bounds WAIT_SECONDS and RUN_SECONDS from trainer/jobs/totals.py. The scripts move jobs between states and
-- return facts. State, reason and message at the end of an attempt come from trainer/jobs/outcome.py.
--
-- Keys
--   cgn:job:<id>             hash, the record. While a worker holds the job: `token`, `beat` (number of
--                            lease renewals), `lease_ms` and `appended` (number of the last batch of
--                            events). `lease_until` (ms) is for people and metrics only: the wall clock may
--                            be set, so no decision depends on it (see trainer/jobs/leases.py).
--                            `ran_seconds` is measured by the workers
--   cgn:job:<id>:events      stream, the event log
--   cgn:job:<id>:artefacts   list of JSON, newest last
--   cgn:job:<id>:heirs       set of the dependents: jobs that resume from this job's checkpoint
--   cgn:jobs:<STATE>         sorted set of job ids by order of submission
--   cgn:jobs:queue           sorted set of the PENDING job ids: higher priority first, then older first
--   cgn:jobs:queued          hash, owner -> number of PENDING jobs
--   cgn:jobs:counts          hash, <kind>:<STATE> -> number of jobs
--   cgn:jobs:totals          hash of counters for metrics (see trainer/jobs/totals.py)
--   cgn:jobs:expiry          sorted set of the ended job ids by the time of deletion, in seconds since 1970
--   cgn:jobs:rubbish         set of deleted job ids whose files may still exist
--   cgn:jobs:sequence        counter of submissions
--   cgn:jobs:tokens          counter of claims: the fencing tokens
--   cgn:request:<uuid>       "<job id> <digest of the request>"
--   cgn:workers              hash, host:pid -> "<time of the last heartbeat, ms> <threads> <gpus>"
--
-- The scripts build the names of keys themselves. A single Redis allows that, a cluster does not.

local call = redis.call
local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.3f', now_ms / 1000)

local function job(id) return 'cgn:job:' .. id end

-- A whole number as text, without an exponent.
local function text(number) return string.format('%.0f', number) end

-- Appends an event to the job's log.
local function log(id, kind, data)
  call('HINCRBY', job(id), 'events', 1)
  call('XADD', job(id) .. ':events', 'MAXLEN', '~', MAX_EVENTS, '*', 'kind', kind, 'data', data)
end

-- Adds 1 to a counter of the metrics.
local function tally(name) call('HINCRBY', 'cgn:jobs:totals', name, 1) end

-- Adds a duration to a histogram of the metrics: counts it at the first bound that is not below it.
local function observe(name, seconds, bounds)
  local place = 1
  while bounds[place] and seconds > bounds[place] do place = place + 1 end
  tally(name .. ':' .. place)
  call('HINCRBYFLOAT', 'cgn:jobs:totals', name .. ':sum', string.format('%.3f', seconds))
end

-- Changes an owner's number of PENDING jobs. Records of old releases have no owner.
local function count_queued(owner, change)
  if owner and call('HINCRBY', 'cgn:jobs:queued', owner, change) <= 0 then
    call('HDEL', 'cgn:jobs:queued', owner)
  end
end

-- Puts a job into a state. The job is new, or `move` has just removed it from its state.
local function enter(id, to, message)
  local key = job(id)
  local kind, sequence, priority, owner = unpack(call('HMGET', key, 'kind', 'sequence', 'priority', 'owner'))
  call('HSET', key, 'state', to, 'message', message)
  call('ZADD', 'cgn:jobs:' .. to, sequence, id)
  call('HINCRBY', 'cgn:jobs:counts', kind .. ':' .. to, 1)
  if to == 'PENDING' then
    call('ZADD', 'cgn:jobs:queue', text(-tonumber(priority) * 2 ^ 44 + tonumber(sequence)), id)
    call('HSET', key, 'queued_at', now)
    count_queued(owner, 1)
  end
  log(id, 'state_change', cjson.encode({state = to, message = message}))
end

-- Moves a job from its state to another one. Raises an error for a move that TRANSITIONS does not have.
local function move(id, to, message)
  local key = job(id)
  local kind, from, owner, keep_days = unpack(call('HMGET', key, 'kind', 'state', 'owner', 'keep_days'))
  if not TRANSITIONS[from][to] then error('job ' .. id .. ' cannot go from ' .. from .. ' to ' .. to) end
  call('ZREM', 'cgn:jobs:' .. from, id)
  call('ZREM', 'cgn:jobs:queue', id)
  call('HINCRBY', 'cgn:jobs:counts', kind .. ':' .. from, -1)
  if from == 'PENDING' then count_queued(owner, -1) end
  if not HELD[to] then call('HDEL', key, 'token', 'beat', 'lease_ms', 'lease_until', 'appended') end
  enter(id, to, message)
  if ENDED[to] then
    call('HSET', key, 'end_time', now)
    call('EXPIRE', key .. ':events', LOG_SECONDS)
    call('ZADD', 'cgn:jobs:expiry', now + (tonumber(keep_days) or DEFAULT_KEEP_DAYS) * 86400, id)
    local ran = tonumber(call('HGET', key, 'ran_seconds'))
    if ran then observe('run:' .. kind .. ':' .. to, ran, RUN_SECONDS) end
  end
end

-- Takes a job from its worker, and returns the state that it enters.
-- outcomes: JSON of trainer/jobs/outcome.py's Outcomes, one {state, message, reason, requeue_cause} for each
-- situation. The situation is known here alone, because a caller may cancel the job at any moment.
-- lost: whether this end of the attempt counts as a loss.
local function leave(id, outcomes, lost)
  local state, kind, overtime = unpack(call('HMGET', job(id), 'state', 'kind', 'overtime'))
  local losses = lost and call('HINCRBY', job(id), 'losses', 1) or 0
  local situation = 'running'
  if state == 'CANCELLING' then
    situation = overtime and 'overtime' or 'cancelled'
  elseif losses >= MAX_LOSSES then
    situation = 'lost_too_often'
  end
  local outcome = cjson.decode(outcomes)[situation]
  if outcome.state == 'FAILED' then call('HSET', job(id), 'reason', outcome.reason) end
  move(id, outcome.state, outcome.message)
  if outcome.state == 'PENDING' then tally('requeued:' .. kind .. ':' .. outcome.requeue_cause) end
  return outcome.state
end

-- Whether the worker with this token still holds the job.
local function holds(id, token) return call('HGET', job(id), 'token') == token end

-- Writes progress, as JSON, to the record. `progress_at` is the time of the last new step: a run that repeats
-- the same step is stuck.
local function record_progress(id, data)
  local before = call('HGET', job(id), 'progress')
  local step = string.match(data, '"step": *(%d+)')
  if not before or string.match(before, '"step": *(%d+)') ~= step then
    call('HSET', job(id), 'progress_at', now)
  end
  call('HSET', job(id), 'progress', data)
end

-- {flat record, artefacts, place in the queue from 0 or nil}
local function read(id)
  local rank = call('ZRANK', 'cgn:jobs:queue', id)
  return {call('HGETALL', job(id)), call('LRANGE', job(id) .. ':artefacts', 0, -1), rank}
end

-- A dependent of this job that has not ended, or nil.
local function waiting_dependent(id)
  for _, dependent in ipairs(call('SMEMBERS', job(id) .. ':heirs')) do
    local state = call('HGET', job(dependent), 'state')
    if state and not ENDED[state] then return dependent end
  end
  return nil
end

-- Removes the record of a job that has ended, and notes that its files are to be deleted.
local function remove(id)
  local kind, state = unpack(call('HMGET', job(id), 'kind', 'state'))
  call('ZREM', 'cgn:jobs:' .. state, id)
  call('ZREM', 'cgn:jobs:expiry', id)
  call('HINCRBY', 'cgn:jobs:counts', kind .. ':' .. state, -1)
  call('SADD', 'cgn:jobs:rubbish', id)
  call('DEL', job(id), job(id) .. ':events', job(id) .. ':artefacts', job(id) .. ':heirs')
end
