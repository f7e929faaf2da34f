-- KEYS: for each bucket the moment when it is full again, in microseconds; none where it is full. ARGV: for each bucket
-- its size, and the microseconds in which one comes back. Takes one from every bucket, or none from any where one is
-- empty. Answers for each {had one, what is left, microseconds until it has one, microseconds until it is full}. The
-- server's clock counts for everybody.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full = redis.call('MGET', unpack(KEYS))
local all = true
for i = 1, #KEYS do
  local size, pace = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  full[i] = math.max(now, tonumber(full[i] or 0))
  -- More than all is missing: that was taken by a lower limit (or by another clock), and is not owed by this one.
  if full[i] > now + size * pace then full[i] = now end
  all = all and full[i] + pace - now <= size * pace
end
local answer = {}
for i = 1, #KEYS do
  local size, pace = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local missing = full[i] + pace - now - size * pace
  if all then
    full[i] = full[i] + pace
    redis.call('SET', KEYS[i], string.format('%.0f', full[i]), 'PX', math.ceil((full[i] - now) / 1000))
  end
  local left = math.max(0, math.floor(size - (full[i] - now) / pace))
  answer[i] = {missing <= 0 and 1 or 0, left, math.max(0, missing), full[i] - now}
end
return answer
