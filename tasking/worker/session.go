package worker

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// session is one run of a worker, with the rows by which other processes know it: one for each of its roles.
type session struct {
	db   *models.DB
	row  models.Worker // what all rows have; its key and kind are not set
	ttl  time.Duration
	live *engine.LivingWorkers

	drain   chan struct{}  // closed when no new work may begin
	abandon chan struct{}  // closed when running tasks are not waited for any more
	busy    sync.WaitGroup // work that has begun

	mu       sync.Mutex
	roles    []role // the first one owns the tasks
	draining bool
	lastBeat time.Time // of the last heartbeat that succeeded
}

// role is one row of a session.
type role struct {
	kind string
	id   uuid.UUID // a new one after another process took the worker for dead
}

func newSession(q *engine.Core, o *Options) *session {
	// An error leaves the host empty: it is shown to people and identifies no worker.
	host, _ := os.Hostname()
	versions := o.Versions
	if versions == nil {
		versions = map[string]string{}
	}
	s := &session{
		db: q.DB, ttl: o.TTL, live: &q.Living, drain: make(chan struct{}), abandon: make(chan struct{}),
		row: models.Worker{Name: o.Name, Host: host, PID: os.Getpid(), Versions: versions, TTL: int(o.TTL.Milliseconds())},
	}
	for _, kind := range o.Kinds {
		s.roles = append(s.roles, role{kind: kind})
	}
	return s
}

// register stores a row under a new id for each role whose id is not in alive.
func (s *session) register(ctx context.Context, alive []uuid.UUID) error {
	s.mu.Lock()
	// The lock is not held during the INSERT: enter and workerID are called for every task and must not wait for the
	// database.
	roles := slices.Clone(s.roles)
	s.mu.Unlock()
	var rows []*models.Worker
	for i := range roles {
		if slices.Contains(alive, roles[i].id) {
			continue
		}
		row := s.row
		// Never the old id: the process that declared the old row dead may still recover tasks that show it as their worker.
		row.ID, row.Kind, row.Created = models.NewID(), roles[i].kind, models.Now()
		row.Updated, row.LastHeartbeat = row.Created, row.Created
		rows = append(rows, &row)
		roles[i].id = row.ID
	}
	if err := taskdb.InsertWorkers(ctx, s.db, rows); err != nil {
		return taskdb.Wrap(err, "register worker %q", s.row.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, old := range s.roles {
		s.live.Replace(old.id, roles[i].id)
	}
	// A new row counts as a heartbeat. Otherwise enter would refuse all work until the first one.
	s.roles, s.lastBeat = roles, time.Now()
	return nil
}

// workerID returns the id of the row that owns the tasks, or uuid.Nil before the session is registered.
func (s *session) workerID() uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roles[0].id
}

// ids returns the ids of all rows.
func (s *session) ids() []uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]uuid.UUID, len(s.roles))
	for i, r := range s.roles {
		ids[i] = r.id
	}
	return ids
}

// enter registers the beginning of a piece of work, or reports false if none may begin. The caller calls busy.Done.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// After two thirds of the TTL without a heartbeat other workers may declare this one dead soon, and a task that begins
	// now would fail as lost.
	if s.draining || time.Since(s.lastBeat) > s.ttl*2/3 {
		return false
	}
	// Under the lock: startDrain could otherwise pass between the check and Add, and Run would return while this work
	// begins.
	s.busy.Add(1)
	return true
}

// startDrain lets no new work begin.
func (s *session) startDrain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	close(s.drain)
}

// drains reports whether no new work may begin.
func (s *session) drains() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// beat notes a heartbeat that succeeded.
func (s *session) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastBeat = time.Now()
}

// silence returns how long there has been no heartbeat.
func (s *session) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastBeat)
}

// close removes the rows. A row that still owns tasks stays, so that another process finds them.
func (s *session) close(ctx context.Context) error {
	ids := s.ids()
	for _, id := range ids {
		s.live.Replace(id, uuid.Nil)
	}
	return taskdb.DeleteIdleWorkers(ctx, s.db, ids)
}

// retryUntil calls fn until it succeeds, fails with a permanent error, or stop is closed. It pauses between calls,
// longer each time, and calls onError before each pause.
func retryUntil(stop <-chan struct{}, isPermanent func(error) bool, onError func(error), fn func() error) error {
	// The pause grows, so that a restarting database gets few attempts. It stays at 5 s, because a task keeps its
	// reservations until its end is stored.
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := fn()
		if err == nil || isPermanent(err) {
			return err
		}
		onError(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return err
		}
	}
}
