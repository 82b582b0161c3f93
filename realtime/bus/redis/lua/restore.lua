-- Make the meta again of a log that one drives, and that Redis has lost; as far as its events are there, they stay.
-- KEYS: meta, log, leases
-- ARGV: token, meta, fence, branches, member, lease ms, life ms, number before the oldest event that is still known
local about = redis.call('HGET', KEYS[1], 'fence')
if not about then
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  local top = last[1] and string.match(last[1][1], '^%d+') or ARGV[8]
  redis.call('HSET', KEYS[1], 'token', ARGV[1], 'about', ARGV[2], 'fence', ARGV[3], 'branches', ARGV[4], 'top', top)
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6], ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
end
return redis.call('HGET', KEYS[1], 'top')
