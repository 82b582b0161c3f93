-- Make a log with its first event. A repeat of the same call, told by its token, answers as the first did.
-- KEYS: meta, log, leases
-- ARGV: token, meta, random below 1000, first batch, member, lease ms, life ms, key of its idempotency ('' for none)
local made = redis.call('HMGET', KEYS[1], 'token', 'fence')
if made[1] then
  return made[1] == ARGV[1] and made[2] or false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = string.format('%.0f', now * 1000 + ARGV[3])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'about', ARGV[2], 'fence', fence, 'branches', '0:' .. fence, 'top', 1,
  'claim', ARGV[8])
redis.call('XADD', KEYS[2], '1-0', 'b', fence .. ' ' .. ARGV[4])
redis.call('ZADD', KEYS[3], now + ARGV[6], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
return fence
