-- Reads a job.
-- ARGV: 1 job id
-- Returns {flat record, artefacts as JSON, place in the queue from 0 or nil}, or nil for an unknown job.
local id = ARGV[1]

if call('EXISTS', job(id)) == 0 then return nil end
return read(id)
