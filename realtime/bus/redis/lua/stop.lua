-- Ask for the end of a generation; the first to ask is named. Whoever asks because nobody watches here is refused
-- while somebody watches elsewhere.
-- KEYS: meta, and where a process asks seen
-- ARGV: by, generation, publish command, channel, the asking process ('' for anyone's wish)
local about = redis.call('HMGET', KEYS[1], 'fence', 'ended', 'stop')
if not about[1] then
  return false
end
if about[2] then
  return {'ENDED', about[3] or ''}
end
if about[3] then
  return {'OK', about[3]}
end
if ARGV[5] ~= '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  for _, worker in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if worker ~= ARGV[5] then
      return {'OBSERVED', ''}
    end
  end
end
redis.call('HSET', KEYS[1], 'stop', ARGV[1])
redis.call(ARGV[3], ARGV[4], ARGV[2] .. 'stop ' .. ARGV[1])
return {'OK', ARGV[1]}
