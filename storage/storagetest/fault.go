package storagetest

import (
	"context"
	"sync"

	"github.com/pulpgo/pulpcore/storage"
)

// Fail returns a storage.Options.Intercept that fails the nth operation op with err, counting from 1; every other
// succeeds. n = 0 fails all of them.
func Fail(op storage.Op, n int, err error) func(context.Context, storage.Op, string) error {
	var mu sync.Mutex
	seen := 0
	return func(_ context.Context, o storage.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if o != op {
			return nil
		}
		if seen++; n == 0 || seen == n {
			return err
		}
		return nil
	}
}

// Counter counts operations. Its Intercept is for storage.Options. Safe for concurrent use.
type Counter struct {
	mu   sync.Mutex
	seen map[storage.Op]int
}

// Intercept counts op.
func (c *Counter) Intercept(_ context.Context, op storage.Op, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[storage.Op]int)
	}
	c.seen[op]++
	return nil
}

// Count returns how often op was asked for.
func (c *Counter) Count(op storage.Op) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[op]
}

// Switch fails the operation after the next n ones with err; all later ones succeed. It serves to fail a flow at each
// of its steps in turn.
type Switch struct {
	mu    sync.Mutex
	left  int
	err   error
	fired storage.Op
}

// Arm lets n operations pass before one fails with err.
func (s *Switch) Arm(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.err, s.fired = n, err, ""
}

// Fired disarms the switch and returns the operation that failed since Arm, or "".
func (s *Switch) Fired() storage.Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Otherwise a switch that has not fired would fail the checks after the flow.
	s.err = nil
	return s.fired
}

// Intercept is for storage.Options.
func (s *Switch) Intercept(_ context.Context, op storage.Op, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	if s.left > 0 {
		s.left--
		return nil
	}
	err := s.err
	s.err, s.fired = nil, op
	return err
}
