-- Applies a batch, all or nothing, if its writer is still the owner and has lost nothing.
-- KEYS: the fence, then three of each slot: rows, log, end of the log.
-- ARGV: the owner's token, the batch's number, whether the fence may be missing ('new'), then the changes:
--       name, the number of the slot's first key, and what belongs to the name.
local token, number = tonumber(ARGV[1]), tonumber(ARGV[2])
local fence = redis.call('HMGET', KEYS[1], 'owner', 'batch')
local owner, last = tonumber(fence[1] or '0'), tonumber(fence[2] or '0')
if owner > token then return 'taken' end
if owner < token and not (owner == 0 and ARGV[3] == 'new') then return 'lost' end
if last == number then return 'done' end
if last ~= number - 1 then return 'lost' end

local count = { put = 2, place = 2, index = 2, delete = 1, range = 2, found = 2, clear = 0, append = 7, trim = 1, empty = 3 }

-- Nothing is written before all is known to be right: what a script has written stays written.
local ends, at = {}, 4
while at <= #ARGV do
  local name = ARGV[at]
  if not count[name] then return redis.error_reply('IGBAD unknown change ' .. name) end
  if name == 'append' then
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

redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'batch', ARGV[2])
at = 4
while at <= #ARGV do
  local name, key = ARGV[at], tonumber(ARGV[at + 1])
  if name == 'append' then
    append(key, unpack(ARGV, at + 2, at + 8))
  elseif name == 'trim' then
    redis.call('XTRIM', KEYS[key + 1], 'MINID', ARGV[at + 2])
  else
    apply[name](KEYS[key], unpack(ARGV, at + 2, at + 1 + count[name]))
  end
  at = at + 2 + count[name]
end
return 'applied'
