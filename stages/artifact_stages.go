package stages

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// QueryExistingArtifacts replaces declared artifacts by saved ones with the same digest. An artifact that shall be
// downloaded must not carry a digest that is not allowed.
type QueryExistingArtifacts struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *QueryExistingArtifacts) Run(ctx context.Context, in *In, out *Out) error {
	for batch, err := range in.Batches(ctx, 0) {
		if err != nil {
			return err
		}
		if err := s.query(ctx, batch); err != nil {
			return err
		}
		if err := putAll(ctx, out, batch); err != nil {
			return err
		}
	}
	return nil
}

// reliable are the digests that identify bytes beyond doubt, the most likely one first.
func reliable() []hashlib.Algorithm {
	return []hashlib.Algorithm{hashlib.SHA256, hashlib.SHA512, hashlib.SHA384}
}

func (s *QueryExistingArtifacts) query(ctx context.Context, batch []*DeclarativeContent) error {
	wanted := map[hashlib.Algorithm][]*DeclarativeArtifact{}
	for da := range artifacts(batch) {
		if da.saved() {
			continue
		}
		for a, digest := range da.Artifact.All() {
			if !da.Deferred && !s.DB.Checksums().Allowed(a) {
				return fmt.Errorf("stages: artifact %s at %q: %w", digest, da.RelativePath,
					&hashlib.UnsupportedError{Algorithm: a})
			}
		}
		for _, a := range reliable() {
			if da.Artifact.Get(a) != "" {
				wanted[a] = append(wanted[a], da)
				break
			}
		}
	}
	for a, list := range wanted {
		digests := make([]string, len(list))
		for i, da := range list {
			digests[i] = da.Artifact.Get(a)
		}
		found, err := models.FindArtifacts(ctx, s.DB, a, digests)
		if err != nil {
			return err
		}
		for _, da := range list {
			// One that is not what else was declared is no match; then the download says what is wrong.
			saved := found[da.Artifact.Get(a)]
			if saved != nil && da.Artifact.Expect().Check(saved.Digests, saved.Size) == nil {
				da.Artifact = saved
			}
		}
	}
	return nil
}

// DefaultConcurrentContent is how many units are downloaded at a time. How many requests a remote gets at a time is
// the remote's own setting.
const DefaultConcurrentContent = 200

// ArtifactDownloader downloads what is neither saved nor deferred, straight into the store, and verifies it on the
// way. Units leave in the order in which they are complete.
type ArtifactDownloader struct {
	Env           *tasking.Env
	MaxConcurrent int // units at a time; 0 means DefaultConcurrentContent

	// OnError decides what becomes of a unit that cannot be downloaded: nil leaves it out, an error ends the sync.
	// A mirror removes what was left out, if the repository had it. It may be called concurrently. Default: err.
	OnError func(ctx context.Context, dc *DeclarativeContent, err error) error
}

// Run implements [Stage].
func (s *ArtifactDownloader) Run(ctx context.Context, in *In, out *Out) error {
	limit := s.MaxConcurrent
	if limit <= 0 {
		limit = DefaultConcurrentContent
	}
	return s.Env.Progress(ctx, "Downloading Artifacts", "sync.downloading.artifacts", func(p *tasking.Progress) error {
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(limit)
		err := func() error {
			for dc, err := range in.Items(gctx) {
				if err != nil {
					return err
				}
				if !needsDownload(dc) {
					if err := out.Put(gctx, dc); err != nil {
						return err
					}
					continue
				}
				group.Go(func() error { return s.handle(gctx, dc, out, p) })
			}
			return nil
		}()
		// A failed download cancels gctx, so it is the reason why reading stopped and goes first.
		if werr := group.Wait(); werr != nil {
			return werr
		}
		return err
	})
}

// handle downloads a unit and puts it, or leaves it out.
func (s *ArtifactDownloader) handle(ctx context.Context, dc *DeclarativeContent, out *Out, p *tasking.Progress) error {
	n, err := s.download(ctx, dc)
	if err != nil && s.OnError != nil && ctx.Err() == nil {
		reason := err
		if err = s.OnError(ctx, dc, reason); err == nil {
			s.Env.Log.WarnContext(ctx, "unit is left out of the version", "err", reason)
			dc.Skip(reason)
			return nil
		}
	}
	if err != nil {
		return err
	}
	p.Add(n)
	return out.Put(ctx, dc)
}

func needsDownload(dc *DeclarativeContent) bool {
	for _, da := range dc.Artifacts {
		if !da.saved() && !da.Deferred {
			return true
		}
	}
	return false
}

// download fetches the missing files of a unit side by side and returns how many. The first failure stops the others.
func (s *ArtifactDownloader) download(ctx context.Context, dc *DeclarativeContent) (int64, error) {
	group, gctx := errgroup.WithContext(ctx)
	n := int64(0)
	for _, da := range dc.Artifacts {
		if !da.saved() && !da.Deferred {
			n++
			group.Go(func() error { return s.fetch(gctx, da) })
		}
	}
	return n, group.Wait()
}

// fetch tries the URLs in turn. The artifact becomes what was downloaded, with all digests.
func (s *ArtifactDownloader) fetch(ctx context.Context, da *DeclarativeArtifact) error {
	client, err := s.Env.Client(da.Remote)
	if err != nil {
		return err
	}
	var errs []error
	for _, url := range da.URLs {
		obj, err := fetchTo(ctx, s.Env.Store, client, url, da.Artifact.Expect())
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

func fetchTo(ctx context.Context, store *storage.Store, client *download.Client, url string, expect *hashlib.Expect,
) (storage.Object, error) {
	w, err := store.NewArtifactWriter(ctx, expect)
	if err != nil {
		return storage.Object{}, err
	}
	defer w.Abort() //nolint:errcheck // after Commit it does nothing, after a failure that one is reported
	if _, err := client.Stream(ctx, &download.Request{URL: url, Expect: expect}, w); err != nil {
		return storage.Object{}, err
	}
	return w.Commit()
}

// ArtifactSaver saves the rows of what was downloaded, in bulk.
type ArtifactSaver struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *ArtifactSaver) Run(ctx context.Context, in *In, out *Out) error {
	for batch, err := range in.Batches(ctx, 0) {
		if err != nil {
			return err
		}
		var rows []*models.Artifact
		for da := range artifacts(batch) {
			if !da.saved() && !da.Deferred {
				rows = append(rows, da.Artifact)
			}
		}
		if err := models.SaveArtifacts(ctx, s.DB, rows); err != nil {
			return err
		}
		if err := putAll(ctx, out, batch); err != nil {
			return err
		}
	}
	return nil
}

// RemoteArtifactSaver records where files can be fetched from, for those that are deferred and for those that may have
// to be fetched again.
type RemoteArtifactSaver struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *RemoteArtifactSaver) Run(ctx context.Context, in *In, out *Out) error {
	for batch, err := range in.Batches(ctx, 0) {
		if err != nil {
			return err
		}
		var rows []*models.RemoteArtifact
		for da := range artifacts(batch) {
			if da.Remote == nil || len(da.URLs) == 0 {
				continue
			}
			rows = append(rows, &models.RemoteArtifact{
				ContentArtifactID: da.contentArtifact, RemoteID: da.Remote.PulpID(), URL: da.URLs[0],
				Size: da.Artifact.Expect().Size, Digests: da.Artifact.Digests,
			})
		}
		if err := models.SaveRemoteArtifacts(ctx, s.DB, rows); err != nil {
			return err
		}
		if err := putAll(ctx, out, batch); err != nil {
			return err
		}
	}
	return nil
}
