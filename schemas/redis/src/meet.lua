-- A writer tells of itself, and hears of the others.
-- KEYS: the writers. ARGV: its name, what it tells, the channel, after how many seconds one is forgotten.
-- Returns of each how many seconds ago it has told, and what.
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local out, all = {}, redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local told, what = string.match(all[at + 1], '^(%d+) (.*)$')
  local age = now - tonumber(told or '0')
  if age > tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[1], all[at])
  else
    out[#out + 1] = tostring(age)
    out[#out + 1] = what
  end
end
-- Whoever listens hears at least this.
redis.call('PUBLISH', ARGV[3], 'met ' .. ARGV[1])
return out
