package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
)

var (
	errUnused  = errors.New("content: no client is left that wants the file")
	errInStore = errors.New("content: the file is in the store by now")

	errInterrupted = errors.New("content: the fetch was interrupted by a panic or runtime.Goexit")
)

// flight is a fetch of one file that is under way. All clients that want the file read its spool.
type flight struct {
	fetcher *fetcher
	id      uuid.UUID    // of the content artifact
	file    *lookup.File // only for run
	sources []*lookup.RemoteSource
	spool   *spool
	cancel  context.CancelCauseFunc

	// Guarded by fetcher.mu.
	clients  int
	retained bool // the file will be stored: the fetch goes on without clients
}

// fetcher fetches files from remotes, each once at a time, however many clients want it.
type fetcher struct {
	db        *models.DB
	store     *storage.Store
	downloads *download.Pool
	log       *slog.Logger
	opts      *Options
	gate      *gate
	demoted   *demotions

	mu      sync.Mutex
	closed  bool
	flights map[uuid.UUID]*flight // by content artifact
	running sync.WaitGroup        // of flights
}

func newFetcher(db *models.DB, store *storage.Store, downloads *download.Pool, o *Options) *fetcher {
	return &fetcher{
		db: db, store: store, downloads: downloads, log: o.Log, opts: o, gate: newGate(o.MaxFetches, maxGateWait),
		demoted: newDemotions(o.FailureCooldown), flights: map[uuid.UUID]*flight{},
	}
}

// sources returns where a file can be fetched from, the best source first.
func (fe *fetcher) sources(ctx context.Context, f *lookup.File) ([]*lookup.RemoteSource, error) {
	list, err := lookup.RemoteSources(ctx, fe.db, f.ContentArtifactID, time.Now().Add(-fe.opts.FailureCooldown))
	if err != nil {
		return nil, err
	}
	fe.demoted.order(list)
	return list, nil
}

// close cuts all fetches short, waits for them and refuses new ones.
func (fe *fetcher) close() {
	fe.mu.Lock()
	fe.closed = true
	for _, f := range fe.flights {
		f.cancel(errClosed)
	}
	fe.mu.Unlock()
	fe.running.Wait()
}

// drain refuses new fetches and waits for those that are under way, until ctx is done.
func (fe *fetcher) drain(ctx context.Context) error {
	fe.mu.Lock()
	fe.closed = true
	fe.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last fetch, which close cuts short
		defer close(done)
		fe.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns the flight that fetches a file, a new one if there is none. Without sources it returns one that is under
// way, or nil.
func (fe *fetcher) join(ctx context.Context, f *lookup.File, sources []*lookup.RemoteSource) (*flight, error) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	fl := fe.flights[f.ContentArtifactID]
	if fl == nil && len(sources) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	if fl == nil {
		if fe.closed {
			return nil, errClosed
		}
		// It outlives the request that started it, if only to store what was begun.
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		fl = &flight{
			fetcher: fe, id: f.ContentArtifactID, file: f, sources: sources, spool: newSpool(fe.opts.WorkDir), cancel: cancel,
		}
		fe.flights[f.ContentArtifactID] = fl
		fe.running.Go(func() { fl.run(ctx) })
	}
	fl.clients++
	fl.spool.retain()
	return fl, nil
}

// release drops one client's reference to a flight. A flight without clients is canceled unless its file will be
// stored.
func (fe *fetcher) release(f *flight) {
	fe.mu.Lock()
	f.clients--
	fe.cancelIfUnused(f)
	fe.mu.Unlock()
	f.spool.release()
}

// cancelIfUnused cancels a flight that has no clients and whose file will not be stored. The caller holds mu.
func (fe *fetcher) cancelIfUnused(f *flight) {
	if f.clients > 0 || f.retained {
		return
	}
	f.cancel(errUnused)
	fe.remove(f)
}

