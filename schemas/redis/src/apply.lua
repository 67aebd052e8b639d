-- Applies a batch. Of one owner: all or nothing, if its writer is still the owner and has lost nothing. Of one of several writers:
-- what is claimed slot by slot, where nobody else has changed the slot since.
-- KEYS: the fence, or what this writer has done last; then three of each slot: rows, log, end of the log.
-- ARGV: the owner's token (none: one of several), the batch's number, whether the fence may be missing ('new'),
--       the version that slots have then, the channel on which that is told, who writes, how many slots are claimed;
--       of each of these the number of its first key, the version that it must have now, its name;
--       then the changes: name, the number of the slot's first key, and what belongs to the name.
local token, number = tonumber(ARGV[1]), tonumber(ARGV[2])
if token then
  local fence = redis.call('HMGET', KEYS[1], 'owner', 'batch')
  local owner, last = tonumber(fence[1] or '0'), tonumber(fence[2] or '0')
  if owner > token then return 'taken' end
  if owner < token and not (owner == 0 and ARGV[3] == 'new') then return 'lost' end
  if last == number then return 'done' end
  if last ~= number - 1 then return 'lost' end
else
  local last, outcome = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (.*)$')
  if last == ARGV[2] then return outcome end
end

-- How long a slot waits for a writer that was refused: it must not come too late again and again, for being further away.
local TURN_MS = 100
local now
local function time()
  if not now then
    local t = redis.call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return now
end

