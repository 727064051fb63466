// Package event has the events of tasks: what happened to a task, for programs that show it at once. A program reads
// them from the Subscription that Queue.Subscribe of package tasking returns.
package event

import (
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// Kind is the subject of an [Event].
type Kind string

// The kinds of events.
const (
	// TaskChanged is the kind after the dispatch of a task and after each change of its state.
	TaskChanged Kind = "task"
	// ProgressChanged is the kind after the begin of a progress report and after each write of it. The reports that still
	// run when their task ends get the task's final state without an event of their own.
	ProgressChanged Kind = "progress"
	// Lost means that events are missing here: the reader was too slow, or Redis was down. The reader has to read
	// the database again. All other fields but Time are empty.
	Lost Kind = "lost"
)

// Event is a hint that the state or the progress of a task has changed. Events come after the change is in the
// database. They may be missing, be there twice, or, where several processes or calls have to do with one task, come in
// another order: the database is the truth.
type Event struct {
	Kind     Kind             `json:"kind"`
	Time     time.Time        `json:"time"`
	DomainID uuid.UUID        `json:"domain"`
	TaskID   uuid.UUID        `json:"task"`
	GroupID  *uuid.UUID       `json:"group,omitempty"`
	WorkerID *uuid.UUID       `json:"worker,omitempty"` // who executes it or did
	Name     string           `json:"name,omitempty"`   // of the task
	State    models.TaskState `json:"state,omitempty"`  // of the task

	// Progress is nil unless the kind is ProgressChanged. It is shared by all readers and must not be changed.
	Progress *Progress `json:"progress,omitempty"`
}

// Progress is a progress report as it was written.
type Progress struct {
	ReportID uuid.UUID        `json:"id"`
	Message  string           `json:"message"`
	Code     string           `json:"code"`
	State    models.TaskState `json:"state"`
	Total    *int64           `json:"total"` // nil while unknown
	Done     int64            `json:"done"`
	Suffix   *string          `json:"suffix"`
}

// OfTask returns the event that a task has a state now.
func OfTask(t *models.Task, state models.TaskState) Event {
	return Event{
		Kind: TaskChanged, Time: models.Now(), DomainID: t.DomainID, TaskID: t.ID, GroupID: t.TaskGroupID,
		WorkerID: t.WorkerID, Name: t.Name, State: state,
	}
}

// OfProgress returns the event that a progress report of a running task was written.
func OfProgress(t *models.Task, r *models.ProgressReport) Event {
	e := OfTask(t, models.Running)
	e.Kind = ProgressChanged
	e.Progress = &Progress{
		ReportID: r.ID, Message: r.Message, Code: r.Code, State: r.State, Total: r.Total, Done: r.Done, Suffix: r.Suffix,
	}
	return e
}

// OfLoss returns the event that events are missing, which concerns every domain.
func OfLoss() Event { return Event{Kind: Lost, Time: models.Now()} }
