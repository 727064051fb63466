package content

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// gate bounds the fetches that run at a time, in total and for each remote, so that a remote that does not answer
// never takes all places. A fetch asks for its place once it has one of the remote's own connections.
type gate struct {
	total chan struct{}
	share int           // places that one remote may have
	limit time.Duration // the longest wait

	mu     sync.Mutex
	shares map[uuid.UUID]*remoteShare
}

type remoteShare struct {
	places chan struct{}
	users  int // waiting or running; guarded by gate.mu
}

func newGate(total int, limit time.Duration) *gate {
	return &gate{
		total: make(chan struct{}, total), share: max(1, total/4), limit: limit, shares: map[uuid.UUID]*remoteShare{},
	}
}

// enter waits for a place. The caller calls leave when the fetch does not run any more.
//
// Errors: Unavailable if there was none in time; the cause of ctx.
func (g *gate) enter(ctx context.Context, remote uuid.UUID) (leave func(), err error) {
	s := g.use(remote)
	timer := time.NewTimer(g.limit)
	defer timer.Stop()
	// The share first: a fetch that waits for its remote's share must not hold a place that other remotes can use.
	if err := g.take(ctx, s.places, timer); err != nil {
		g.unuse(remote, s)
		return nil, err
	}
	if err := g.take(ctx, g.total, timer); err != nil {
		<-s.places
		g.unuse(remote, s)
		return nil, err
	}
	return func() {
		<-g.total
		<-s.places
		g.unuse(remote, s)
	}, nil
}

func (g *gate) take(ctx context.Context, places chan struct{}, timer *time.Timer) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-timer.C:
		return pulperr.Public(pulperr.Unavailable, "all places for fetches from remotes were taken for %v; "+
			"try again later", g.limit)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) use(remote uuid.UUID) *remoteShare {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.shares[remote]
	if s == nil {
		s = &remoteShare{places: make(chan struct{}, g.share)}
		g.shares[remote] = s
	}
	s.users++
	return s
}

func (g *gate) unuse(remote uuid.UUID, s *remoteShare) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Otherwise the map would grow with each remote that was ever asked.
	if s.users--; s.users == 0 {
		delete(g.shares, remote)
	}
}
