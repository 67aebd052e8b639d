-- Makes the caller the owner: no earlier one writes any more.
-- KEYS: the fence.
local token = redis.call('HINCRBY', KEYS[1], 'owner', 1)
redis.call('HSET', KEYS[1], 'batch', '0')
return token
