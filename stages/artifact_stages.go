package stages

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// QueryExistingArtifacts replaces declared artifacts by saved ones with the same digest. A file without a reliable
// digest (sha256, sha384, sha512) is looked for in the saved unit, if that exists and has the file: a unit keeps the
// bytes that it has, so no download is needed. An artifact that shall be downloaded must not carry a digest that is not
// allowed.
type QueryExistingArtifacts struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *QueryExistingArtifacts) Run(ctx context.Context, in *In, out *Out) error {
	return forBatches(ctx, in, out, func(ctx context.Context, batch []*DeclarativeContent) error {
		if err := s.query(ctx, batch); err != nil {
			return err
		}
		return s.queryUnits(ctx, batch)
	})
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
			// A digest that must not be computed cannot be compared with the bytes.
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
			// An artifact with another size or another second digest is no match. The file is downloaded then, and the error
			// of the download names the difference.
			saved := found[da.Artifact.Get(a)]
			if saved != nil && da.Artifact.Expect().Check(saved.Digests, saved.Size) == nil {
				da.Artifact = saved
			}
		}
	}
	return nil
}

// queryUnits looks for the files that no digest identifies, in the units that have them.
func (s *QueryExistingArtifacts) queryUnits(ctx context.Context, batch []*DeclarativeContent) error {
	var units []*DeclarativeContent
	var contents []models.AnyContent
	for _, dc := range batch {
		if slices.ContainsFunc(dc.Artifacts, unidentified) {
			units, contents = append(units, dc), append(contents, dc.Content)
		}
	}
	if units == nil {
		return nil
	}
	// Without this look-up, each sync would download the files again, although their units keep the bytes that they have.
	exists, err := models.FindContents(ctx, s.DB, contents)
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	for i, dc := range units {
		if exists[i] {
			ids = append(ids, dc.Content.PulpID())
		}
	}
	files, err := models.ArtifactsOf(ctx, s.DB, ids)
	if err != nil {
		return err
	}
	for i, dc := range units {
		for _, da := range dc.Artifacts {
			if !exists[i] || !unidentified(da) {
				continue
			}
			saved := files[dc.Content.PulpID()][da.RelativePath]
			if saved != nil && da.Artifact.Expect().Check(saved.Digests, saved.Size) == nil {
				da.Artifact = saved
			}
		}
	}
	return nil
}

// unidentified reports whether a file would have to be downloaded to know which one it is.
func unidentified(da *DeclarativeArtifact) bool {
	return !da.saved() && !da.Deferred && identity(da.Artifact.Digests) == ""
}

// DefaultConcurrentContent is how many units, and how many files of all of them, are downloaded at a time. How many
// requests a remote gets at a time is the remote's own setting.
const DefaultConcurrentContent = 200

// ArtifactDownloader downloads files that are neither saved nor deferred, straight into the store, and verifies them on
// the way. Units leave in the order in which they are complete. Files with the same reliable digest are downloaded
// once, however many units declare them.
type ArtifactDownloader struct {
	Env           *tasking.Env
	MaxConcurrent int // units, and files of all of them, at a time; 0 means DefaultConcurrentContent

	// OnError decides about a unit that cannot be downloaded: nil leaves it out, an error ends the sync.
	// A mirror removes a unit that was left out, if the repository had it. It may be called concurrently. Default: err.
	OnError func(ctx context.Context, dc *DeclarativeContent, err error) error

	landing landing
}

// cleanUp removes the downloaded bytes that got no row: the run failed, or the unit was left out.
func (s *ArtifactDownloader) cleanUp(ctx context.Context) { s.landing.clear(ctx, s.Env) }

// Run implements [Stage].
func (s *ArtifactDownloader) Run(ctx context.Context, in *In, out *Out) error {
	limit := s.MaxConcurrent
	if limit <= 0 {
		limit = DefaultConcurrentContent
	}
	f := newFetcher(s.Env, limit)
	f.landing = &s.landing
	return s.Env.Progress(ctx, "Downloading Artifacts", "sync.downloading.artifacts", func(p *tasking.Progress) error {
		group, gctx := errgroup.WithContext(ctx)
		// At the limit Go blocks, so no more units are read. The units in flight bound the memory of a sync.
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
				group.Go(caught(func() error { return s.handle(gctx, f, dc, out, p) }))
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
func (s *ArtifactDownloader) handle(
	ctx context.Context, f *fetcher, dc *DeclarativeContent, out *Out, p *tasking.Progress,
) error {
	n, err := f.unit(ctx, dc)
	// When the run ends, all downloads fail. OnError is only asked about faults of the unit itself.
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

// ArtifactSaver saves the rows of downloaded artifacts, in bulk.
type ArtifactSaver struct {
	Env *tasking.Env
}

// Run implements [Stage].
func (s *ArtifactSaver) Run(ctx context.Context, in *In, out *Out) error {
	return forBatches(ctx, in, out, s.save)
}

// RemoteArtifactSaver records where files can be fetched from: files that are deferred, and files that may have to be
// fetched again.
type RemoteArtifactSaver struct {
	DB *models.DB
}

// Run implements [Stage].
func (s *RemoteArtifactSaver) Run(ctx context.Context, in *In, out *Out) error {
	return forBatches(ctx, in, out, s.save)
}

func (s *RemoteArtifactSaver) save(ctx context.Context, batch []*DeclarativeContent) error {
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
	return models.SaveRemoteArtifacts(ctx, s.DB, rows)
}
