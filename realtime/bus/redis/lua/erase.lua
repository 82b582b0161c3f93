-- Forget a log that has ended.
-- KEYS: meta, log, seen
-- Answers: the key of its idempotency, or that there is none; nothing where there is nothing to forget
if redis.call('EXISTS', KEYS[1]) == 0 or not redis.call('HGET', KEYS[1], 'ended') then
  return false
end
local claim = redis.call('HGET', KEYS[1], 'claim') or ''
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return claim
