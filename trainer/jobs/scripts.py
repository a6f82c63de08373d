"""The Lua scripts of the service: submit, cancel, delete, and what the sweeper does. See trainer.jobs.lua."""

from trainer.jobs.lua import COMMON

# id, request id or '', digest, most PENDING jobs of an owner or 0, owner, parent or '', 1 to go on from its
# checkpoint, field, value, ... -> {outcome, id}. Outcomes: new; again (id is the first one's); other (the
# request id is of another request); gone (its job was deleted); taken (the job id is); full (id is the number
# of queued jobs); orphan (the parent is no more)
SUBMIT = (
    COMMON
    + """
local id, request, digest, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local owner, parent, from_checkpoint = ARGV[5], ARGV[6], ARGV[7]
if request ~= '' then
  local known = call('GET', 'cgn:request:' .. request)
  if known then
    local first, first_digest = string.match(known, '^(%S+) (%S+)$')
    if call('EXISTS', job(first)) == 0 then return {'gone', first} end
    return {first_digest == digest and 'again' or 'other', first}
  end
end
if call('EXISTS', job(id)) == 1 or call('SISMEMBER', 'cgn:jobs:rubbish', id) == 1 then
  return {'taken', id}
end
local waiting = tonumber(call('HGET', 'cgn:jobs:queued', owner) or 0)
if most > 0 and waiting >= most then return {'full', text(waiting)} end
if parent ~= '' then
  if call('EXISTS', job(parent)) == 0 then return {'orphan', parent} end
  if from_checkpoint == '1' then call('SADD', job(parent) .. ':heirs', id) end
end
local sequence = call('INCR', 'cgn:jobs:sequence')
call('HSET', job(id), 'id', id, 'sequence', sequence, 'create_time', now, 'attempt', 0, 'losses', 0,
     'owner', owner, 'parent', parent, 'from_checkpoint', from_checkpoint, unpack(ARGV, 8))
enter(id, 'PENDING', '')
if request ~= '' then call('SET', 'cgn:request:' .. request, id .. ' ' .. digest, 'EX', KEPT_SECONDS) end
return {'new', id}
"""
)

# id -> 1, or 0 for an unknown job; a job that has ended or is stopping already stays as it is
CANCEL = (
    COMMON
    + """
local state = call('HGET', job(ARGV[1]), 'state')
if not state then return 0 end
if state == 'PENDING' then move(ARGV[1], 'CANCELLED', 'cancelled before it began') end
if state == 'RUNNING' then move(ARGV[1], 'CANCELLING', '') end
return 1
"""
)

# -> list of {id, token, beat, lease in ms}
LEASES = (
    COMMON
    + """
local leases = {}
for state in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, -1)) do
    local record = call('HMGET', job(id), 'token', 'beat', 'lease_ms')
    leases[#leases + 1] = {id, record[1], record[2], record[3]}
  end
end
return leases
"""
)

# id, token, beat -> {state entered, worker that was lost}, or nil if the lease has been renewed since
RECLAIM = (
    COMMON
    + """
local id = ARGV[1]
local record = call('HMGET', job(id), 'state', 'worker', 'token', 'beat', 'kind', 'overtime')
local from, worker = record[1], record[2]
if record[3] ~= ARGV[2] or record[4] ~= ARGV[3] then return nil end
tally('lost:' .. record[5])
local losses = call('HINCRBY', job(id), 'losses', 1)
local to, message = 'PENDING', 'queued again: its worker ' .. worker .. ' was lost'
if from == 'CANCELLING' and record[6] then
  to, message = 'FAILED', record[6] .. '; its worker ' .. worker .. ' was lost meanwhile'
  call('HSET', job(id), 'reason', 'TIME_LIMIT')
elseif from == 'CANCELLING' then
  to, message = 'CANCELLED', 'cancelled; its worker ' .. worker .. ' was lost meanwhile'
elseif losses >= MOST_LOSSES then
  message = 'given up: its worker was lost ' .. losses .. ' times without a new checkpoint, the last one was '
    .. worker .. '; look for want of memory there'
  to = 'FAILED'
  call('HSET', job(id), 'reason', 'WORKERS_LOST')
end
move(id, to, message)
if to == 'PENDING' then tally('requeued:' .. record[5] .. ':lost') end
return {to, worker}
"""
)

_REMOVE = """
-- Whether a job that waits or runs goes on from this one's checkpoint.
local function needed(id)
  for _, heir in ipairs(call('SMEMBERS', job(id) .. ':heirs')) do
    local state = call('HGET', job(heir), 'state')
    if state and not ENDED[state] then return heir end
  end
  return nil
end

local function remove(id)
  local kind, state = unpack(call('HMGET', job(id), 'kind', 'state'))
  call('ZREM', 'cgn:jobs:' .. state, id)
  call('ZREM', 'cgn:jobs:expiry', id)
  call('HINCRBY', 'cgn:jobs:counts', kind .. ':' .. state, -1)
  call('SADD', 'cgn:jobs:rubbish', id)
  call('DEL', job(id), job(id) .. ':events', job(id) .. ':artefacts', job(id) .. ':heirs')
end
"""

# id -> {outcome, state or the job that needs this one}. Outcomes: deleted, unknown, going (not ended), needed
DELETE = (
    COMMON
    + _REMOVE
    + """
local id = ARGV[1]
local state = call('HGET', job(id), 'state')
if not state then return {'unknown', ''} end
if not ENDED[state] then return {'going', state} end
local heir = needed(id)
if heir then return {'needed', heir} end
remove(id)
return {'deleted', state}
"""
)

# -> number of jobs forgotten, whose days are over
FORGET = (
    COMMON
    + _REMOVE
    + """
local forgotten = 0
for _, id in ipairs(call('ZRANGEBYSCORE', 'cgn:jobs:expiry', '-inf', now, 'LIMIT', 0, 10)) do
  if needed(id) then
    call('ZADD', 'cgn:jobs:expiry', now + 3600, id)
  else
    remove(id)
    forgotten = forgotten + 1
  end
end
return forgotten
"""
)

# -> list of the ids of the jobs that have run for as long as they may, and are to stop now
OVERTIME = (
    COMMON
    + """
local over = {}
for _, id in ipairs(call('ZRANGE', 'cgn:jobs:RUNNING', 0, -1)) do
  local limit, ran = unpack(call('HMGET', job(id), 'time_limit_seconds', 'ran_seconds'))
  limit = tonumber(limit or 0)
  if limit > 0 and tonumber(ran or 0) >= limit then
    local message = 'its time limit of ' .. text(limit) .. ' s is over; ResumeJob goes on from its checkpoint'
    call('HSET', job(id), 'overtime', message)
    move(id, 'CANCELLING', 'its time limit of ' .. text(limit) .. ' s is over')
    over[#over + 1] = id
  end
end
return over
"""
)
