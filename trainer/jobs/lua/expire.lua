-- Deletes some of the records whose time of deletion has passed. A job that a dependent still needs is looked
-- at again an hour later.
-- ARGV: none
-- Returns the number of records deleted.
local MAX_AT_ONCE, AGAIN_SECONDS = 10, 3600

local deleted = 0
for _, id in ipairs(call('ZRANGEBYSCORE', 'cgn:jobs:expiry', '-inf', now, 'LIMIT', 0, MAX_AT_ONCE)) do
  if waiting_dependent(id) then
    call('ZADD', 'cgn:jobs:expiry', now + AGAIN_SECONDS, id)
  else
    remove(id)
    deleted = deleted + 1
  end
end
return deleted
