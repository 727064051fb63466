`Queue.Redis` answers `tasking.ErrNoRedis`, and `Queue.RedisQueues` nothing, where a queue was opened without a Redis.
