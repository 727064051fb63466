package stages

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// landing knows the artifacts of one run whose bytes were downloaded and whose rows are not saved yet. There are as
// many at most as there are units in flight.
type landing struct {
	mu   sync.Mutex
	open map[string]int // sha256 → how often
}

func (l *landing) add(sha256 string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[string]int{}
	}
	l.open[sha256]++
}

func (l *landing) saved(sha256 string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[sha256]--; l.open[sha256] <= 0 {
		delete(l.open, sha256)
	}
}

// take returns what never got a row.
func (l *landing) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []string
	for s := range l.open {
		left = append(left, s)
	}
	l.open = nil
	return left
}

// landingTime bounds the removal of what a failed run downloaded.
const landingTime = time.Minute

// clear removes the bytes that never got a row, also after the task was canceled. What it cannot remove is left to the
// sweep of the store.
func (l *landing) clear(ctx context.Context, env *tasking.Env) {
	left := l.take()
	if left == nil {
		return
	}
	// The run may have failed because its context ended, and the removal must not end with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), landingTime)
	defer cancel()
	n, err := models.RemoveStray(ctx, env.DB, env.Store, left)
	if err != nil {
		env.Log.WarnContext(ctx, "downloaded bytes without a row are removed later",
			slog.Int("files", len(left)-n), slog.Any("err", err))
	}
}

// cleaner is a stage with work to do after all stages of its run have ended.
type cleaner interface{ cleanUp(ctx context.Context) }

// save saves the rows of downloaded artifacts. Those whose bytes were removed meanwhile are downloaded again.
func (s *ArtifactSaver) save(ctx context.Context, batch []*DeclarativeContent) error {
	const attempts = 3
	for i := 1; ; i++ {
		var list []*DeclarativeArtifact
		var rows []*models.Artifact
		for da := range artifacts(batch) {
			if !da.saved() && !da.Deferred {
				list, rows = append(list, da), append(rows, da.Artifact)
			}
		}
		err := models.SaveArtifacts(ctx, s.Env.DB, s.Env.Store, rows)
		if err == nil {
			for _, da := range list {
				da.noteSaved()
			}
			return nil
		}
		gone, ok := errors.AsType[*models.BytesGoneError](err)
		if !ok || i == attempts {
			return err
		}
		if err := s.again(ctx, list, gone); err != nil {
			return err
		}
	}
}

// again brings the bytes of artifacts back.
func (s *ArtifactSaver) again(ctx context.Context, list []*DeclarativeArtifact, gone *models.BytesGoneError) error {
	missing := make(map[string]bool, len(gone.SHA256))
	for _, sha256 := range gone.SHA256 {
		missing[sha256] = true
	}
	for _, da := range list {
		// An attempt that was rolled back has given identities to artifacts that are not saved.
		fresh := &models.Artifact{Size: da.Artifact.Size, Digests: da.Artifact.Digests}
		da.Artifact = fresh
		if !missing[fresh.SHA256] {
			continue
		}
		if da.refetch == nil {
			// A stage of the plugin has stored the bytes, and only that stage can fetch them again.
			return gone
		}
		if err := da.refetch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// noteSaved records that the bytes have a row now.
func (da *DeclarativeArtifact) noteSaved() {
	if da.landing != nil {
		da.landing.saved(da.Artifact.SHA256)
	}
	da.landing, da.refetch = nil, nil
}
