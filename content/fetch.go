package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

var (
	errNobody  = errors.New("content: no client is left that wants the file")
	errInStore = errors.New("content: the file is in the store by now")

	errInterrupted = errors.New("content: the fetch was interrupted by a panic or runtime.Goexit")
)

// flight is a fetch of one file that is under way. All clients that want the file read its spool.
type flight struct {
	app     *App
	id      uuid.UUID    // of the content artifact
	file    *lookup.File // only for run
	sources []*lookup.RemoteSource
	spool   *spool
	cancel  context.CancelCauseFunc

	// Guarded by App.mu.
	clients int
	kept    bool // the file will be stored: the fetch goes on without clients
}

// serveAbsent answers with a file whose bytes are at a remote.
func (a *App) serveAbsent(to *answer, f *lookup.File) error {
	ctx := to.r.Context()
	sources, err := lookup.RemoteSources(ctx, a.db, f.ContentArtifactID, time.Now().Add(-a.opts.FailureCooldown))
	if err != nil {
		return err
	}
	a.demoted.order(sources)
	if len(sources) > 0 {
		if expect := expectation(f, sources[0]); expect.Size != nil {
			if to.withoutBytes(expect.Digests.SHA256, *expect.Size) {
				return nil
			}
		}
	}
	flight, err := a.join(ctx, f, sources)
	if err != nil {
		return err
	}
	if flight == nil {
		return a.serveArrived(to, f)
	}
	defer a.leave(flight)
	err = a.serveFlight(to, flight.spool)
	if errors.Is(err, errInStore) {
		return a.serveArrived(to, f)
	}
	return err
}

// serveArrived answers with a file that another client's fetch may have brought between the look at the database, that
// made f, and now.
func (a *App) serveArrived(to *answer, f *lookup.File) error {
	now, err := lookup.FileByContentArtifact(to.r.Context(), a.db, f.ContentArtifactID)
	if err != nil {
		return err
	}
	if now.ArtifactID == nil {
		return errNotFound
	}
	if err := a.serveStored(to, now); !errors.Is(err, errBytesMissing) {
		return err
	}
	return errNotFound
}

// serveFlight answers with what a flight brings.
func (a *App) serveFlight(to *answer, s *spool) error {
	start, err := s.started(to.r.Context())
	if err != nil {
		return err
	}
	if to.r.Method == http.MethodHead && start.size < 0 {
		to.describe(start.sha256, start.size)
		to.w.WriteHeader(http.StatusOK)
		return nil
	}
	rd, err := s.open(to.r.Context(), a.held(to.r.Header.Get("Range"), start))
	if err != nil {
		return err
	}
	to.describe(rd.sha256, rd.size)
	body := &watched{ReadSeeker: rd}
	if rd.size >= 0 {
		serveContent(to.w, to.r, time.Time{}, rd.size, body)
	} else if _, err := io.Copy(to.w, body); err != nil {
		a.cut(to.r, err)
	}
	if body.fault != nil {
		a.cut(to.r, body.fault)
	}
	return nil
}

// held reports whether a range waits for the end of the file: the ranges of a file of unknown size are known there, and
// the bytes of a small one are found right there. A range that ends with the file needs no wait, because the last block
// comes only when the whole was found right.
func (a *App) held(ranges string, start spoolStart) bool {
	if ranges == "" {
		return false
	}
	if start.size < 0 {
		return true
	}
	return start.proven && start.size <= a.opts.MaxHeldRange && !toTheEnd(ranges)
}

// toTheEnd reports whether a Range header asks for one range that ends with the file.
func toTheEnd(ranges string) bool {
	_, span, _ := strings.Cut(ranges, "=")
	span = strings.TrimSpace(span)
	return !strings.Contains(span, ",") && (strings.HasSuffix(span, "-") || strings.HasPrefix(span, "-"))
}