-- Claims: what is refused is left out; 'at' is where the changes begin.
local refused, told, outcome, begin = {}, {}, 'applied', 8
local turns, over = {}, {}
for _ = 1, tonumber(ARGV[7]) do
  local key, base, name = tonumber(ARGV[begin]), ARGV[begin + 1], ARGV[begin + 2]
  local have = redis.call('HMGET', KEYS[key + 2], 'version', 'turn')
  local good, waited = base == '*' or (have[1] or '') == base, false
  if have[2] then
    local who, till = string.match(have[2], '^(%S+) (%d+)$')
    waited = who ~= ARGV[6] and tonumber(till) > time()
  end
  if good and not waited then
    told[#told + 1] = { key, name }
    if have[2] then over[#over + 1] = key end
  else
    refused[ARGV[begin]] = true
    outcome = outcome .. ' ' .. name
    if not waited then turns[#turns + 1] = key end
  end
  begin = begin + 3
end

local count = { put = 2, place = 2, index = 2, delete = 1, range = 2, found = 2, clear = 0, append = 7, trim = 1, empty = 3 }

-- Nothing is written before all is known to be right: what a script has written stays written.
local ends, at = {}, begin
while at <= #ARGV do
  local name = ARGV[at]
  if not count[name] then return redis.error_reply('IGBAD unknown change ' .. name) end
  if name == 'append' and not refused[ARGV[at + 1]] then
    local key = KEYS[tonumber(ARGV[at + 1]) + 2]
    local have = ends[key] or tonumber(redis.call('HGET', key, 'last') or '0')
    if tonumber(ARGV[at + 2]) ~= have + 1 then
      return redis.error_reply('IGGAP entry ' .. ARGV[at + 2] .. ' does not follow ' .. string.format('%.0f', have))
    end
    ends[key] = tonumber(ARGV[at + 3])
  end
  at = at + 2 + count[name]
end

-- The row with this key, behind its zero; nil: there is none.
local function get(rows, key)
  local member = redis.call('ZRANGEBYLEX', rows, '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)[1]
  return member and string.sub(member, #key + 2)
end

-- Calls each with every index that stands before a row's value, and returns where the value begins.
local function indexes(tail, each)
  local from = 2
  for _ = 1, string.byte(tail, 1) do
    local high, low = string.byte(tail, from, from + 1)
    local length = high * 256 + low
    if each then each(string.sub(tail, from + 2, from + 1 + length)) end
    from = from + 2 + length
  end
  return from
end

local function delete_indexed(rows, key)
  local tail = get(rows, key)
  if not tail then return end
  redis.call('ZREM', rows, key .. '\0' .. tail)
  indexes(tail, function(index) redis.call('ZREM', rows, index .. '\0' .. key) end)
end

local function put_indexed(rows, key, tail)
  delete_indexed(rows, key)
  redis.call('ZADD', rows, 0, key .. '\0' .. tail)
  indexes(tail, function(index) redis.call('ZADD', rows, 0, index .. '\0' .. key) end)
end

local function put(rows, key, value)
  redis.call('ZREMRANGEBYLEX', rows, '[' .. key .. '\0', '(' .. key .. '\1')
  redis.call('ZADD', rows, 0, key .. '\0' .. value)
end

local apply = { put = put, index = put_indexed }

function apply.place(rows, key, value)
  local have = get(rows, key)
  put(rows, key, have and string.sub(have, 1, 16) .. string.sub(value, 17) or value)
end

function apply.delete(rows, key)
  redis.call('ZREMRANGEBYLEX', rows, '[' .. key .. '\0', '(' .. key .. '\1')
end

function apply.range(rows, from, to)
  redis.call('ZREMRANGEBYLEX', rows, '[' .. from, '(' .. to)
end

function apply.found(rows, from, to)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', rows, '[' .. from, '(' .. to)) do
    delete_indexed(rows, string.sub(member, string.find(member, '\0', 1, true) + 1))
  end
end

function apply.clear(rows)
  redis.call('DEL', rows)
end

function apply.empty(rows, from, to, index)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', rows, '[' .. from, '(' .. to)) do
    local zero = string.find(member, '\0', 1, true)
    local key, tail = string.sub(member, 1, zero - 1), string.sub(member, zero + 1)
    if indexes(tail) <= #tail then
      local found = index .. string.sub(key, 2)
      put_indexed(rows, key, '\1' .. struct.pack('>I2', #found) .. found)
    end
  end
end

local function append(at, first, last, size, state, milestone, value, entries)
  local before = tonumber(redis.call('HGET', KEYS[at + 2], 'size') or '0')
  local size = string.format('%.0f', before + tonumber(size))
  redis.call('XADD', KEYS[at + 1], last .. '-0', 'first', first, 'before', string.format('%.0f', before), 'entries', entries)
  redis.call('HSET', KEYS[at + 2], 'last', last, 'state', state, 'size', size)
  if milestone ~= '' then put(KEYS[at], milestone, value .. size) end
end

if token then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'batch', ARGV[2])
else
  -- Remembered for as long as an answer may be asked for again.
  redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. outcome, 'EX', 86400)
end
for _, key in ipairs(over) do redis.call('HDEL', KEYS[key + 2], 'turn') end
for _, key in ipairs(turns) do
  redis.call('HSET', KEYS[key + 2], 'turn', ARGV[6] .. ' ' .. string.format('%.0f', time() + TURN_MS))
end
local word = ''
for _, unit in ipairs(told) do
  redis.call('HSET', KEYS[unit[1] + 2], 'version', ARGV[4])
  word = word .. ' ' .. unit[2]
end
at = begin
while at <= #ARGV do
  local name, key = ARGV[at], tonumber(ARGV[at + 1])
  if refused[ARGV[at + 1]] then
    -- Somebody else was quicker.
  elseif name == 'append' then
    append(key, unpack(ARGV, at + 2, at + 8))
  elseif name == 'trim' then
    redis.call('XTRIM', KEYS[key + 1], 'MINID', ARGV[at + 2])
  else
    apply[name](KEYS[key], unpack(ARGV, at + 2, at + 1 + count[name]))
  end
  at = at + 2 + count[name]
end
if word ~= '' then redis.call('PUBLISH', ARGV[5], 'changed ' .. ARGV[4] .. word) end
return outcome
