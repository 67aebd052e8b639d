-- Rows that are found by a range of indexes, and one other row, all as of one moment.
-- KEYS: the rows. ARGV: from, to (as of ZRANGEBYLEX), how many at most, the key of the other row.
local rows = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[4] .. '\0', '(' .. ARGV[4] .. '\1', 'LIMIT', 0, 1)
rows[1] = rows[1] or ''
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local key = string.sub(member, string.find(member, '\0', 1, true) + 1)
  rows[#rows + 1] = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)[1]
end
return rows
