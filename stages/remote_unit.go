package stages

import (
	"context"
	"fmt"
	"os"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// together fetches the files of a unit whose type fetches them itself, and returns how many. Their artifacts are saved.
func (f *fetcher) together(ctx context.Context, dc *DeclarativeContent, unit models.RemoteUnit) (int64, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-f.slots }()
	var remote models.AnyRemote
	for _, da := range dc.Artifacts {
		if !da.saved() && !da.Deferred {
			remote = da.Remote
		}
	}
	client, err := f.env.Client(remote)
	if err != nil {
		return 0, err
	}
	root, err := f.env.MkdirTemp("unit-")
	if err != nil {
		return 0, err
	}
	// The work directory is removed with the task only, and would need as much space as the store.
	defer os.RemoveAll(root.Name())
	defer root.Close()
	files, err := unit.FetchUnit(ctx, &models.Pull{
		DB: f.env.DB, Remote: remote, Dir: root.Name(),
		Fetch: func(ctx context.Context, req *download.Request) (*download.Result, error) {
			return client.Fetch(ctx, root.Name(), req)
		},
	})
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		if err := f.take(ctx, dc, remote, file); err != nil {
			return 0, err
		}
	}
	for _, da := range dc.Artifacts {
		if !da.saved() && !da.Deferred {
			return 0, fmt.Errorf("stages: %T.FetchUnit has not returned the declared file %q: %w", unit, da.RelativePath,
				pulperr.Internal)
		}
	}
	return int64(len(files)), nil
}

// take makes a fetched file an artifact of the unit, which may have declared it.
func (f *fetcher) take(ctx context.Context, dc *DeclarativeContent, from models.AnyRemote, file models.PulledFile,
) error {
	artifact, err := models.ArtifactFromFile(ctx, f.env.DB, f.env.Store, file.Path)
	if err != nil {
		return err
	}
	var urls []string
	if file.URL != "" {
		urls = []string{file.URL}
	}
	for _, da := range dc.Artifacts {
		if da.RelativePath == file.RelativePath {
			da.Artifact, da.URLs, da.Deferred = artifact, urls, false
			return nil
		}
	}
	dc.Artifacts = append(dc.Artifacts, &DeclarativeArtifact{
		Artifact: artifact, URLs: urls, RelativePath: file.RelativePath, Remote: from,
	})
	return nil
}
