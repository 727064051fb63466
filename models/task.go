package models

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// TaskState is where a task is in its life.
type TaskState string

// The states of a task. Skipped, Completed, Failed and Canceled are final.
const (
	Waiting   TaskState = "waiting"
	Skipped   TaskState = "skipped"
	Running   TaskState = "running"
	Completed TaskState = "completed"
	Failed    TaskState = "failed"
	Canceling TaskState = "canceling"
	Canceled  TaskState = "canceled"
)

// Final reports whether a task in state s never changes again.
func (s TaskState) Final() bool {
	return s == Skipped || s == Completed || s == Failed || s == Canceled
}

// Task is a unit of asynchronous work as its users see it. Arguments and ownership stay with package tasking.
type Task struct {
	bun.BaseModel `bun:"table:core_task,alias:t" json:"-"`

	Base
	DomainID          uuid.UUID       `bun:"pulp_domain_id"`
	Name              string          `bun:"name"` // "<plugin>.<task>"
	State             TaskState       `bun:"state"`
	UserID            *int64          `bun:"user_id"`                  // nil without a user
	LoggingCID        string          `bun:"logging_cid"`              // correlation id of the request it came from
	ParentTaskID      *uuid.UUID      `bun:"parent_task_id"`           // the task that dispatched it; nil for none
	TaskGroupID       *uuid.UUID      `bun:"task_group_id"`            // nil for none
	ReservedResources []string        `bun:"reserved_resources,array"` // PRNs and names; "shared:" before shared ones
	Immediate         bool            `bun:"immediate"`                // may run in the process that dispatches it
	Attempt           int             `bun:"attempt"`                  // how often it was started
	WorkerID          *uuid.UUID      `bun:"worker_id"`                // nil before a worker has claimed it
	UnblockedAt       *time.Time      `bun:"unblocked_at"`             // when its resources were free; nil before
	StartedAt         *time.Time      `bun:"started_at"`               // nil before
	FinishedAt        *time.Time      `bun:"finished_at"`              // nil before
	Error             *TaskError      `bun:"error,type:jsonb"`         // nil unless failed or canceled
	Result            json.RawMessage `bun:"result,type:jsonb"`        // nil until completed
}

// TaskError is the cause of a failure or cancellation, in words for clients.
type TaskError struct {
	Description string  `json:"description,omitempty"`
	Reason      string  `json:"reason,omitempty"` // of a cancellation
	Traceback   *string `json:"traceback"`        // of a panic
	Code        string  `json:"error_code,omitempty"`
}

// TaskGroup collects the tasks of one larger piece of work.
type TaskGroup struct {
	bun.BaseModel `bun:"table:core_taskgroup,alias:tg" json:"-"`

	Base
	DomainID           uuid.UUID  `bun:"pulp_domain_id"`
	Description        string     `bun:"description"`
	AllTasksDispatched bool       `bun:"all_tasks_dispatched"` // no task will be added any more
	CanceledAt         *time.Time `bun:"canceled_at"`          // nil unless canceled
}

// ProgressReport is the progress of one step of a task.
type ProgressReport struct {
	bun.BaseModel `bun:"table:core_progressreport,alias:pr" json:"-"`

	Base
	TaskID  uuid.UUID `bun:"task_id"`
	Message string    `bun:"message"` // for people
	Code    string    `bun:"code"`    // for programs, for example "sync.downloading.artifacts"
	State   TaskState `bun:"state"`
	Total   *int64    `bun:"total"` // nil while unknown
	Done    int64     `bun:"done"`
	Suffix  *string   `bun:"suffix"`
}

// GroupProgressReport is the progress of all tasks of a group together.
type GroupProgressReport struct {
	bun.BaseModel `bun:"table:core_groupprogressreport,alias:gpr" json:"-"`

	Base
	TaskGroupID uuid.UUID `bun:"task_group_id"`
	Message     string    `bun:"message"`
	Code        string    `bun:"code"` // unique within the group
	Total       int64     `bun:"total"`
	Done        int64     `bun:"done"`
	Suffix      *string   `bun:"suffix"`
}

// CreatedResource records a row that a task created.
type CreatedResource struct {
	bun.BaseModel `bun:"table:core_createdresource,alias:cr" json:"-"`

	ID         uuid.UUID `bun:"pulp_id,pk"`
	Created    time.Time `bun:"pulp_created"`
	TaskID     uuid.UUID `bun:"task_id"`
	PRN        string    `bun:"prn"`
	Incomplete bool      `bun:"incomplete"` // still being built; removed if its task does not complete
}

// Worker is a process that executes tasks or serves requests and sends heartbeats.
type Worker struct {
	bun.BaseModel `bun:"table:core_worker,alias:w" json:"-"`

	Base
	Name          string            `bun:"name"`
	Kind          string            `bun:"kind"` // "worker", "api" or "content"
	Host          string            `bun:"host"` // name of the machine
	PID           int               `bun:"pid"`
	Versions      map[string]string `bun:"versions,type:jsonb"` // by plugin name
	TTL           int               `bun:"ttl_ms"`              // milliseconds without a heartbeat until it is missing
	Beat          int64             `bun:"beat"`                // grows with every heartbeat
	LastHeartbeat time.Time         `bun:"last_heartbeat"`
}

// TaskSchedule dispatches a task at a time, once or again and again. The arguments stay with package tasking.
type TaskSchedule struct {
	bun.BaseModel `bun:"table:core_taskschedule,alias:ts" json:"-"`

	Base
	DomainID          uuid.UUID  `bun:"pulp_domain_id"`
	Name              string     `bun:"name"`      // unique within the domain
	TaskName          string     `bun:"task_name"` // "<plugin>.<task>"
	UserID            *int64     `bun:"user_id"`   // the user that made it
	ReservedResources []string   `bun:"reserved_resources,array"`
	IntervalMS        *int64     `bun:"dispatch_interval_ms"` // milliseconds, see Interval; nil is once
	NextDispatch      *time.Time `bun:"next_dispatch"`        // nil once it is over
	LastDispatch      *time.Time `bun:"last_dispatch"`
	LastTaskID        *uuid.UUID `bun:"last_task_id"` // nil before the first dispatch and when that task was deleted
}

// Interval returns the time between two dispatches, 0 for a schedule that dispatches once.
func (s *TaskSchedule) Interval() time.Duration {
	if s.IntervalMS == nil {
		return 0
	}
	return time.Duration(*s.IntervalMS) * time.Millisecond
}
