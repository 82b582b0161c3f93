-- Claim what a start asks for beside its log: a key to repeat it under, and its conversation.
-- KEYS: idempotency, active, all, own, conversation
-- ARGV: generation, fingerprint, life of a claim ms, created ms, exclusive ('1'), whose end is known (''), oldest ms
-- Where there is no idempotency key, or no conversation, `all` stands in its place.
-- Answers: word, generation, when that was created ms ('' when it is in no list)
local function taken(word, generation)
  return {word, generation, redis.call('ZSCORE', KEYS[3], generation) or ''}
end
local function trimmed(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. ARGV[7])
  redis.call('PEXPIRE', key, ARGV[3])
end
if KEYS[1] ~= KEYS[3] then
  local made = redis.call('HMGET', KEYS[1], 'generation', 'fingerprint')
  if made[1] and made[1] ~= ARGV[1] and made[1] ~= ARGV[6] then
    return taken(made[2] == ARGV[2] and 'SAME' or 'MISMATCH', made[1])
  end
end
if KEYS[2] ~= KEYS[3] then
  local active = redis.call('GET', KEYS[2])
  if ARGV[5] == '1' and active and active ~= ARGV[1] and active ~= ARGV[6] then
    return taken('BUSY', active)
  end
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
  redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1])
  trimmed(KEYS[5])
end
if KEYS[1] ~= KEYS[3] then
  redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'fingerprint', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
trimmed(KEYS[3])
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
trimmed(KEYS[4])
return {'NEW', ARGV[1], ''}
