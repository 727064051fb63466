package python_test

import (
	"context"
	"slices"
	"sync"

	"github.com/uptrace/bun"
)

// statements keeps all statements of a database.
type statements struct {
	bun.QueryHook
	mu   sync.Mutex
	list []string
}

// BeforeQuery is of [bun.QueryHook].
func (s *statements) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

// AfterQuery is of [bun.QueryHook].
func (s *statements) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e.Query)
}

func (s *statements) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}
