`tasking.Task.Schedule` dispatches a task at a time, once or at intervals; `tasking.Queue.Purge` removes tasks that ended.
