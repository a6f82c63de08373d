-- Lists the live workers, and forgets those without a recent heartbeat.
-- ARGV: none
-- Returns a list of {worker (host:pid), CPU threads, GPUs}.
local live = {}
local all = call('HGETALL', 'cgn:workers')
for i = 1, #all, 2 do
  local worker = all[i]
  local beat_ms, threads, gpus = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
  if tonumber(beat_ms) < now_ms - WORKER_SECONDS * 1000 then
    call('HDEL', 'cgn:workers', worker)
  else
    live[#live + 1] = {worker, threads, gpus}
  end
end
return live
