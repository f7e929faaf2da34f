-- KEYS: a list of the times of the hits let through, oldest first. ARGV: limit, window in microseconds, 1 to count.
-- Answers {allowed, remaining, microseconds until the next is allowed}. The server's clock counts for everybody.
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) <= now - window do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
local count = redis.call('LLEN', KEYS[1])
if count < limit then
  if ARGV[3] ~= '1' then return {1, limit - count, 0} end
  redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
  return {1, limit - count - 1, 0}
end
if limit == 0 then return {0, 0, window} end
-- More than the limit are there if it was lowered since: wait for all that are too many.
local blocking = redis.call('LINDEX', KEYS[1], count - limit)
return {0, 0, tonumber(blocking) + window - now}
