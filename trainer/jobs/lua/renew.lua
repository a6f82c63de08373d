-- Renews a worker's lease.
-- ARGV: 1 job id, 2 token, 3 seconds that the run has taken since the last report
-- Returns the job's state, or nil if the worker has lost the job.
local id, token, seconds = ARGV[1], ARGV[2], ARGV[3]

if not holds(id, token) then return nil end
call('HINCRBY', job(id), 'beat', 1)
call('HINCRBYFLOAT', job(id), 'ran_seconds', seconds)
local lease_ms, state = unpack(call('HMGET', job(id), 'lease_ms', 'state'))
call('HSET', job(id), 'lease_until', text(now_ms + lease_ms))
return state
