`tasking.Queue.Subscribe` gives the events of tasks and progress reports of all processes, `tasking.Queue.Blocked` says which tasks
wait for which, `rest.WithShutdown` lets a server of the host's own end streams, and `contrib/asynqmon` shows the queue's Redis.
