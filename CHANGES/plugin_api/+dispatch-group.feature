`Task.DispatchGroup` dispatches a task for each of several arguments as a group, all of them or none.
