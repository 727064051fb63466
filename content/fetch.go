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
	jobs      *jobs // its flights, and other work of the App

	mu      sync.Mutex
	flights map[uuid.UUID]*flight // by content artifact
}

func newFetcher(db *models.DB, store *storage.Store, downloads *download.Pool, jobs *jobs, o *Options) *fetcher {
	return &fetcher{
		db: db, store: store, downloads: downloads, log: o.Log, opts: o, gate: newGate(o.MaxFetches, maxGateWait),
		demoted: newDemotions(o.FailureCooldown), jobs: jobs, flights: map[uuid.UUID]*flight{},
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

// join returns the flight that fetches a file, a new one if there is none. Without sources it returns a running
// flight, or nil.
func (fe *fetcher) join(ctx context.Context, f *lookup.File, sources []*lookup.RemoteSource) (*flight, error) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	fl := fe.flights[f.ContentArtifactID]
	// A running flight is joined also without sources: its remote may have been deleted since it began.
	if fl == nil && len(sources) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	if fl == nil {
		fl = &flight{
			fetcher: fe, id: f.ContentArtifactID, file: f, sources: sources, spool: newSpool(fe.opts.WorkDir),
		}
		// The flight outlives the request that started it, because other clients may join, and the file may have to be
		// stored.
		var err error
		if fl.cancel, err = fe.jobs.start(ctx, fl.run); err != nil {
			return nil, err
		}
		fe.flights[f.ContentArtifactID] = fl
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
	// The next client needs a new flight, since this one can only fail.
	fe.remove(f)
}

// remove lets no client join a flight any more. The caller holds mu.
func (fe *fetcher) remove(f *flight) {
	// A new flight may have replaced one that was canceled.
	if fe.flights[f.id] == f {
		delete(fe.flights, f.id)
	}
}

// run fetches the file and ends the flight. A panic ends it with an error.
func (f *flight) run(ctx context.Context) {
	defer f.spool.release()
	// The error of the flight if fetch panics or calls runtime.Goexit.
	err := errInterrupted
	defer func() {
		// A store's driver or a hook of a plugin's remote may panic. net/http recovers only in its own goroutines; here a
		// panic would end the process.
		if p := recover(); p != nil {
			f.fetcher.log.ErrorContext(ctx, "fetch of content panicked", "content_artifact", f.id,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		// Removed before the clients see the end, so that a client which comes now starts a new flight.
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
		// Another source cannot help if the work directory is missing or full.
		if errors.Is(err, errSpool) {
			return err
		}
		fault = worse(fault, fetchError(err))
		if f.spool.Reset() != nil {
			// A client has read bytes of this source. Clients that joined and have read none get the fault as well.
			return fault
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
	// The row may exist while its bytes were lost in the store; then the flight fetches them again.
	there, err := f.fetcher.store.Exists(ctx, storage.ArtifactKey(now.SHA256))
	if err == nil && there {
		return errInStore
	}
	return err
}

// try fetches the file from one source, and stores it unless the remote's policy is streamed. A source that is not the
// last one gets little time to answer, and no second attempt unless a client has read bytes.
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

// setRetained sets whether the flight goes on without clients.
func (f *flight) setRetained(retained bool) {
	f.fetcher.mu.Lock()
	defer f.fetcher.mu.Unlock()
	f.retained = retained
	// The clients may have left while a source before was to be stored. Without them a streamed file has no use.
	f.fetcher.cancelIfUnused(f)
}

// markSourceFailed leaves a source that sent wrong bytes out for the cool-down. It puts a source that broke off, and
// all sources of a remote that was silent or could not be reached, behind the others.
func (f *flight) markSourceFailed(ctx context.Context, s *lookup.RemoteSource, err error) error {
	if isWrong(err) {
		// In the database, because the source is wrong for all processes. The other faults only change an order.
		return s.MarkFailed(ctx, f.fetcher.db)
	}
	_, source := errors.AsType[*download.SourceError](err)
	_, silent := errors.AsType[*silentError](err)
	status, answered := errors.AsType[*download.StatusError](err)
	switch {
	// No header came, so the fault is the remote's and not that of one file.
	case silent, source && !f.spool.hasBegun():
		f.fetcher.demoted.add(s.RemoteID)
	case source, answered && status.Status >= http.StatusInternalServerError:
		f.fetcher.demoted.add(s.ID)
	}
	return nil
}

// save makes the fetched bytes an artifact.
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
		// Only logged: the clients have their bytes, and the next request fetches the file again.
		f.fetcher.log.ErrorContext(ctx, "fetched content was not stored",
			"content_artifact", f.id, "err", err)
	}
}

// expectation returns the digests and the size that the bytes from a source must have. Those of a saved artifact
// replace those of the remote.
func expectation(f *lookup.File, s *lookup.RemoteSource) *hashlib.Expect {
	e := s.Expect()
	if f.ArtifactID != nil {
		e.Digests.SHA256, e.Size = f.SHA256, f.Expect().Size
	}
	return e
}
