`pulpcore.Options` got `Redis`, for Sentinel for example, and `RedisPrefix`, which keeps installations apart that share one Redis.
