package content_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

// Idle waits for what a client that has its bytes does not see: the storing. It refuses no fetch.
func TestIdle(t *testing.T) {
	t.Parallel()
	writing, stored := make(chan struct{}), make(chan struct{})
	o := &siteOptions{storeOpt: &storage.Options{Intercept: func(_ context.Context, now storage.Op, _ string) error {
		if now == storage.OpCommit {
			close(writing)
			<-stored
		}
		return nil
	}}, store: t.TempDir()}
	s := newSite(t, sqlite(t), o)
	s.must(s.app.Idle(t.Context()))
	text := body(large)
	file := s.absent(models.OnDemand, newUpstream(t, sends(text, true)).URL, promise(text))
	if got := s.get("/pulp/content/x/f"); got.body != text || got.err != nil {
		t.Errorf("GET = %d, %d bytes, %v", got.StatusCode, len(got.body), got.err)
	}
	<-writing
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if err := s.app.Idle(ctx); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Idle while a file is stored = %v, want the reason why ctx was done", err)
	}
	close(stored)
	s.must(s.app.Idle(t.Context()))
	if f := s.artifactOf(file); f.ArtifactID == nil {
		t.Error("after Idle the file is not stored")
	}
	if got := s.get("/pulp/content/x/f"); got.body != text || got.err != nil {
		t.Errorf("GET after Idle = %d, %d bytes, %v", got.StatusCode, len(got.body), got.err)
	}
}
