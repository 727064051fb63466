package content

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
)

// maxDemoted bounds the number of sources and remotes that are kept.
const maxDemoted = 10_000

// demotions keep, in this process and for a while, the sources that broke off and the remotes that did not answer.
// They are asked after the others, never left out: only sources that sent wrong bytes are left out, and the database
// keeps these.
type demotions struct {
	period time.Duration // less than 0 forgets at once

	mu     sync.Mutex
	failed map[uuid.UUID]time.Time // by remote artifact or remote
}

func newDemotions(period time.Duration) *demotions {
	return &demotions{period: period, failed: map[uuid.UUID]time.Time{}}
}

func (d *demotions) add(id uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.failed) >= maxDemoted {
		for old, at := range d.failed {
			if now.Sub(at) > d.period {
				delete(d.failed, old)
			}
		}
		if len(d.failed) >= maxDemoted {
			// Demotion is an order and no refusal: forgetting it costs one slow attempt for each source.
			clear(d.failed)
		}
	}
	d.failed[id] = now
}

func (d *demotions) remove(ids ...uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		delete(d.failed, id)
	}
}

// order puts demoted sources behind the others and leaves the order as it is otherwise.
func (d *demotions) order(sources []*lookup.RemoteSource) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	demoted := func(id uuid.UUID) bool {
		at, ok := d.failed[id]
		return ok && now.Sub(at) <= d.period
	}
	rank := func(s *lookup.RemoteSource) int {
		switch {
		// Last, because each file of a silent remote would cost the wait again.
		case demoted(s.RemoteID):
			return 2
		case demoted(s.ID):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(sources, func(a, b *lookup.RemoteSource) int { return rank(a) - rank(b) })
}
