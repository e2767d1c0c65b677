-- Takes a token from a bucket. Returns whether it was granted (1 or 0), and the microseconds until the bucket
-- is full.
local key = KEYS[1]
local interval, fill_time = tonumber(ARGV[1]), tonumber(ARGV[2])

local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
-- A key that is missing or holds something else is a full bucket.
local stored = redis.pcall('get', key)
local full_at = type(stored) == 'string' and tonumber(stored) or now
local until_full = math.max(full_at - now, 0)
-- More than an empty bucket needs: the clock was set back, or the bucket was larger.
local wrong = not (until_full <= fill_time)
if wrong then until_full = fill_time end

local granted = until_full + interval <= fill_time
if granted then until_full = until_full + interval end
if granted or wrong then
    -- The key expires when the bucket is full.
    redis.call('set', key, string.format('%.0f', now + until_full), 'px', math.ceil(until_full / 1000))
end
return {granted and 1 or 0, until_full}
