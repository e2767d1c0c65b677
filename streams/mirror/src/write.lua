-- Writes a status unless a newer one is stored, and publishes it.
-- Returns 0: nothing to write; 1: written; 2: written, and a key of another type was replaced.
-- `write.rs` passes the keys and arguments in this order.
local hash, celery, stream, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version, ttl, change = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local job, submitted_at = ARGV[4], ARGV[5]
local status, celery_meta = ARGV[6], ARGV[7]
local progress_channel, stream_length = ARGV[8], ARGV[9]
local first_field = 10

local foreign = {}
for key, expected in pairs({[hash] = 'hash', [celery] = 'string', [stream] = 'stream', [queue] = 'zset'}) do
    local found = redis.call('type', key).ok
    if found ~= 'none' and found ~= expected then foreign[#foreign + 1] = key end
end

local stored = tonumber(redis.pcall('hget', hash, 'version') or '0') or 0
if stored > version then return 0 end
if stored == version and #foreign == 0 and redis.call('exists', celery) == 1 then
    if change == 'waiting' then redis.pcall('zadd', queue, submitted_at, job) end
    return 0
end

-- SET comes first, because Redis refuses it when its memory is full. After a first write that frees memory,
-- such as DEL, Redis would let the rest of the script pass its limit.
redis.call('set', celery, celery_meta)
for _, key in ipairs(foreign) do
    if key ~= celery then redis.call('del', key) end
end
local fields = {}
for i = first_field, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('del', hash)
redis.call('hset', hash, unpack(fields))
redis.call('xadd', stream, 'maxlen', '~', stream_length, '*', 'status', status)
for _, key in ipairs({hash, celery, stream}) do redis.call('expire', key, ttl) end

if change == 'progress' then
    redis.call('publish', progress_channel, status)
elseif change == 'waiting' then
    redis.call('zadd', queue, submitted_at, job)
else
    redis.call('zrem', queue, job)
end
redis.call('publish', hash, status)
redis.call('publish', celery, celery_meta)
return #foreign > 0 and 2 or 1
