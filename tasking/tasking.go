// Package tasking runs work in the background: reliably, in order per resource, on one machine or many.
//
// A [Task] is declared by name and typed arguments, bound to a function with [Task.Bind] and dispatched to a [Queue],
// in the caller's transaction or its own. It names the resources that it needs, exclusively or shared; tasks that need
// the same resource run in the order of their dispatch, others never wait for each other. A worker executes tasks and
// gives each an [Env].
//
// Programs declare, dispatch and write tasks with this package. Package worker executes them, package schedule
// dispatches them at set times, package group has groups of tasks, package event has the events of tasks, and package
// inspect has lists and the administration of tasks.
//
// # What holds
//
// The database is the truth. A task and its reservations are rows of one transaction. A task is ready when no earlier
// task that has not ended conflicts with it; the transaction that dispatches it decides that, or the transaction that
// ends the last task before it. A worker claims a ready task by compare-and-set, so that a message delivered twice runs
// once. Redis, by way of asynq, carries only the message that a task is ready: to lose all of it costs seconds.
//
// A worker that dies is noticed by its heartbeat, and its tasks are failed, or run again if
// [DispatchOptions].MaxAttempts allows it. A worker that was only suspended cannot commit with its task's [Env].DB any
// more.
//
// A function that does not return keeps its task's reservations, because it may still write. The worker reports it with
// its stacks; a task that shall be killed instead, and may crash, gets a process of its own with [BindingOptions].
//
// States: waiting → running → completed or failed; from running back to waiting if it runs again, see [DispatchOptions]
// and [Retry]. A canceled task goes from waiting to canceled, and from running by way of canceling, which lasts until
// its function has returned.
//
// # Errors
//
// "Errors: NotFound" in a comment means that errors.Is(err, pulperr.NotFound) holds for the returned error. If the
// database does not answer, the error of a function that uses it is Unavailable; if another transaction held a lock
// until the timeout, it is Locked. Any other error of the database or of this package has no kind; after the end of ctx
// the error is that of ctx.
package tasking
