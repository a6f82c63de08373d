-- Takes a job back from a worker whose lease has expired.
-- ARGV: 1 job id, 2 token, 3 beat of the expired lease, 4 outcomes as JSON (see `leave`)
-- Returns the state that the job enters, or nil if the lease has been renewed since.
local id, token, beat, outcomes = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local kind, token_now, beat_now = unpack(call('HMGET', job(id), 'kind', 'token', 'beat'))
if token_now ~= token or beat_now ~= beat then return nil end
tally('lost:' .. kind)
return leave(id, outcomes, true)
