-- Something is held by one of several writers from now on: counts how often that was said, and tells all.
-- KEYS: the counts, a hash of marks. ARGV: what, the channel, then pairs of fields and values to be put into the marks.
-- Returns the count, and the value that each field had before.
local out = { tostring(redis.call('HINCRBY', KEYS[1], ARGV[1], 1)) }
for at = 3, #ARGV, 2 do
  out[#out + 1] = redis.call('HGET', KEYS[2], ARGV[at])
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
end
redis.call('PUBLISH', ARGV[2], 'taken ' .. out[1] .. ' ' .. ARGV[1])
return out
