-- Says how much of a job's event log is kept.
-- ARGV: 1 job id
-- Returns {events written, events kept, id of the first event kept or ''}.
local id = ARGV[1]

local events = job(id) .. ':events'
local first = call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
return {call('HGET', job(id), 'events') or 0, call('XLEN', events), first and first[1] or ''}
