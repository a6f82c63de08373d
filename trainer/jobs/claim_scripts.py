"""The Lua scripts of a worker: claim a job, tell of it, let it go. See trainer.jobs.lua."""

from trainer.jobs.lua import COMMON

# A run that counts no further is stuck, however often it says so: `progress_at` is when its step last
# changed.
_PROGRESS = """
local function progress(id, data)
  local before = call('HGET', job(id), 'progress')
  local step = string.match(data, '"step": *(%d+)')
  if not before or string.match(before, '"step": *(%d+)') ~= step then
    call('HSET', job(id), 'progress_at', now)
  end
  call('HSET', job(id), 'progress', data)
end
"""

# worker, its threads, its gpus, lease in ms
# -> {id, token, kind, config, threads, gpus, attempt, job whose checkpoint it goes on from or ''} or nil
# Of the jobs of the highest priority that fit, the one that uses most of the worker's GPUs, then the oldest:
# a job that any worker can run does not take the GPUs from one that needs them.
CLAIM = (
    COMMON
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
call('HSET', job(best), 'token', token, 'beat', 0, 'lease_ms', ARGV[4], 'lease_until', text(now_ms + ARGV[4]),
     'appended', 0, 'worker', ARGV[1], 'start_time', now, 'progress_at', now)
tally('attempts:' .. asked[3])
observe('wait:' .. asked[3], now - (call('HGET', job(best), 'queued_at') or now), WAIT_SECONDS)
move(best, 'RUNNING', '')
local descent = call('HMGET', job(best), 'from_checkpoint', 'parent')
local parent = descent[1] == '1' and descent[2] or ''
return {best, text(token), asked[3], asked[4], asked[1], asked[2], attempt, parent}
"""
)

# id, token, seconds that the run has taken since it last was said -> state, or nil if the job is not this
# worker's any more
RENEW = (
    COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return nil end
call('HINCRBY', job(ARGV[1]), 'beat', 1)
call('HINCRBYFLOAT', job(ARGV[1]), 'ran_seconds', ARGV[3])
call('HSET', job(ARGV[1]), 'lease_until', text(now_ms + call('HGET', job(ARGV[1]), 'lease_ms')))
return call('HGET', job(ARGV[1]), 'state')
"""
)

# id, token, number of the batch, kind, data, kind, data, ... -> 1, or 0 if the job is not this worker's any
# more. A batch that is there already, its answer having been lost, is not written twice. A checkpoint further
# on than any before forgives the workers that were lost: the job does get on.
APPEND = (
    COMMON
    + _PROGRESS
    + """
local id, batch = ARGV[1], tonumber(ARGV[3])
if not holds(id, ARGV[2]) then return 0 end
if batch <= tonumber(call('HGET', job(id), 'appended')) then return 1 end
call('HSET', job(id), 'appended', batch)
for i = 4, #ARGV, 2 do
  local kind, data = ARGV[i], ARGV[i + 1]
  if kind == 'progress' then progress(id, data) end
  if kind == 'artefact' then
    local artefact = cjson.decode(data)
    if artefact.kind == 'checkpoint' and artefact.path > (call('HGET', job(id), 'furthest') or '') then
      call('HSET', job(id), 'furthest', artefact.path, 'losses', 0)
    end
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
    COMMON
    + _PROGRESS
    + """
if not holds(ARGV[1], ARGV[2]) then return 0 end
progress(ARGV[1], ARGV[3])
return 1
"""
)

# id, token, state, message, model name, model version, reason, 1 if the run was lost, seconds that the run
# has taken since it last was said -> state entered, or nil if the job is not this worker's any more
RELEASE = (
    COMMON
    + """
local id, to, message, reason = ARGV[1], ARGV[3], ARGV[4], ARGV[7]
if not holds(id, ARGV[2]) then return nil end
local state, kind, overtime = unpack(call('HMGET', job(id), 'state', 'kind', 'overtime'))
if ARGV[8] == '1' then
  local losses = call('HINCRBY', job(id), 'losses', 1)
  if losses >= MOST_LOSSES then
    to, message = 'FAILED', 'given up: ' .. message .. ' (' .. losses .. ' losses without a new checkpoint)'
  else
    message = 'queued again: ' .. message
  end
end
if state == 'CANCELLING' and to ~= 'SUCCEEDED' then
  if overtime then
    message = to == 'FAILED' and overtime .. '; ' .. message or overtime
    to, reason = 'FAILED', 'TIME_LIMIT'
  elseif to ~= 'CANCELLED' then
    message = to == 'FAILED' and 'cancelled; ' .. message or 'cancelled'
    to = 'CANCELLED'
  end
end
call('HINCRBYFLOAT', job(id), 'ran_seconds', ARGV[9])
call('HSET', job(id), 'model_name', ARGV[5], 'model_version', ARGV[6])
if to == 'FAILED' then call('HSET', job(id), 'reason', reason) end
move(id, to, message)
local why = ARGV[8] == '1' and 'killed' or 'handed_back'
if to == 'PENDING' then tally('requeued:' .. kind .. ':' .. why) end
return to
"""
)

# worker, threads, gpus
ANNOUNCE = (
    COMMON
    + """
call('HSET', 'cgn:workers', ARGV[1], text(now_ms) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
"""
)
