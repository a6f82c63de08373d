-- Writes progress to the job's record, and not to its log.
-- ARGV: 1 job id, 2 token, 3 progress as JSON
-- Returns 1, or 0 if the worker has lost the job.
local id, token, progress = ARGV[1], ARGV[2], ARGV[3]

if not holds(id, token) then return 0 end
record_progress(id, progress)
return 1