// join returns the flight that fetches a file, a new one if there is none. Without sources it returns one that is under
// way, or nil.
func (a *App) join(ctx context.Context, f *lookup.File, sources []*lookup.RemoteSource) (*flight, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fl := a.flights[f.ContentArtifactID]
	if fl == nil && len(sources) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	if fl == nil {
		if a.closed {
			return nil, errClosed
		}
		// It outlives the request that started it, if only to store what was begun.
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		fl = &flight{
			app: a, id: f.ContentArtifactID, file: f, sources: sources, spool: newSpool(a.opts.WorkDir), cancel: cancel,
		}
		a.flights[f.ContentArtifactID] = fl
		a.running.Go(func() { fl.run(ctx) })
	}
	fl.clients++
	fl.spool.retain()
	return fl, nil
}

// leave says that a client is done with a flight. Nobody fetches for nobody.
func (a *App) leave(f *flight) {
	a.mu.Lock()
	f.clients--
	a.abandon(f)
	a.mu.Unlock()
	f.spool.release()
}

// abandon cancels a flight that nobody wants; a.mu is held.
func (a *App) abandon(f *flight) {
	if f.clients > 0 || f.kept {
		return
	}
	f.cancel(errNobody)
	a.forget(f)
}

// forget makes sure that nobody joins a flight any more; a.mu is held.
func (a *App) forget(f *flight) {
	if a.flights[f.id] == f {
		delete(a.flights, f.id)
	}
}

