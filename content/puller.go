package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// puller fetches and saves units that only a remote has, each once at a time, however many clients want its files.
type puller struct {
	db        *models.DB
	store     *storage.Store
	downloads *download.Pool
	opts      *Options
	gate      *gate // of the fetcher: a pull takes a place as any other fetch does
	jobs      *jobs
	types     []string // of content whose files are fetched together

	mu      sync.Mutex
	running map[string]*pulling // by remote and natural key
}

// pulling is a pull that is under way. Its result can be read when done is closed.
type pulling struct {
	done chan struct{}
	got  *pulled
	err  error
}

// pulled is a unit that was fetched from a remote.
type pulled struct {
	unit  uuid.UUID
	files map[string]uuid.UUID // content artifacts by path
	whole bool                 // none of the files is at the remote only
}

func newPuller(fe *fetcher) *puller {
	var types []string
	for t := range fe.db.Registry().Types() {
		if _, ok := t.New().(models.RemoteUnit); ok {
			types = append(types, t.Name())
		}
	}
	return &puller{
		types: types, db: fe.db, store: fe.store, downloads: fe.downloads, opts: fe.opts, gate: fe.gate, jobs: fe.jobs,
		running: map[string]*pulling{},
	}
}

func (p *puller) clientOf(remote models.AnyRemote) (*download.Client, error) {
	return remote.AsRemote().DownloadClient(p.downloads, p.db.Checksums(), p.opts.AllowedImportPaths, p.opts.Log)
}

// unitOf returns the unit of a file that is at a remote, if all files of its type are fetched together, and else nil.
func (p *puller) unitOf(ctx context.Context, f *lookup.File) (models.RemoteUnit, error) {
	// A stored file whose bytes are lost has a digest, so it is fetched alone.
	if len(p.types) == 0 || f.ArtifactID != nil {
		return nil, nil
	}
	unit, pulpType, err := lookup.UnitOf(ctx, p.db, f.ContentArtifactID)
	if err != nil || !slices.Contains(p.types, pulpType) {
		return nil, err
	}
	row, err := models.Load(ctx, p.db, models.ContentMaster, pulpType, unit)
	if err != nil {
		return nil, err
	}
	return row.(models.RemoteUnit), nil
}

