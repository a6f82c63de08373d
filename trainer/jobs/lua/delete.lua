-- Deletes the record of a job that has ended, unless a dependent still needs its checkpoint.
-- ARGV: 1 job id
-- Returns {word, text}: deleted; unknown; not_ended with the job's state; needed with the dependent's id.
local id = ARGV[1]

local state = call('HGET', job(id), 'state')
if not state then return {'unknown', ''} end
if not ENDED[state] then return {'not_ended', state} end
local dependent = waiting_dependent(id)
if dependent then return {'needed', dependent} end
remove(id)
return {'deleted', ''}
