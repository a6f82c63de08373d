-- Cancels a PENDING job, asks a RUNNING one to stop, and leaves any other job as it is.
-- ARGV: 1 job id, 2 message of a job that is cancelled while PENDING
-- Returns 1, or 0 for an unknown job.
local id, message = ARGV[1], ARGV[2]

local state = call('HGET', job(id), 'state')
if not state then return 0 end
if state == 'PENDING' then move(id, 'CANCELLED', message) end
if state == 'RUNNING' then move(id, 'CANCELLING', '') end
return 1
