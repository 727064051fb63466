package worker_test

import (
	"errors"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

// TestDatabaseThatDoesNotAnswerIsUnavailable cuts connections and refuses others.
func TestDatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t)
	proxy := dbtest.StartProxy(t, hostOf(t, server))
	b := setup(t, proxy.URL(server), "")
	ask := func(want error) {
		t.Helper()
		_, err := b.block.Dispatch(t.Context(), b.q, blockArgs{}, nil)
		if !errors.Is(err, want) {
			t.Errorf("Dispatch() = %v, want %v", err, want)
		}
	}
	ask(nil)
	proxy.Refuse()
	proxy.Cut()
	ask(pulperr.Unavailable) // by the connection that was cut, or by a new one
	ask(pulperr.Unavailable)
	if _, err := inspect.Workers(t.Context(), b.q.DB()); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Workers() = %v, want Unavailable", err)
	}
	proxy.Accept()
	ask(nil)
}
