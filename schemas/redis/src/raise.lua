-- Makes a fence at least as high as the token, so that no earlier owner writes behind it any more.
-- KEYS: the fence. ARGV: the token.
local owner = tonumber(redis.call('HGET', KEYS[1], 'owner') or '0')
if owner > tonumber(ARGV[1]) then return 'taken' end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'batch', '0')
return 'applied'
