package stages

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// fetcher downloads the files of units, a limited number at a time. It is safe for concurrent use.
type fetcher struct {
	env     *tasking.Env
	slots   chan struct{} // one for each file
	fetched fetchedFiles
	landing *landing // of the stage; nil: bytes without a row are left to the sweep
}

func newFetcher(env *tasking.Env, limit int) *fetcher {
	return &fetcher{env: env, slots: make(chan struct{}, limit), fetched: fetchedFiles{limit: maxFetchedFiles}}
}

// unit fetches the missing files of a unit side by side and returns how many. The first failure stops the others.
func (f *fetcher) unit(ctx context.Context, dc *DeclarativeContent) (n int64, err error) {
	if unit, ok := dc.Content.(models.RemoteUnit); ok {
		return f.together(ctx, dc, unit)
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, da := range dc.Artifacts {
		if da.saved() || da.Deferred {
			continue
		}
		n++
		// A slot is taken before the goroutine starts, because a unit may have any number of files.
		select {
		case f.slots <- struct{}{}:
		// The loop goes on without the other files, and Wait returns the error that has canceled gctx.
		case <-gctx.Done():
			continue
		}
		group.Go(caught(func() error {
			defer func() { <-f.slots }()
			return f.fetch(gctx, da)
		}))
	}
	if err := group.Wait(); err != nil {
		return n, err
	}
	// If ctx has ended, files were passed over without an error in the group.
	return n, context.Cause(ctx)
}

// fetch brings one file into the store, and notes that its bytes have no row yet.
func (f *fetcher) fetch(ctx context.Context, da *DeclarativeArtifact) error {
	if err := f.share(ctx, da); err != nil {
		return err
	}
	if f.landing != nil {
		f.landing.add(da.Artifact.SHA256)
		da.landing = f.landing
	}
	da.refetch = func(ctx context.Context) error { return f.share(ctx, da) }
	return nil
}

// share brings one file into the store. The artifact gets the size and all digests of the bytes. A file that another
// unit, or another sync of this process from the same remote, is fetching now or has just brought is not fetched again.
func (f *fetcher) share(ctx context.Context, da *DeclarativeArtifact) error {
	client, err := f.env.Client(da.Remote)
	if err != nil {
		return err
	}
	key := identity(da.Artifact.Digests)
	// A URL does not identify bytes, so files without a reliable digest share no download.
	if key == "" {
		return f.download(ctx, client, da)
	}
	v, err := client.Share(ctx, key, func(ctx context.Context) (any, error) {
		if obj, ok := f.fetched.get(key); ok && f.usable(ctx, da, obj) {
			return obj, nil
		}
		if err := f.download(ctx, client, da); err != nil {
			return nil, err
		}
		obj := storage.Object{Size: da.Artifact.Size, Digests: da.Artifact.Digests}
		f.fetched.put(key, obj) // before the next call with this key can begin
		return obj, nil
	})
	if err != nil {
		return err
	}
	obj := v.(storage.Object)
	// The digest of this declaration fits and its size or another digest does not. A download of its own fails with an
	// error that names the difference.
	if da.Artifact.Expect().Check(obj.Digests, obj.Size) != nil {
		return f.download(ctx, client, da)
	}
	f.fetched.put(key, obj) // it may come from another sync
	da.Artifact = &models.Artifact{Size: obj.Size, Digests: obj.Digests}
	return nil
}

// usable reports whether bytes that were fetched before are those of the artifact and are still in the store.
func (f *fetcher) usable(ctx context.Context, da *DeclarativeArtifact, obj storage.Object) bool {
	if da.Artifact.Expect().Check(obj.Digests, obj.Size) != nil {
		return false
	}
	there, err := f.env.Store.Exists(ctx, storage.ArtifactKey(obj.Digests.SHA256))
	return err == nil && there
}

// download tries the URLs in turn.
func (f *fetcher) download(ctx context.Context, client *download.Client, da *DeclarativeArtifact) error {
	var errs []error
	for _, url := range da.URLs {
		w := &lateWriter{ctx: ctx, store: f.env.Store, expect: da.Artifact.Expect()}
		obj, err := w.fetch(ctx, client, url)
		if err == nil {
			da.Artifact = &models.Artifact{Size: obj.Size, Digests: obj.Digests}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("stages: download %q: %w", da.RelativePath, errors.Join(errs...))
}

// identity names the bytes that have a reliable digest, or is "".
func identity(d hashlib.Digests) string {
	for _, a := range reliable() {
		if digest := d.Get(a); digest != "" {
			return string(a) + ":" + digest
		}
	}
	return ""
}

// lateWriter begins to write into the store at the first byte: while a download waits for its turn, or between two
// attempts that start over, no file is open.
type lateWriter struct {
	ctx    context.Context
	store  *storage.Store
	expect *hashlib.Expect
	w      *storage.Writer // nil before the first byte
	err    error           // of its making
}

func (l *lateWriter) fetch(ctx context.Context, client *download.Client, url string) (storage.Object, error) {
	defer l.abort() //nolint:errcheck // no effect after Commit; a failure before it has its own error
	if _, err := client.Stream(ctx, &download.Request{URL: url, Expect: l.expect}, l); err != nil {
		return storage.Object{}, err
	}
	if err := l.open(); err != nil {
		return storage.Object{}, err
	}
	return l.w.Commit()
}

func (l *lateWriter) open() error {
	if l.w == nil && l.err == nil {
		l.w, l.err = l.store.NewArtifactWriter(l.ctx, l.expect)
	}
	return l.err
}

// Write adds p.
func (l *lateWriter) Write(p []byte) (int, error) {
	if err := l.open(); err != nil {
		return 0, err
	}
	return l.w.Write(p)
}

// Reset forgets all bytes.
func (l *lateWriter) Reset() error {
	err := l.abort()
	l.w, l.err = nil, nil
	return err
}

// Digests returns the digests of the bytes so far. It returns none if the store has refused a writer; Write and fetch
// return that error.
func (l *lateWriter) Digests() hashlib.Digests {
	if l.open() != nil {
		return hashlib.Digests{}
	}
	return l.w.Digests()
}

func (l *lateWriter) abort() error {
	if l.w == nil {
		return nil
	}
	return l.w.Abort()
}

// maxFetchedFiles is more than the units that a line of stock stages holds between the look for saved artifacts and the
// saving of new ones. A unit after them finds the saved artifact.
const maxFetchedFiles = 4096

// fetchedFiles remembers the files that were fetched last, by identity, until the rows of their artifacts are saved.
type fetchedFiles struct {
	limit int

	mu    sync.Mutex
	files map[string]storage.Object
	order []string // a ring of the keys
	next  int
}

func (f *fetchedFiles) get(key string) (storage.Object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	obj, ok := f.files[key]
	return obj, ok
}

func (f *fetchedFiles) put(key string, obj storage.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.files[key]; ok {
		return
	}
	if f.files == nil {
		f.files = map[string]storage.Object{}
	}
	if len(f.order) < f.limit {
		f.order = append(f.order, key)
	} else {
		delete(f.files, f.order[f.next])
		f.order[f.next] = key
		f.next = (f.next + 1) % f.limit
	}
	f.files[key] = obj
}
