-- KEYS: the namespace's version. ARGV: prefix, key, version, token of the lease, value, life in ms.
-- Stores only while the lease is ours: an invalidation since, or a later load, has taken it away.
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
local slot = ARGV[3] .. ':' .. ARGV[2]
if redis.call('GET', ARGV[1] .. 'lease:' .. slot) ~= ARGV[4] then return 0 end
redis.call('SET', ARGV[1] .. 'value:' .. slot, ARGV[5], 'PX', ARGV[6])
redis.call('DEL', ARGV[1] .. 'lease:' .. slot)
return 1
