Added `tasks/events/` to the REST API: a stream of server-sent events that tells what happens to all tasks, one task or the tasks
of a group. The file server shows its tasks at `/tasks/`, with live progress, who waits for whom, and a way to cancel.
