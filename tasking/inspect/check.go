package inspect

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Violation is a state of the database that the task engine must never cause, and a reason to report a fault.
type Violation struct {
	Rule   string    // one of the Rule constants
	TaskID uuid.UUID // which task it is about
	Task   string    // its name; "" if it does not exist
	Detail string    // for people
}

// String returns all fields in one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s: task %s (%s): %s", v.Rule, v.TaskID, v.Task, v.Detail)
}

// The rules, which hold at any moment.
const (
	// RuleReservations: an unfinished task has exactly the reservations that it names, and any other task has none.
	RuleReservations = "reservations"
	// RuleConflict: of two unfinished tasks that need the same resource, one of them exclusively, only one may run.
	RuleConflict = "conflict"
	// RuleStranded: a waiting task that is not ready is blocked by an earlier one. A worker repairs violations within half
	// a minute.
	RuleStranded = "stranded"
	// RuleOwner: a running task has a claim and a worker that is registered. If the worker was suspended during the claim,
	// the rule may be broken until the task is ended as that of a dead worker.
	RuleOwner = "owner"
	// RuleAttempt: a task that runs or ran was started at least once.
	RuleAttempt = "attempt"
)

// checkLimit is how many violations one query reports at most.
const checkLimit = 100

// Check looks for violations of the rules in all domains and returns at most a few hundred of them; an intact database
// has none. It only reads, and may be called while tasks run. It reads all tasks and reservations.
func Check(ctx context.Context, db *models.DB) ([]Violation, error) {
	var found []Violation
	for _, c := range []struct {
		rule, detail string
		check        taskdb.TaskCheck
	}{
		{RuleReservations, "it has ended or does not exist and has a reservation", taskdb.ReservationsOfEndedTasks},
		{RuleReservations, "it has a reservation that it does not name", taskdb.SurplusReservations},
		{RuleReservations, "it lacks a reservation", taskdb.MissingReservations},
		{RuleConflict, "it may run beside tasks that it conflicts with", taskdb.ConflictingTasks},
		{RuleStranded, "it waits although no earlier task blocks it", taskdb.StrandedTasks},
		{RuleOwner, "it runs and no worker has it", taskdb.OwnerlessTasks},
		{RuleAttempt, "it runs or ran without a counted attempt", taskdb.MiscountedTasks},
	} {
		rows, err := taskdb.FindBroken(ctx, taskdb.On(db), c.check, checkLimit)
		if err != nil {
			return found, taskdb.Wrap(err, "check %s", c.rule)
		}
		for _, r := range rows {
			v := Violation{Rule: c.rule, TaskID: r.ID, Task: r.Name, Detail: c.detail}
			if r.Key != 0 {
				v.Detail += fmt.Sprintf(" (resource %016x)", uint64(r.Key)) //nolint:gosec // all 64 bits are wanted
			}
			if r.Holders != 0 {
				v.Detail += fmt.Sprintf(", %d in all", r.Holders)
			}
			found = append(found, v)
		}
	}
	return found, nil
}
