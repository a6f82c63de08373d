-- Summarizes all jobs for metrics.
-- ARGV: none
-- Returns {flat counts, flat totals, age in seconds of the oldest PENDING job or '0', number of expired
--   leases, list of held jobs: {job id, kind, progress as JSON or 'null', seconds since the last new step,
--   config}}.
local oldest_seconds = '0'
local oldest = call('ZRANGE', 'cgn:jobs:PENDING', 0, 0)[1]
if oldest then oldest_seconds = string.format('%.3f', now - call('HGET', job(oldest), 'create_time')) end
local expired, held = 0, {}
for state in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, -1)) do
    local kind, progress, lease_until, progress_at, start_time, config =
      unpack(call('HMGET', job(id), 'kind', 'progress', 'lease_until', 'progress_at', 'start_time', 'config'))
    if tonumber(lease_until) < now_ms then expired = expired + 1 end
    local idle_seconds = string.format('%.3f', now - (progress_at or start_time))
    held[#held + 1] = {id, kind, progress or 'null', idle_seconds, config}
  end
end
return {call('HGETALL', 'cgn:jobs:counts'), call('HGETALL', 'cgn:jobs:totals'), oldest_seconds, expired, held}
