-- Ends a worker's attempt at a job.
-- ARGV: 1 job id, 2 token, 3 outcomes as JSON (see `leave`), 4 '1' if the attempt counts as a loss,
--   5 model name, 6 model version, 7 seconds that the run has taken since the last report
-- Returns the state that the job enters, or nil if the worker has lost the job.
local id, token, outcomes, lost = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local model_name, model_version, seconds = ARGV[5], ARGV[6], ARGV[7]

if not holds(id, token) then return nil end
call('HINCRBYFLOAT', job(id), 'ran_seconds', seconds)
call('HSET', job(id), 'model_name', model_name, 'model_version', model_version)
return leave(id, outcomes, lost)
