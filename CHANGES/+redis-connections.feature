A process that runs workers holds four connections to Redis at most: three for all commands and one subscription.
