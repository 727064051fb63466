Without `REDIS_URL` no Redis is run within the process any more: workers are woken within the process and read ready tasks from the
database. A task begins sooner, and two modules leave the binary. With Redis a process has one subscription and one client.
