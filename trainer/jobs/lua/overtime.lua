-- Asks the RUNNING jobs to stop whose time limit has passed.
-- ARGV: 1 message of the state change, 2 message for the record's field `overtime`. In both, '{limit}' stands
--   for the limit in seconds. The field marks a job that stops because of its limit; workers of the release
--   before put its text into the job's last message
-- Returns the list of their ids.
local message, overtime = ARGV[1], ARGV[2]

local stopped = {}
for _, id in ipairs(call('ZRANGE', 'cgn:jobs:RUNNING', 0, -1)) do
  local limit, ran = unpack(call('HMGET', job(id), 'time_limit_seconds', 'ran_seconds'))
  limit = tonumber(limit or 0)
  if limit > 0 and tonumber(ran or 0) >= limit then
    call('HSET', job(id), 'overtime', (string.gsub(overtime, '{limit}', text(limit))))
    move(id, 'CANCELLING', (string.gsub(message, '{limit}', text(limit))))
    stopped[#stopped + 1] = id
  end
end
return stopped
