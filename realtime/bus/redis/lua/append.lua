-- Append a batch where the log is, and nowhere else; or, without one, renew what keeps it.
-- KEYS: log, meta, leases
-- ARGV: fence, first, last, batch, generation, member, lease ms ('' not to renew), life ms, final ('1'), publish command,
--       channel, most bytes to publish, oldest number to keep ('' for all)
-- The channel is no key: while a slot moves, a cluster refuses what names one that is there and one that is not.
-- Answers: word, top, who asked for a stop; the top alone where all is well and nobody has
local about = redis.call('HMGET', KEYS[2], 'fence', 'top', 'ended', 'stop', 'erased', 'branches')
if not about[1] then
  return {about[5] and 'CLOSED' or 'LOST', 0, ''}
end
local fence, top, ended, stop = tonumber(about[1]), tonumber(about[2]), about[3], about[4] or ''
-- With a smaller fence a take-over was forgotten. That can be made good, unless its predecessor has gone on meanwhile.
local forgotten = fence < tonumber(ARGV[1])
if fence > tonumber(ARGV[1]) or (forgotten and top >= tonumber(ARGV[2])) then
  return {'FENCED', top, stop}
end
local function renew()
  if ARGV[7] ~= '' then
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[7], ARGV[6])
  end
end
if ARGV[4] ~= '' then
  local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
  if ended then
    -- Ours is there already when an answer was lost.
    return {(ended == ARGV[1] and last == top) and 'OK' or 'CLOSED', top, stop}
  end
  if first <= top then
    -- Ours, when an answer was lost. What another has written there is not ours to write over, nor to take for ours.
    local there = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if not there or string.match(there[2][2], '^%d+') ~= ARGV[1] then
      return {'FENCED', top, stop}
    end
    if last ~= top then
      -- It lives, wherever it takes this to be.
      renew()
      return {'GAP', top, stop}
    end
  elseif first > top + 1 then
    renew()
    return {'GAP', top, stop}
  else
    local entry = ARGV[1] .. ' ' .. ARGV[4]
    redis.call('XADD', KEYS[1], ARGV[3] .. '-0', 'b', entry)
    redis.call('HSET', KEYS[2], 'top', ARGV[3], 'fence', ARGV[1])
    if forgotten then
      redis.call('HSET', KEYS[2], 'branches', about[6] .. ',' .. top .. ':' .. ARGV[1])
    end
    if #entry > tonumber(ARGV[12]) then
      entry = ARGV[3]
    end
    redis.call(ARGV[10], ARGV[11], ARGV[5] .. entry)
    top = last
    if ARGV[13] ~= '' then
      redis.call('XTRIM', KEYS[1], 'MINID', ARGV[13] .. '-0')
    end
  end
elseif ended then
  return {ended == ARGV[1] and 'OK' or 'CLOSED', top, stop}
end
if ARGV[9] == '1' then
  redis.call('HSET', KEYS[2], 'ended', ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[6])
else
  renew()
end
if ARGV[9] == '1' or ARGV[7] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
end
if stop == '' then
  return top
end
return {'OK', top, stop}
