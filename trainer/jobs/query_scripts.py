"""The Lua scripts that only look: a job, lists of them, all of them in numbers. See trainer.jobs.lua."""

from trainer.jobs.lua import COMMON

_LOOKED_AT = 1000  # jobs, by one call of LIST

# id -> {flat record, artefacts, rank or nil}, or nil
READ = (
    COMMON
    + """
if call('EXISTS', job(ARGV[1])) == 0 then return nil end
return read(ARGV[1])
"""
)

# sequence below which to begin or '+inf', most jobs, what is wanted as JSON -> {sequence to go on below or
# '', list of what READ returns, newest first}. Wanted: states; if not empty kinds, labels, parent, owner.
# Looks at so many jobs at most, so that a filter which few pass does not hold Redis up.
LIST = (
    COMMON
    + f"local LOOKED_AT = {_LOOKED_AT}\n"
    + """
local limit, wanted = tonumber(ARGV[2]), cjson.decode(ARGV[3])
local kinds = {}
for _, kind in ipairs(wanted.kinds) do kinds[kind] = true end

local function matches(id)
  local kind, parent, owner, labels = unpack(call('HMGET', job(id), 'kind', 'parent', 'owner', 'labels'))
  if #wanted.kinds > 0 and not kinds[kind] then return false end
  if wanted.parent ~= '' and parent ~= wanted.parent then return false end
  if wanted.owner ~= '' and owner ~= wanted.owner then return false end
  if next(wanted.labels) then
    local has = cjson.decode(labels or '{}')
    for key, value in pairs(wanted.labels) do
      if has[key] ~= value then return false end
    end
  end
  return true
end

local found = {}
for _, state in ipairs(wanted.states) do
  local page = call('ZREVRANGEBYSCORE', 'cgn:jobs:' .. state, '(' .. ARGV[1], '-inf', 'WITHSCORES',
                    'LIMIT', 0, LOOKED_AT)
  for i = 1, #page, 2 do found[#found + 1] = {page[i], tonumber(page[i + 1])} end
end
table.sort(found, function(a, b) return a[2] > b[2] end)
local jobs, looked = {}, 0
while looked < math.min(LOOKED_AT, #found) and #jobs < limit do
  looked = looked + 1
  if matches(found[looked][1]) then jobs[#jobs + 1] = read(found[looked][1]) end
end
local more = looked < #found or looked == LOOKED_AT
return {more and text(found[looked][2]) or '', jobs}
"""
)

# id -> {events so far, events kept, id of the first one kept or ''}
LOG = (
    COMMON
    + """
local key = job(ARGV[1]) .. ':events'
local first = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
return {call('HGET', job(ARGV[1]), 'events') or 0, call('XLEN', key), first and first[1] or ''}
"""
)

# -> {counts, totals, seconds since the oldest PENDING job was submitted, leases expired, {held, ...}}; held:
# {id, kind, progress or 'null', seconds since its step last changed, config}
OVERVIEW = (
    COMMON
    + """
local waited = '0'
local oldest = call('ZRANGE', 'cgn:jobs:PENDING', 0, 0)[1]
if oldest then waited = string.format('%.3f', now - call('HGET', job(oldest), 'create_time')) end
local expired, held = 0, {}
for state in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, -1)) do
    local record = call('HMGET', job(id), 'kind', 'progress', 'lease_until', 'progress_at', 'start_time',
                        'config')
    if tonumber(record[3]) < now_ms then expired = expired + 1 end
    local idle = string.format('%.3f', now - (record[4] or record[5]))
    held[#held + 1] = {id, record[1], record[2] or 'null', idle, record[6]}
  end
end
return {call('HGETALL', 'cgn:jobs:counts'), call('HGETALL', 'cgn:jobs:totals'), waited, expired, held}
"""
)

# -> list of {worker, threads, gpus} of the live ones
WORKERS = (
    COMMON
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
