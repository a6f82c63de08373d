-- Appends a batch of events to the job's log, and writes progress and artefacts to its record. A worker sends
-- a batch again if the reply was lost; it is written once. A checkpoint that is further on than all before
-- sets the losses to 0, because the job makes progress.
-- ARGV: 1 job id, 2 token, 3 number of the batch, 4 on: kind, data, kind, data, ...
-- Returns 1, or 0 if the worker has lost the job.
local id, token, batch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local FIRST_EVENT = 4

local function record_artefact(data)
  local artefact = cjson.decode(data)
  if artefact.kind == 'checkpoint' and artefact.path > (call('HGET', job(id), 'furthest') or '') then
    call('HSET', job(id), 'furthest', artefact.path, 'losses', 0)
  end
  call('RPUSH', job(id) .. ':artefacts', data)
  call('LTRIM', job(id) .. ':artefacts', -MAX_ARTEFACTS, -1)
end

if not holds(id, token) then return 0 end
if batch <= tonumber(call('HGET', job(id), 'appended')) then return 1 end
call('HSET', job(id), 'appended', batch)
for i = FIRST_EVENT, #ARGV, 2 do
  local kind, data = ARGV[i], ARGV[i + 1]
  if kind == 'progress' then record_progress(id, data) end
  if kind == 'artefact' then record_artefact(data) end
  log(id, kind, data)
end
return 1
