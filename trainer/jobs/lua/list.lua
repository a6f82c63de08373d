-- Lists jobs that match a filter, newest first. One call looks at a limited number of jobs, so that a filter
-- that few jobs match does not block Redis.
-- ARGV: 1 sequence below which to begin or '+inf', 2 most jobs to return,
--   3 filter as JSON: states; kinds, labels, parent and owner, each of which may be empty
-- Returns {sequence below which to go on or '', list of what read.lua returns}.
local before, limit, filter = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
local MAX_LOOKED_AT = 1000

local kinds = {}
for _, kind in ipairs(filter.kinds) do kinds[kind] = true end

local function matches(id)
  local kind, parent, owner, labels = unpack(call('HMGET', job(id), 'kind', 'parent', 'owner', 'labels'))
  if #filter.kinds > 0 and not kinds[kind] then return false end
  if filter.parent ~= '' and parent ~= filter.parent then return false end
  if filter.owner ~= '' and owner ~= filter.owner then return false end
  if next(filter.labels) then
    local has = cjson.decode(labels or '{}')
    for key, value in pairs(filter.labels) do
      if has[key] ~= value then return false end
    end
  end
  return true
end

local candidates = {}
for _, state in ipairs(filter.states) do
  local page = call('ZREVRANGEBYSCORE', 'cgn:jobs:' .. state, '(' .. before, '-inf', 'WITHSCORES',
                    'LIMIT', 0, MAX_LOOKED_AT)
  for i = 1, #page, 2 do candidates[#candidates + 1] = {id = page[i], sequence = tonumber(page[i + 1])} end
end
table.sort(candidates, function(a, b) return a.sequence > b.sequence end)

local jobs, looked_at = {}, 0
while looked_at < math.min(MAX_LOOKED_AT, #candidates) and #jobs < limit do
  looked_at = looked_at + 1
  local id = candidates[looked_at].id
  if matches(id) then jobs[#jobs + 1] = read(id) end
end
local more = looked_at < #candidates or looked_at == MAX_LOOKED_AT
return {more and text(candidates[looked_at].sequence) or '', jobs}
