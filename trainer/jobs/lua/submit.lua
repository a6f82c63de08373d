-- Queues a new job, unless the request has queued one already.
-- ARGV: 1 job id, 2 request id or '', 3 digest of the request, 4 most PENDING jobs of an owner or 0, 5 owner,
--   6 parent or '', 7 '1' to resume from the parent's checkpoint, 8 on: field, value, field, value, ...
-- Returns {word, text}:
--   new             the id of the new job
--   known           the id of the job that the same request queued before
--   reused          the id of the job that another request queued with this request id
--   deleted         the id of the job that this request id queued; the job was deleted
--   taken           the id of the job, which another job has, or whose files are still to be deleted
--   full            the owner's number of PENDING jobs
--   parent_deleted  the id of the parent, which does not exist
local id, request, digest, max_queued = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local owner, parent, from_checkpoint = ARGV[5], ARGV[6], ARGV[7]
local FIRST_FIELD = 8

if request ~= '' then
  local entry = call('GET', 'cgn:request:' .. request)
  if entry then
    local first, first_digest = string.match(entry, '^(%S+) (%S+)$')
    if call('EXISTS', job(first)) == 0 then return {'deleted', first} end
    return {first_digest == digest and 'known' or 'reused', first}
  end
end
if call('EXISTS', job(id)) == 1 or call('SISMEMBER', 'cgn:jobs:rubbish', id) == 1 then
  return {'taken', id}
end
local queued = tonumber(call('HGET', 'cgn:jobs:queued', owner) or 0)
if max_queued > 0 and queued >= max_queued then return {'full', text(queued)} end
if parent ~= '' then
  if call('EXISTS', job(parent)) == 0 then return {'parent_deleted', parent} end
  if from_checkpoint == '1' then call('SADD', job(parent) .. ':heirs', id) end
end
local sequence = call('INCR', 'cgn:jobs:sequence')
call('HSET', job(id), 'id', id, 'sequence', sequence, 'create_time', now, 'attempt', 0, 'losses', 0,
     'owner', owner, 'parent', parent, 'from_checkpoint', from_checkpoint, unpack(ARGV, FIRST_FIELD))
enter(id, 'PENDING', '')
if request ~= '' then call('SET', 'cgn:request:' .. request, id .. ' ' .. digest, 'EX', REQUEST_SECONDS) end
return {'new', id}
