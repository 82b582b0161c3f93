-- Forget a log that has ended; for a while it is known that this was wanted, or its writer would take it for lost.
-- KEYS: meta, log, seen   ARGV: how long that is known, ms
-- Answers: the key of its idempotency, or that there is none; nothing where there is nothing to forget
if redis.call('EXISTS', KEYS[1]) == 0 or not redis.call('HGET', KEYS[1], 'ended') then
  return false
end
local claim = redis.call('HGET', KEYS[1], 'claim') or ''
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'erased', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return claim
