-- Lists the leases of all jobs that workers hold.
-- ARGV: none
-- Returns a list of {job id, token, beat, lease in ms, worker, time limit in seconds or '0'}.
local leases = {}
for state in pairs(HELD) do
  for _, id in ipairs(call('ZRANGE', 'cgn:jobs:' .. state, 0, -1)) do
    local token, beat, lease_ms, worker, limit =
      unpack(call('HMGET', job(id), 'token', 'beat', 'lease_ms', 'worker', 'time_limit_seconds'))
    leases[#leases + 1] = {id, token, beat, lease_ms, worker, limit or '0'}
  end
end
return leases