// pull returns the unit when it is saved.
func (p *puller) pull(ctx context.Context, remote models.AnyRemote, unit models.RemoteUnit) (*pulled, error) {
	natural, err := models.NaturalKey(p.db, unit)
	if err != nil {
		return nil, err
	}
	running, err := p.join(ctx, fmt.Sprintf("%s %T %q", remote.PulpID(), unit, natural), remote, unit)
	if err != nil {
		return nil, err
	}
	select {
	case <-running.done:
		return running.got, running.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// join returns the pull of a unit, a new one if there is none.
func (p *puller) join(ctx context.Context, key string, remote models.AnyRemote, unit models.RemoteUnit,
) (*pulling, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.running[key]; running != nil {
		return running, nil
	}
	running := &pulling{done: make(chan struct{}), err: errInterrupted}
	// The pull outlives the request that started it: other clients may join, and the unit is saved for later ones.
	_, err := p.jobs.start(ctx, func(ctx context.Context) {
		defer func() {
			// net/http recovers only in its own goroutines; here a panic of a plugin would end the process.
			if fault := recover(); fault != nil {
				p.opts.Log.ErrorContext(ctx, "pull of content panicked", "unit", key, "panic", fmt.Sprint(fault),
					"stack", string(debug.Stack()))
			}
			p.mu.Lock()
			delete(p.running, key)
			p.mu.Unlock()
			close(running.done)
		}()
		running.got, running.err = p.run(ctx, remote, unit)
		if running.err != nil && !errors.Is(running.err, pulperr.NotFound) {
			p.opts.Log.WarnContext(ctx, "pull of content failed", "unit", key, "err", running.err)
		}
	})
	if err != nil {
		return nil, err
	}
	p.running[key] = running
	return running, nil
}

// run returns the unit as it was saved by an earlier pull, or fetches and saves it.
func (p *puller) run(ctx context.Context, remote models.AnyRemote, unit models.RemoteUnit) (*pulled, error) {
	exists, err := models.FindContents(ctx, p.db, []models.AnyContent{unit})
	if err != nil {
		return nil, err
	}
	if exists[0] {
		// A unit that another remote or an upload has brought may be none of this distribution's business, so it is served
		// only when this remote has shown that it has the same files.
		known, err := lookup.IsFrom(ctx, p.db, unit.PulpID(), remote.PulpID())
		if err != nil {
			return nil, err
		}
		if known {
			if got, err := p.saved(ctx, unit.PulpID()); err != nil || got.whole {
				return got, err
			}
		}
	}
	client, err := p.clientOf(remote)
	if err != nil {
		return nil, err
	}
	dir, err := p.makeDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files, err := unit.FetchUnit(ctx, &models.Pull{
		DB: p.db, Remote: remote, Dir: dir,
		Fetch: func(ctx context.Context, req *download.Request) (*download.Result, error) {
			own := *req
			own.MaxWait = readTimeout(remote.AsRemote())
			own.Admit = func(ctx context.Context) (func(), error) { return p.gate.enter(ctx, remote.PulpID()) }
			if own.MaxSize == 0 {
				own.MaxSize = p.opts.MaxFetchSize
			}
			return client.Fetch(ctx, dir, &own)
		},
	})
	if err != nil {
		return nil, err
	}
	return p.save(ctx, &models.ContentWithFiles{Content: unit, Exists: exists[0]}, remote, files)
}

// makeDir makes the directory of a pull.
func (p *puller) makeDir() (string, error) {
	if p.opts.WorkDir == "" {
		return "", fmt.Errorf("%w: Options.WorkDir is not set: %w", errSpool, pulperr.Unavailable)
	}
	dir, err := os.MkdirTemp(p.opts.WorkDir, "pulp-pull-")
	if err != nil {
		return "", fmt.Errorf("%w: %w: %w", errSpool, pulperr.Unavailable, err)
	}
	return dir, nil
}

// saved returns a unit that is saved.
func (p *puller) saved(ctx context.Context, unit uuid.UUID) (*pulled, error) {
	files, err := models.ContentArtifacts(ctx, p.db, []uuid.UUID{unit})
	if err != nil {
		return nil, err
	}
	got := &pulled{unit: unit, files: map[string]uuid.UUID{}, whole: true}
	for _, f := range files[unit] {
		got.files[f.RelativePath] = f.ID
		got.whole = got.whole && f.ArtifactID != nil
	}
	return got, nil
}

// save stores the files of a unit and saves it with them, and where they can be fetched again.
func (p *puller) save(
	ctx context.Context, unit *models.ContentWithFiles, remote models.AnyRemote, files []models.PulledFile,
) (*pulled, error) {
	artifacts := make([]*models.Artifact, len(files))
	for i, f := range files {
		var err error
		if artifacts[i], err = models.ArtifactFromFile(ctx, p.db, p.store, f.Path); err != nil {
			return nil, err
		}
		unit.Files = append(unit.Files, models.ContentFile{RelativePath: f.RelativePath, ArtifactID: &artifacts[i].ID})
	}
	if err := models.SaveContents(ctx, p.db, []*models.ContentWithFiles{unit}); err != nil {
		return nil, err
	}
	var sources []*models.RemoteArtifact
	for i, f := range files {
		if f.URL != "" {
			sources = append(sources, &models.RemoteArtifact{
				ContentArtifactID: unit.Files[i].ID, RemoteID: remote.PulpID(), URL: f.URL, Size: &artifacts[i].Size,
				Digests: artifacts[i].Digests,
			})
		}
	}
	if err := models.SaveRemoteArtifacts(ctx, p.db, sources); err != nil {
		return nil, err
	}
	return p.saved(ctx, unit.Content.PulpID())
}

// metadata returns what a remote has at a path below its URL.
func (p *puller) metadata(ctx context.Context, remote models.AnyRemote, path string, limit int64) ([]byte, error) {
	at, err := url.Parse(remote.AsRemote().URL)
	if err != nil {
		return nil, pulperr.Public(pulperr.Invalid, "remote %q: the url cannot be parsed", remote.AsRemote().Name)
	}
	// Not JoinPath: it would read "100%41.txt" as "100A.txt". The query may have a token.
	at.Path, at.RawPath = strings.TrimRight(at.Path, "/")+"/"+path, ""
	client, err := p.clientOf(remote)
	if err != nil {
		return nil, err
	}
	got, err := client.Share(ctx, fmt.Sprintf("%d %s", limit, at), func(ctx context.Context) (any, error) {
		var sink memory
		_, err := client.Stream(ctx, &download.Request{URL: at.String(), MaxSize: limit}, &sink)
		return sink.Bytes(), err
	})
	if err != nil {
		return nil, fetchError(err)
	}
	return got.([]byte), nil
}

// memory is a sink that keeps the bytes.
type memory struct{ bytes.Buffer }

// Reset implements [download.Sink].
func (m *memory) Reset() error {
	m.Buffer.Reset()
	return nil
}
