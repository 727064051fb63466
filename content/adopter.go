package content

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// adoptionDelay is how long units that were pulled wait for others, which then are in the same repository version: a
	// client that installs a hundred units should not make a hundred versions.
	adoptionDelay = time.Second
	// adoptionPeriod is how long a unit is not added to a repository again. The task may have to wait for a sync.
	adoptionPeriod = 5 * time.Minute
	// adoptionTimeout is how long the dispatch may take when the App is being closed.
	adoptionTimeout = 5 * time.Second
	maxAdopted      = 10_000 // adoptions that are remembered
)

// membership is a unit in a repository.
type membership struct{ repository, unit uuid.UUID }

// adopter adds units that were pulled to the repositories of the distributions that they were asked of.
type adopter struct {
	add  func(ctx context.Context, repository uuid.UUID, units []uuid.UUID) error // nil adds nothing
	log  *slog.Logger
	jobs *jobs

	mu      sync.Mutex
	waiting map[uuid.UUID][]uuid.UUID // units by repository
	adopted map[membership]time.Time
}

func newAdopter(o *Options, j *jobs) *adopter {
	return &adopter{
		add: o.AddContent, log: o.Log, jobs: j, waiting: map[uuid.UUID][]uuid.UUID{}, adopted: map[membership]time.Time{},
	}
}

// adopt adds a unit to a repository, soon and together with others. If the process dies before, the next request for
// the unit does it.
func (a *adopter) adopt(ctx context.Context, repository, unit uuid.UUID) {
	if a.add == nil || !a.note(membership{repository, unit}) {
		return
	}
	_, err := a.jobs.start(ctx, func(ctx context.Context) {
		timer := time.NewTimer(adoptionDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		a.flush(ctx, repository)
	})
	if err != nil { // the App is being closed
		a.flush(ctx, repository)
	}
}

// note reports whether the caller has to flush the repository.
func (a *adopter) note(m membership) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Sub(a.adopted[m]) < adoptionPeriod {
		return false
	}
	if len(a.adopted) >= maxAdopted {
		clear(a.adopted) // costs tasks that change nothing
	}
	a.adopted[m] = now
	a.waiting[m.repository] = append(a.waiting[m.repository], m.unit)
	return len(a.waiting[m.repository]) == 1
}

// flush adds the units that wait for a repository.
func (a *adopter) flush(ctx context.Context, repository uuid.UUID) {
	a.mu.Lock()
	units := a.waiting[repository]
	delete(a.waiting, repository)
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adoptionTimeout)
	defer cancel()
	err := a.add(ctx, repository, units)
	if err == nil {
		return
	}
	a.log.ErrorContext(ctx, "pulled content was not added to its repository", "repository", repository,
		"units", len(units), "err", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, unit := range units {
		delete(a.adopted, membership{repository, unit}) // the next request tries again
	}
}
