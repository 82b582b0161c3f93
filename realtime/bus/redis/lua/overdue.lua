-- What was to be renewed by now, by the clock that it is kept by.
-- KEYS: leases   ARGV: how many at most
-- Answers: members, each with when that was
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
