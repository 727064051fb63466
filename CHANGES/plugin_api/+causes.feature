`tasking.ErrLost` is now also what transactions of a task fail with that was taken from its worker, and `tasking.ErrTimeout`
the cause of the end of immediate tasks.
