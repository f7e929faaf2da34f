-- KEYS: the namespace's version. ARGV: prefix, key, token of the lease, life of the lease in ms, 1 to read past.
-- Answers {version, value}, or {version, nothing} and a lease: who holds it may store what they load.
local version = redis.call('GET', KEYS[1])
if not version then
  -- Any value will do that no earlier version had: what is left of those must not come back.
  version = ARGV[3]
  redis.call('SET', KEYS[1], version)
end
local slot = version .. ':' .. ARGV[2]
if ARGV[5] ~= '1' then
  local value = redis.call('GET', ARGV[1] .. 'value:' .. slot)
  if value then return {version, value} end
end
redis.call('SET', ARGV[1] .. 'lease:' .. slot, ARGV[3], 'PX', ARGV[4])
return {version, false}