// remove lets no client join a flight any more. The caller holds mu.
func (fe *fetcher) remove(f *flight) {
	if fe.flights[f.id] == f {
		delete(fe.flights, f.id)
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
			f.fetcher.log.ErrorContext(ctx, "fetch of content panicked", "content_artifact", f.id,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		f.fetcher.mu.Lock()
		f.fetcher.remove(f)
		f.fetcher.mu.Unlock()
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
		f.fetcher.log.WarnContext(ctx, "fetch of content failed", "content_artifact", f.id,
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
	now, err := lookup.FileByContentArtifact(ctx, f.fetcher.db, f.id)
	if err != nil {
		return err
	}
	if now.ArtifactID == nil {
		return nil
	}
	f.file = now
	there, err := f.fetcher.store.Exists(ctx, storage.ArtifactKey(now.SHA256))
	if err == nil && there {
		return errInStore
	}
	return err
}

// try fetches the file from one source, and stores it if the remote's policy says so. If the source is not the last one
// it gets little time to answer and no second attempt unless a client has read something.
func (f *flight) try(ctx context.Context, s *lookup.RemoteSource, last bool) error {
	fe := f.fetcher
	row, err := s.Remote(ctx, fe.db)
	if err != nil {
		return err
	}
	remote := row.AsRemote()
	client, err := remote.DownloadClient(fe.downloads, fe.db.Checksums(), fe.opts.AllowedImportPaths, fe.log)
	if err != nil {
		return err
	}
	expect := expectation(f.file, s)
	sink := &tee{ctx: ctx, spool: f.spool, log: fe.log}
	defer sink.abort()
	storing := newStoring(ctx)
	defer storing.end()
	f.setRetained(remote.Policy != models.Streamed)
	if remote.Policy != models.Streamed {
		sink.store = func() (*storage.Writer, error) { return fe.store.NewArtifactWriter(storing.ctx, expect) }
	}
	limits := &sourceLimits{last: last, silence: readTimeout(remote)}
	dctx, stop := limits.start(ctx)
	defer stop()
	_, err = client.Stream(dctx, &download.Request{
		URL: s.URL, Expect: expect, MaxSize: fe.opts.MaxFetchSize, MaxWait: limits.maxWait(),
		KeepTrying: func(error) bool { return last || f.spool.read() },
		Admit: func(ctx context.Context) (func(), error) {
			leave, err := fe.gate.enter(ctx, s.RemoteID)
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
		return errors.Join(err, f.markSourceFailed(ctx, s, err))
	}
	fe.demoted.remove(s.ID, s.RemoteID)
	// Not after finish: a client that has the whole file may be the last one before Close.
	saving := storing.whole()
	f.spool.finish(nil)
	if saving {
		f.save(storing.ctx, sink)
	}
	return nil
}

// setRetained says whether the flight goes on without clients.
func (f *flight) setRetained(retained bool) {
	f.fetcher.mu.Lock()
	defer f.fetcher.mu.Unlock()
	f.retained = retained
	f.fetcher.cancelIfUnused(f)
}

// markSourceFailed keeps a source that sent wrong bytes from being asked again soon, and puts one that broke off or was
// silent, or a remote that could not be reached at all, behind the others.
func (f *flight) markSourceFailed(ctx context.Context, s *lookup.RemoteSource, err error) error {
	if isWrong(err) {
		return s.MarkFailed(ctx, f.fetcher.db)
	}
	_, source := errors.AsType[*download.SourceError](err)
	_, silent := errors.AsType[*silentError](err)
	status, answered := errors.AsType[*download.StatusError](err)
	switch {
	case silent, source && !f.spool.hasBegun():
		f.fetcher.demoted.add(s.RemoteID)
	case source, answered && status.Status >= http.StatusInternalServerError:
		f.fetcher.demoted.add(s.ID)
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
		err = models.AttachArtifact(ctx, f.fetcher.db, f.fetcher.store, f.id, artifact)
	}
	if err != nil {
		f.fetcher.log.ErrorContext(ctx, "fetched content was not stored",
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
