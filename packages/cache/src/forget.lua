-- KEYS: the namespace's version. ARGV: prefix, key. Takes the value, and the lease of whoever is loading it now.
local version = redis.call('GET', KEYS[1])
if not version then return 0 end
local slot = version .. ':' .. ARGV[2]
return redis.call('DEL', ARGV[1] .. 'value:' .. slot, ARGV[1] .. 'lease:' .. slot)
