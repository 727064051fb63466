package taskdb

// Conditions on rows of core_task. Each is written once, because the indexes of the table have the same words.
const (
	// ready holds for tasks that a worker may claim, if mayBegin holds too.
	ready = `state = 'waiting' AND unblocked_at IS NOT NULL`
	// mayBegin holds unless the task waits for the time of its next attempt.
	mayBegin = `(not_before IS NULL OR not_before <= ?now)`
	// unfinished holds for tasks that have reservations.
	unfinished = `state IN ('waiting', 'running', 'canceling')`
	// executing holds for tasks that have a claim.
	executing = `state IN ('running', 'canceling')`
	// waiting is state = 'waiting' beside a condition on the key. IS TRUE keeps the planner from reading a partial index
	// of all waiting tasks instead of the few rows with the keys.
	waiting = `(state = 'waiting') IS TRUE`
)
