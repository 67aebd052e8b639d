-- A slot as of one moment: version and end of the log, some ranges of rows, and a part of the log.
-- KEYS: rows, log, end of the log. ARGV: where in the log to begin, how many entries of it at most, then from and to (as of
-- ZRANGEBYLEX) of each range.
local rows = {}
for at = 3, #ARGV, 2 do
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[at], ARGV[at + 1])) do rows[#rows + 1] = member end
end
return {
  redis.call('HMGET', KEYS[3], 'version', 'last', 'state', 'size'),
  rows,
  redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])
}
