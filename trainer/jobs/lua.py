"""What the Lua scripts of the jobs share: each script runs in Redis as a whole or not at all.

Keys
  cgn:job:<id>             hash, the record; while a worker holds the job with its `token`, `beat` (how often
                           the lease was renewed), `lease_ms`, and `appended` (its last batch of events).
                           `lease_until` (ms) is for people and metrics: nothing is decided by the clock, as
                           that may be set (trainer.jobs.leases). `ran_seconds` is by the workers' own count
  cgn:job:<id>:events      stream, the event log
  cgn:job:<id>:artefacts   list of JSON, newest last
  cgn:job:<id>:heirs       set of the jobs that go on from this one's checkpoint
  cgn:jobs:<STATE>         sorted set of job ids by order of submission
  cgn:jobs:queue           sorted set of the PENDING job ids: higher priority first, then older first
  cgn:jobs:queued          hash, owner -> number of PENDING jobs
  cgn:jobs:counts          hash, <kind>:<STATE> -> number of jobs
  cgn:jobs:totals          hash of what has happened so far, for metrics (trainer.jobs.totals)
  cgn:jobs:expiry          sorted set of the ended job ids by the time, in seconds, of their forgetting
  cgn:jobs:rubbish         set of forgotten job ids whose files may still be there
  cgn:jobs:sequence        counter of submissions
  cgn:jobs:tokens          counter of claims: the fencing tokens
  cgn:request:<uuid>       "<job id> <digest of the request>"
  cgn:workers              hash, host:pid -> "<time of the last beat, ms> <threads> <gpus>"

The names of the keys are made inside the scripts, which a single Redis allows and a cluster does not.
"""

from trainer.jobs.states import TRANSITIONS, JobState
from trainer.jobs.totals import RUN_SECONDS, WAIT_SECONDS

KEPT_SECONDS = 30 * 86_400  # life of request ids, and of event logs after the end of the job
MOST_EVENTS = 100_000  # about, per job: days of a run, as progress comes seldom (trainer.worker.outbox)
MOST_ARTEFACTS = 500  # per job
MOST_LOSSES = 3  # workers that a job may lose without a new checkpoint before it counts as failed
WORKER_SECONDS = 30  # a worker silent for longer is gone
_DEFAULT_KEEP_DAYS = 90  # of records of another release that do not say


def _lua_list(numbers: tuple[int, ...]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _lua_sets() -> str:
    """The table of transitions as Lua, from the one in trainer.jobs.states."""
    legal = ", ".join(
        f"{state} = {{{', '.join(f'{to} = true' for to in sorted(targets))}}}"
        for state, targets in TRANSITIONS.items()
    )
    ended = ", ".join(f"{state} = true" for state in JobState if state.ended)
    held = ", ".join(f"{state} = true" for state in JobState if state.held)
    return f"local LEGAL = {{{legal}}}\nlocal ENDED = {{{ended}}}\nlocal HELD = {{{held}}}\n"


COMMON = (
    _lua_sets()
    + f"""
local KEPT_SECONDS, MOST_EVENTS, MOST_ARTEFACTS = {KEPT_SECONDS}, {MOST_EVENTS}, {MOST_ARTEFACTS}
local MOST_LOSSES, WORKER_MS, KEEP_DAYS = {MOST_LOSSES}, {WORKER_SECONDS * 1000}, {_DEFAULT_KEEP_DAYS}
local WAIT_SECONDS, RUN_SECONDS = {_lua_list(WAIT_SECONDS)}, {_lua_list(RUN_SECONDS)}
"""
    + """
local call = redis.call
local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.3f', now_ms / 1000)
local function job(id) return 'cgn:job:' .. id end
local function text(number) return string.format('%.0f', number) end

local function log(id, kind, data)
  call('HINCRBY', job(id), 'events', 1)
  call('XADD', job(id) .. ':events', 'MAXLEN', '~', MOST_EVENTS, '*', 'kind', kind, 'data', data)
end

-- Counts something that has happened, and seconds by the first bound that they do not pass.
local function tally(name) call('HINCRBY', 'cgn:jobs:totals', name, 1) end

local function observe(name, seconds, bounds)
  local place = 1
  while bounds[place] and seconds > bounds[place] do place = place + 1 end
  tally(name .. ':' .. place)
  call('HINCRBYFLOAT', 'cgn:jobs:totals', name .. ':sum', string.format('%.3f', seconds))
end

local function queued(owner, by)
  if owner and call('HINCRBY', 'cgn:jobs:queued', owner, by) <= 0 then
    call('HDEL', 'cgn:jobs:queued', owner)
  end
end

-- Puts a job that is in no state yet, or has just left one, into a state.
local function enter(id, to, message)
  local key = job(id)
  local record = call('HMGET', key, 'kind', 'sequence', 'priority', 'owner')
  call('HSET', key, 'state', to, 'message', message)
  call('ZADD', 'cgn:jobs:' .. to, record[2], id)
  call('HINCRBY', 'cgn:jobs:counts', record[1] .. ':' .. to, 1)
  if to == 'PENDING' then
    call('ZADD', 'cgn:jobs:queue', text(-tonumber(record[3]) * 2 ^ 44 + tonumber(record[2])), id)
    call('HSET', key, 'queued_at', now)
    queued(record[4], 1)
  end
  log(id, 'state_change', cjson.encode({state = to, message = message}))
end

local function move(id, to, message)
  local key = job(id)
  local record = call('HMGET', key, 'kind', 'state', 'owner', 'keep_days')
  local from = record[2]
  if not LEGAL[from][to] then error('job ' .. id .. ' cannot go from ' .. from .. ' to ' .. to) end
  call('ZREM', 'cgn:jobs:' .. from, id)
  call('ZREM', 'cgn:jobs:queue', id)
  call('HINCRBY', 'cgn:jobs:counts', record[1] .. ':' .. from, -1)
  if from == 'PENDING' then queued(record[3], -1) end
  if not HELD[to] then call('HDEL', key, 'token', 'beat', 'lease_ms', 'lease_until', 'appended') end
  enter(id, to, message)
  if ENDED[to] then
    call('HSET', key, 'end_time', now)
    call('EXPIRE', key .. ':events', KEPT_SECONDS)
    call('ZADD', 'cgn:jobs:expiry', now + (tonumber(record[4]) or KEEP_DAYS) * 86400, id)
    local ran = tonumber(call('HGET', key, 'ran_seconds'))
    if ran then observe('run:' .. record[1] .. ':' .. to, ran, RUN_SECONDS) end
  end
end

-- Whether the worker with this token still holds the job.
local function holds(id, token) return call('HGET', job(id), 'token') == token end

local function read(id)
  local rank = call('ZRANK', 'cgn:jobs:queue', id)
  return {call('HGETALL', job(id)), call('LRANGE', job(id) .. ':artefacts', 0, -1), rank}
end
"""
)
