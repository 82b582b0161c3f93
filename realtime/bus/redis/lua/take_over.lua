-- Become the writer of a log whose own has not renewed its lease.
-- KEYS: meta, leases   ARGV: member, random below 1000, lease ms, life ms
-- Answers: fence, meta, branches, top, who asked for a stop; nothing when there is nothing to take over
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not until_ms or tonumber(until_ms) > now then
  return false
end
local about = redis.call('HMGET', KEYS[1], 'fence', 'about', 'branches', 'top', 'stop', 'ended')
if not about[1] or about[6] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return false
end
local fence = string.format('%.0f', math.max(tonumber(about[1]) + 1, now * 1000 + ARGV[2]))
local branches = about[3] .. ',' .. about[4] .. ':' .. fence
redis.call('HSET', KEYS[1], 'fence', fence, 'branches', branches)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {fence, about[2], branches, about[4], about[5] or ''}
