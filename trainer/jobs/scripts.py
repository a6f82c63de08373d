"""The Lua scripts by which job records change: each runs in Redis as a whole or not at all.

Keys
  cgn:job:<id>             hash, the record; with `token` and `lease_until` (ms) while a worker holds the job
  cgn:job:<id>:events      stream, the event log
  cgn:job:<id>:artefacts   list of JSON, newest last
  cgn:jobs:<STATE>         sorted set of job ids by order of submission
  cgn:jobs:queue           sorted set of the PENDING job ids: higher priority first, then older first
  cgn:jobs:counts          hash, <kind>:<STATE> -> number of jobs
  cgn:jobs:sequence        counter of submissions
  cgn:jobs:tokens          counter of claims: the fencing tokens
  cgn:request:<uuid>       "<job id> <digest of the spec>"
  cgn:workers              hash, host:pid -> "<time of the last beat, ms> <threads> <gpus>"

The names of the keys are made inside the scripts, which a single Redis allows and a cluster does not.
"""

from trainer.jobs.states import TRANSITIONS, JobState

KEPT_SECONDS = 30 * 86_400  # life of request ids, and of event logs after the end of the job
MOST_EVENTS = 100_000  # about, per job: days of a run, as progress comes seldom (trainer.worker.outbox)
RECORD_SECONDS = 3 * KEPT_SECONDS  # life of a job's record after its end
MOST_ARTEFACTS = 500  # per job
MOST_LOSSES = 3  # workers that a job may lose before it counts as failed
WORKER_SECONDS = 30  # a worker silent for longer is gone


def _lua_sets() -> str:
    """The table of transitions as Lua, from the one in trainer.jobs.states."""
    legal = ", ".join(
        f"{state} = {{{', '.join(f'{to} = true' for to in sorted(targets))}}}"
        for state, targets in TRANSITIONS.items()
    )
    ended = ", ".join(f"{state} = true" for state in JobState if state.ended)
    held = ", ".join(f"{state} = true" for state in JobState if state.held)
    return f"local LEGAL = {{{legal}}}\nlocal ENDED = {{{ended}}}\nlocal HELD = {{{held}}}\n"


_COMMON = (
    _lua_sets()
    + f"""
local KEPT_SECONDS, MOST_EVENTS, MOST_ARTEFACTS = {KEPT_SECONDS}, {MOST_EVENTS}, {MOST_ARTEFACTS}
local MOST_LOSSES, WORKER_MS = {MOST_LOSSES}, {WORKER_SECONDS * 1000}
"""
    + """
local call = redis.call
local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.3f', now_ms / 1000)
local function job(id) return 'cgn:job:' .. id end
local function text(number) return string.format('%.0f', number) end

local function log(id, kind, data)
  call('XADD', job(id) .. ':events', 'MAXLEN', '~', MOST_EVENTS, '*', 'kind', kind, 'data', data)
end

-- Puts a job that is in no state yet, or has just left one, into a state.
local function enter(id, to, message)
  local key = job(id)
  local record = call('HMGET', key, 'kind', 'sequence', 'priority')
  call('HSET', key, 'state', to, 'message', message)
  call('ZADD', 'cgn:jobs:' .. to, record[2], id)
  call('HINCRBY', 'cgn:jobs:counts', record[1] .. ':' .. to, 1)
  if to == 'PENDING' then
    call('ZADD', 'cgn:jobs:queue', text(-tonumber(record[3]) * 2 ^ 44 + tonumber(record[2])), id)
  end
  log(id, 'state_change', cjson.encode({state = to, message = message}))
end

local function move(id, to, message)
  local key = job(id)
  local record = call('HMGET', key, 'kind', 'state')
  local from = record[2]
  if not LEGAL[from][to] then error('job ' .. id .. ' cannot go from ' .. from .. ' to ' .. to) end
  call('ZREM', 'cgn:jobs:' .. from, id)
  call('ZREM', 'cgn:jobs:queue', id)
  call('HINCRBY', 'cgn:jobs:counts', record[1] .. ':' .. from, -1)
  if not HELD[to] then call('HDEL', key, 'token', 'lease_until') end
  if ENDED[to] then
    call('HSET', key, 'end_time', now)
    call('EXPIRE', key .. ':events', KEPT_SECONDS)
  end
  enter(id, to, message)
end

-- Whether the worker with this token still holds the job.
local function holds(id, token) return call('HGET', job(id), 'token') == token end

local function read(id)
  local rank = call('ZRANK', 'cgn:jobs:queue', id)
  return {call('HGETALL', job(id)), call('LRANGE', job(id) .. ':artefacts', 0, -1), rank}
end
"""
)

