-- Say that this process has observers of a log, or no more.
-- KEYS: seen   ARGV: process, ms it holds ('' for no more), message ('' to tell nobody), publish command, channel
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
if ARGV[3] ~= '' then
  redis.call(ARGV[4], ARGV[5], ARGV[3])
end
return 1