// run fetches the file and ends the flight. It recovers panics, which a store's driver or a hook of a plugin's remote
// can cause, and ends the flight with an error: in this goroutine a panic would otherwise end the process.
func (f *flight) run(ctx context.Context) {
	defer f.cancel(nil)
	defer f.spool.release()
	err := errInterrupted
	defer func() {
		if p := recover(); p != nil {
			f.app.log.ErrorContext(ctx, "fetch of content panicked", "content_artifact", f.id,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		f.app.mu.Lock()
		f.app.forget(f)
		f.app.mu.Unlock()
		f.spool.finish(err)
	}()
	err = f.fetch(ctx)
}

// fetch tries the sources in turn, as long as no client has seen a byte.
func (f *flight) fetch(ctx context.Context) error {
	if err := f.lookAgain(ctx); err != nil {
		return err
	}
	var fault error
	for i, s := range f.sources {
		err := f.try(ctx, s, i == len(f.sources)-1)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.app.log.WarnContext(ctx, "fetch of content failed", "content_artifact", f.id,
			"remote", s.RemoteID, "url", download.Redact(s.URL), "err", err)
		if errors.Is(err, errSpool) {
			return err
		}
		fault = worse(fault, fetchError(err))
		if f.spool.Reset() != nil {
			return fault // also for those who have not read any of it
		}
	}
	return fault
}

// lookAgain returns errInStore if a flight that ended just now has brought the file.
func (f *flight) lookAgain(ctx context.Context) error {
	now, err := lookup.FileByContentArtifact(ctx, f.app.db, f.id)
	if err != nil {
		return err
	}
	if now.ArtifactID == nil {
		return nil
	}
	f.file = now
	there, err := f.app.store.Exists(ctx, storage.ArtifactKey(now.SHA256))
	if err == nil && there {
		return errInStore
	}
	return err
}

// try fetches the file from one source, and stores it if the remote's policy says so. If the source is not the last one
// it gets little time to answer and no second attempt unless a client has read something.
func (f *flight) try(ctx context.Context, s *lookup.RemoteSource, last bool) error {
	a := f.app
	row, err := s.Remote(ctx, a.db)
	if err != nil {
		return err
	}
	remote := row.AsRemote()
	client, err := a.client(remote)
	if err != nil {
		return err
	}
	expect := expectation(f.file, s)
	sink := &tee{ctx: ctx, spool: f.spool, log: a.log}
	defer sink.abort()
	storing := newStoring(ctx)
	defer storing.end()
	f.keep(remote.Policy != models.Streamed)
	if remote.Policy != models.Streamed {
		sink.store = func() (*storage.Writer, error) { return a.store.NewArtifactWriter(storing.ctx, expect) }
	}
	limits := &sourceLimits{last: last, silence: readTimeout(remote)}
	dctx, stop := limits.start(ctx)
	defer stop()
	_, err = client.Stream(dctx, &download.Request{
		URL: s.URL, Expect: expect, MaxSize: a.opts.MaxFetchSize, MaxWait: limits.maxWait(),
		KeepTrying: func(error) bool { return last || f.spool.read() },
		Admit: func(ctx context.Context) (func(), error) {
			leave, err := a.gate.enter(ctx, s.RemoteID)
			if err == nil && !f.spool.read() {
				limits.asked()
			}
			return leave, err
		},
		OnHeader: func(resp *http.Response) error {
			limits.answered()
			size := resp.ContentLength
			if expect.Size != nil {
				size = *expect.Size
			}
			f.spool.begin(size, expect.Digests.SHA256, !expect.Digests.IsZero())
			return nil
		},
	}, sink)
	if err != nil {
		if ctx.Err() == nil && dctx.Err() != nil {
			err = context.Cause(dctx)
		}
		return errors.Join(err, f.blame(ctx, s, err))
	}
	a.demoted.remove(s.ID, s.RemoteID)
	// Not after finish: a client that has the whole file may be the last one before Close.
	saving := storing.whole()
	f.spool.finish(nil)
	if saving {
		f.save(storing.ctx, sink)
	}
	return nil
}

// keep says whether the flight goes on when its clients have left.
func (f *flight) keep(kept bool) {
	f.app.mu.Lock()
	defer f.app.mu.Unlock()
	f.kept = kept
	f.app.abandon(f)
}

// blame keeps a source that sent wrong bytes from being asked again soon, and puts one that broke off or was silent, or
// a remote that could not be reached at all, behind the others.
func (f *flight) blame(ctx context.Context, s *lookup.RemoteSource, err error) error {
	if isWrong(err) {
		return s.MarkFailed(ctx, f.app.db)
	}
	_, source := errors.AsType[*download.SourceError](err)
	_, silent := errors.AsType[*silentError](err)
	status, answered := errors.AsType[*download.StatusError](err)
	switch {
	case silent, source && !f.spool.hasBegun():
		f.app.demoted.add(s.RemoteID)
	case source, answered && status.Status >= http.StatusInternalServerError:
		f.app.demoted.add(s.ID)
	}
	return nil
}

// save makes what was fetched an artifact. The clients have their bytes whatever comes of it.
func (f *flight) save(ctx context.Context, t *tee) {
	obj, stored, err := t.commit()
	if !stored {
		return
	}
	if err == nil {
		artifact := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
		err = models.AttachArtifact(ctx, f.app.db, f.app.store, f.id, artifact)
	}
	if err != nil {
		f.app.log.ErrorContext(ctx, "fetched content was not stored",
			"content_artifact", f.id, "err", err)
	}
}

// expectation returns what the bytes from a source must be. What is known of a saved artifact goes before what the
// remote says.
func expectation(f *lookup.File, s *lookup.RemoteSource) *hashlib.Expect {
	e := s.Expect()
	if f.ArtifactID != nil {
		e.Digests.SHA256, e.Size = f.SHA256, f.Expect().Size
	}
	return e
}

// client returns the client of a remote, which it shares with the tasks of this process.
func (a *App) client(r *models.Remote) (*download.Client, error) {
	version := r.Updated.UTC().Format(time.RFC3339Nano)
	c, err := a.downloads.Client(r.ID.String(), version, func() (*download.Config, error) {
		cfg := r.DownloadConfig(a.db.Checksums(), a.opts.AllowedImportPaths)
		cfg.Log = a.log
		return cfg, nil
	})
	if err != nil {
		return nil, fmt.Errorf("content: remote %q: %w", r.Name, err)
	}
	return c, nil
}
