package tasking

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	// TaskChanged says that a task was dispatched or that its state changed.
	TaskChanged EventKind = "task"
	// ProgressChanged says that a progress report began or was written. The reports that still run when their task
	// ends get the task's final state without an event of their own.
	ProgressChanged EventKind = "progress"
	// EventsLost means that events are missing here: the reader was too slow, or Redis was down. The reader has to read
	// the database again. All other fields but Time are empty.
	EventsLost EventKind = "lost"
)

// Event is a hint that something has happened to a task. Events come after the fact is in the database. They may be
// missing, be there twice, or, where several processes or calls have to do with one task, come in another order: the
// database is the truth.
type Event struct {
	Kind     EventKind        `json:"kind"`
	Time     time.Time        `json:"time"`
	DomainID uuid.UUID        `json:"domain"`
	TaskID   uuid.UUID        `json:"task"`
	GroupID  *uuid.UUID       `json:"group,omitempty"`
	WorkerID *uuid.UUID       `json:"worker,omitempty"` // who executes it or did
	Name     string           `json:"name,omitempty"`   // of the task
	State    models.TaskState `json:"state,omitempty"`  // of the task

	// Progress is nil unless the kind is ProgressChanged. It is shared by all readers and must not be changed.
	Progress *ProgressEvent `json:"progress,omitempty"`
}

// ProgressEvent is a progress report as it was written.
type ProgressEvent struct {
	ReportID uuid.UUID        `json:"id"`
	Message  string           `json:"message"`
	Code     string           `json:"code"`
	State    models.TaskState `json:"state"`
	Total    *int64           `json:"total"` // nil while unknown
	Done     int64            `json:"done"`
	Suffix   *string          `json:"suffix"`
}

func taskEvent(t *models.Task, state models.TaskState) Event {
	return Event{
		Kind: TaskChanged, Time: models.Now(), DomainID: t.DomainID, TaskID: t.ID, GroupID: t.TaskGroupID,
		WorkerID: t.WorkerID, Name: t.Name, State: state,
	}
}

func progressEvent(t *models.Task, r *models.ProgressReport) Event {
	e := taskEvent(t, models.Running)
	e.Kind = ProgressChanged
	e.Progress = &ProgressEvent{
		ReportID: r.ID, Message: r.Message, Code: r.Code, State: r.State, Total: r.Total, Done: r.Done, Suffix: r.Suffix,
	}
	return e
}

// event says that the task was dispatched.
func (s *spec) event(state models.TaskState) Event {
	return Event{
		Kind: TaskChanged, Time: models.Now(), DomainID: s.row.DomainID, TaskID: s.row.ID, GroupID: s.row.Group,
		Name: s.row.Name, State: state,
	}
}

// lostEvent concerns every domain.
func lostEvent() Event { return Event{Kind: EventsLost, Time: models.Now()} }

// eventBuffer is how many events a subscription keeps for a reader that is behind.
const eventBuffer = 1024

// Subscription is one reader's view of the events of a domain. It never delays the work that causes them: a reader
// that is more than 1024 events behind finds one of kind [EventsLost] instead of them. It is safe for concurrent use,
// each event being read once.
type Subscription struct {
	domain uuid.UUID
	leave  func() // ends the delivery
	ready  chan struct{}
	closed chan struct{}

	mu     sync.Mutex
	buffer []Event
	ended  bool
}

// Subscribe returns the events of the queue's domain from now on: to know all that happens to a task, subscribe first
// and read it then. Those of other processes come by way of Redis and only while a [Worker] of this process runs, of
// whatever kind and with however many slots. The caller closes the subscription; closing the queue ends it too.
func (q *Queue) Subscribe() *Subscription {
	s := &Subscription{domain: q.domainID(), ready: make(chan struct{}, 1), closed: make(chan struct{})}
	s.leave = q.hub.join(s)
	return s
}

// Next returns the next event, and waits until there is one.
//
// Errors: the cause of ctx; Unavailable once the subscription or its queue is closed.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := s.pop(); ok {
			return e, nil
		}
		select {
		case <-s.ready:
		case <-s.closed:
			return Event{}, pulperr.Public(pulperr.Unavailable, "the events have ended")
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// All returns the events until ctx is done or the subscription is closed.
func (s *Subscription) All(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := s.Next(ctx)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.buffer = true, nil
		close(s.closed)
	}
}

func (s *Subscription) pop() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buffer) == 0 {
		return Event{}, false
	}
	e := s.buffer[0]
	s.buffer = s.buffer[1:]
	if len(s.buffer) > 0 {
		s.signal() // there may be more than one reader
	}
	return e, true
}

// push keeps an event for the reader. If the buffer is full it is emptied: after a gap the reader reads the database.
func (s *Subscription) push(e Event) {
	if e.Kind != EventsLost && e.DomainID != s.domain {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if len(s.buffer) >= eventBuffer {
		s.buffer, e = nil, lostEvent()
	}
	s.buffer = append(s.buffer, e)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