# id, request id or '', digest, field, value, ... -> {id, 1}, or {the first one's id, 1 if the specs agree}
SUBMIT = (
    _COMMON
    + """
local id, request, digest = ARGV[1], ARGV[2], ARGV[3]
if request ~= '' then
  local known = call('GET', 'cgn:request:' .. request)
  if known then
    local first, first_digest = string.match(known, '^(%S+) (%S+)$')
    return {first, first_digest == digest and 1 or 0}
  end
end
if call('EXISTS', job(id)) == 1 then error('job id ' .. id .. ' is taken') end
local sequence = call('INCR', 'cgn:jobs:sequence')
call('HSET', job(id), 'id', id, 'sequence', sequence, 'create_time', now, 'attempt', 0, 'losses', 0,
     unpack(ARGV, 4))
enter(id, 'PENDING', '')
if request ~= '' then call('SET', 'cgn:request:' .. request, id .. ' ' .. digest, 'EX', KEPT_SECONDS) end
return {id, 1}
"""
)

# id -> {flat record, artefacts, rank or nil}, or nil
READ = (
    _COMMON
    + """
if call('EXISTS', job(ARGV[1])) == 0 then return nil end
return read(ARGV[1])
"""
)

# sequence below which to begin or '+inf', most jobs, state, ... -> list of what READ returns, newest first
LIST = (
    _COMMON
    + """
local limit = tonumber(ARGV[2])
local found = {}
for i = 3, #ARGV do
  local page = call('ZREVRANGEBYSCORE', 'cgn:jobs:' .. ARGV[i], '(' .. ARGV[1], '-inf', 'WITHSCORES',
                    'LIMIT', 0, limit)
  for j = 1, #page, 2 do found[#found + 1] = {page[j], tonumber(page[j + 1])} end
end
table.sort(found, function(a, b) return a[2] > b[2] end)
local jobs = {}
for i = 1, math.min(limit, #found) do jobs[i] = read(found[i][1]) end
return jobs
"""
)

# id -> 1, or 0 for an unknown job; a job that has ended or is stopping already stays as it is
CANCEL = (
    _COMMON
    + """
local state = call('HGET', job(ARGV[1]), 'state')
if not state then return 0 end
if state == 'PENDING' then move(ARGV[1], 'CANCELLED', 'cancelled before it began') end
if state == 'RUNNING' then move(ARGV[1], 'CANCELLING', '') end
return 1
"""
)

# worker, its threads, its gpus, lease in ms -> {id, token, kind, config, threads, gpus, attempt} or nil
# Of the jobs of the highest priority that fit, the one that uses most of the worker's GPUs, then the oldest:
# a job that any worker can run does not take the GPUs from one that needs them.
CLAIM = (
    _COMMON
    + """
local threads, gpus = tonumber(ARGV[2]), tonumber(ARGV[3])
local best, asked
for _, id in ipairs(call('ZRANGE', 'cgn:jobs:queue', 0, -1)) do
  local asks = call('HMGET', job(id), 'cpu_threads', 'gpus', 'kind', 'config', 'priority')
  if best and asks[5] ~= asked[5] then break end
  if tonumber(asks[1]) <= threads and tonumber(asks[2]) <= gpus
     and (not best or tonumber(asks[2]) > tonumber(asked[2])) then
    best, asked = id, asks
    if tonumber(asks[2]) == gpus then break end
  end
end
if not best then return nil end
local token = call('INCR', 'cgn:jobs:tokens')
local attempt = call('HINCRBY', job(best), 'attempt', 1)
call('HSET', job(best), 'token', token, 'lease_until', text(now_ms + ARGV[4]), 'worker', ARGV[1],
     'start_time', now)
move(best, 'RUNNING', '')
return {best, text(token), asked[3], asked[4], asked[1], asked[2], attempt}
"""
)

# id, token, lease in ms -> state, or nil if the job is not this worker's any more
RENEW = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return nil end
call('HSET', job(ARGV[1]), 'lease_until', text(now_ms + ARGV[3]))
return call('HGET', job(ARGV[1]), 'state')
"""
)

# id, token, kind, data, kind, data, ... -> 1, or 0 if the job is not this worker's any more
APPEND = (
    _COMMON
    + """
