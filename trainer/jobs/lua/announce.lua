-- Records a worker's heartbeat and what the worker offers.
-- ARGV: 1 worker (host:pid), 2 CPU threads, 3 GPUs
-- Returns nothing.
local worker, threads, gpus = ARGV[1], ARGV[2], ARGV[3]

call('HSET', 'cgn:workers', worker, text(now_ms) .. ' ' .. threads .. ' ' .. gpus)
