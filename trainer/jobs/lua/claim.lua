-- Gives a worker the next job that fits. Among the fitting jobs of the highest priority, the job that uses
-- most of the worker's GPUs comes first, then the oldest: a job that any worker can run does not take GPUs
-- from a job that needs them.
-- ARGV: 1 worker (host:pid), 2 its CPU threads, 3 its free GPUs, 4 lease in ms
-- Returns {job id, token, kind, config, CPU threads, GPUs, attempt, job whose checkpoint to resume from or
--   '', time limit in seconds or '0'}, or nil if no job fits.
local worker, free_threads, free_gpus, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local best, best_gpus, best_priority
for _, id in ipairs(call('ZRANGE', 'cgn:jobs:queue', 0, -1)) do
  local threads, gpus, priority = unpack(call('HMGET', job(id), 'cpu_threads', 'gpus', 'priority'))
  threads, gpus = tonumber(threads), tonumber(gpus)
  if best and priority ~= best_priority then break end
  if threads <= free_threads and gpus <= free_gpus and (not best or gpus > best_gpus) then
    best, best_gpus, best_priority = id, gpus, priority
    if gpus == free_gpus then break end
  end
end
if not best then return nil end

local token = call('INCR', 'cgn:jobs:tokens')
local attempt = call('HINCRBY', job(best), 'attempt', 1)
call('HSET', job(best), 'token', token, 'beat', 0, 'lease_ms', lease_ms,
     'lease_until', text(now_ms + lease_ms), 'appended', 0, 'worker', worker, 'start_time', now,
     'progress_at', now)
local kind, config, threads, gpus, limit, queued_at, parent, from_checkpoint =
  unpack(call('HMGET', job(best), 'kind', 'config', 'cpu_threads', 'gpus', 'time_limit_seconds', 'queued_at',
              'parent', 'from_checkpoint'))
tally('attempts:' .. kind)
observe('wait:' .. kind, now - (queued_at or now), WAIT_SECONDS)
move(best, 'RUNNING', '')
local resume_from = from_checkpoint == '1' and parent or ''
return {best, text(token), kind, config, threads, gpus, attempt, resume_from, limit or '0'}