local id = ARGV[1]
if not holds(id, ARGV[2]) then return 0 end
for i = 3, #ARGV, 2 do
  local kind, data = ARGV[i], ARGV[i + 1]
  if kind == 'progress' then call('HSET', job(id), 'progress', data) end
  if kind == 'artefact' then
    call('RPUSH', job(id) .. ':artefacts', data)
    call('LTRIM', job(id) .. ':artefacts', -MOST_ARTEFACTS, -1)
  end
  log(id, kind, data)
end
return 1
"""
)

# id, token, progress -> 1, or 0 if the job is not this worker's any more
SHOW = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return 0 end
call('HSET', job(ARGV[1]), 'progress', ARGV[3])
return 1
"""
)

# id, token, state, message, model name, model version -> state entered, or nil if not this worker's any more
RELEASE = (
    _COMMON
    + """
local id, to, message = ARGV[1], ARGV[3], ARGV[4]
if not holds(id, ARGV[2]) then return nil end
if call('HGET', job(id), 'state') == 'CANCELLING' and not LEGAL.CANCELLING[to] then
  message = to == 'FAILED' and 'cancelled; ' .. message or 'cancelled'
  to = 'CANCELLED'
end
call('HSET', job(id), 'model_name', ARGV[5], 'model_version', ARGV[6])
move(id, to, message)
return to
"""
)

# -> list of {id, state entered, worker that was lost}
RECLAIM = (
    _COMMON
    + """
local lost = {}
for from in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. from, 0, -1)) do
    local record = call('HMGET', job(id), 'lease_until', 'worker')
    if tonumber(record[1]) < now_ms then
      local losses = call('HINCRBY', job(id), 'losses', 1)
      local to, message = 'PENDING', 'queued again: its worker ' .. record[2] .. ' was lost'
      if from == 'CANCELLING' then
        to, message = 'CANCELLED', 'cancelled; its worker ' .. record[2] .. ' was lost meanwhile'
      elseif losses >= MOST_LOSSES then
        message = 'given up: its worker was lost ' .. losses .. ' times, the last one was ' .. record[2]
          .. '; look for want of memory there'
        to = 'FAILED'
      end
      move(id, to, message)
      lost[#lost + 1] = {id, to, record[2]}
    end
  end
end
return lost
"""
)

# -> {counts, seconds since the oldest PENDING job was submitted, leases expired, {{id, kind, progress}, ...}}
OVERVIEW = (
    _COMMON
    + """
local waited = '0'
local oldest = call('ZRANGE', 'cgn:jobs:PENDING', 0, 0)[1]
if oldest then waited = string.format('%.3f', now - call('HGET', job(oldest), 'create_time')) end
local expired, held = 0, {}
for state in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, -1)) do
    local record = call('HMGET', job(id), 'kind', 'progress', 'lease_until')
    if tonumber(record[3]) < now_ms then expired = expired + 1 end
    held[#held + 1] = {id, record[1], record[2] or 'null'}
  end
end
return {call('HGETALL', 'cgn:jobs:counts'), waited, expired, held}
"""
)

# seconds that a record is kept after its job's end -> number of jobs forgotten, the oldest ones first
FORGET = (
    _COMMON
    + """
local forgotten = 0
for state in pairs(ENDED) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, 9)) do
    local record = call('HMGET', job(id), 'kind', 'end_time')
    if tonumber(record[2]) < now - ARGV[1] then
      call('ZREM', 'cgn:jobs:' .. state, id)
      call('HINCRBY', 'cgn:jobs:counts', record[1] .. ':' .. state, -1)
      call('DEL', job(id), job(id) .. ':events', job(id) .. ':artefacts')
      forgotten = forgotten + 1
    end
  end
end
return forgotten
"""
)

# worker, threads, gpus
ANNOUNCE = (
    _COMMON
    + """
call('HSET', 'cgn:workers', ARGV[1], text(now_ms) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
"""
)

# -> list of {worker, threads, gpus} of the live ones
WORKERS = (
    _COMMON
    + """
local live = {}
local all = call('HGETALL', 'cgn:workers')
for i = 1, #all, 2 do
  local beat, threads, gpus = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
  if tonumber(beat) < now_ms - WORKER_MS then
    call('HDEL', 'cgn:workers', all[i])
  else
    live[#live + 1] = {all[i], threads, gpus}
  end
end
return live
"""
)
