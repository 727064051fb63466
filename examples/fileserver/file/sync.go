package file

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// checkSync refuses a mirror of a repository that publishes its versions: the manifest of a mirror is the remote's.
func checkSync(repo *Repository, a SyncArgs) error {
	if repo.Autopublish && a.Mirror {
		return rest.FieldErrors{rest.NonField: {"Cannot use mirror mode with autopublished repository."}}
	}
	return nil
}

// synchronize makes a version of what the remote has. A mirror is published with the remote's own manifest.
func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	// The arguments have keys and no rows: the rows may change between the dispatch and the start of the task.
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	first := &manifestStage{env: env, remote: remote}
	version, changed, err := stages.DeclarativeVersion{Repository: repo, First: first, Mirror: a.Mirror}.Create(ctx, env)
	// Without mirror the version also has files of earlier syncs, which the remote's manifest does not list.
	if err != nil || !changed || !a.Mirror {
		return err
	}
	return first.publish(ctx, version)
}

// manifestStage is the first stage: it declares one Content per line of the remote's manifest.
type manifestStage struct {
	env    *tasking.Env
	remote *Remote
	base   *url.URL
	path   string // of the manifest, once it is here
}

// Run implements [stages.Stage].
func (m *manifestStage) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	var err error
	if m.base, err = url.Parse(m.remote.URL); err != nil {
		return pulperr.Public(pulperr.Invalid, "remote %q: the url cannot be parsed", m.remote.Name)
	}
	if err := m.fetch(ctx); err != nil {
		return err
	}
	return m.env.Progress(ctx, "Parsing Metadata Lines", "sync.parsing.metadata", func(p *tasking.Progress) error {
		for e, err := range OpenManifest(m.path) {
			if err != nil {
				// Clients see the error of a task, and the URL of a remote may have a password.
				shown := download.Redact(m.remote.URL)
				return fmt.Errorf("%w: %w", pulperr.Public(pulperr.KindOf(err), "%s: %s", shown, pulperr.Message(err)), err)
			}
			// Not JoinPath: it would read "100%41.txt" as "100A.txt". The query may have a token that each file needs.
			location := m.base.ResolveReference(&url.URL{Path: e.Path, RawQuery: m.base.RawQuery})
			// The bytes of a deferred artifact stay at the remote: the content app fetches them when a client asks for the file.
			dc := &stages.DeclarativeContent{
				Content: &Content{RelativePath: e.Path, Digest: e.SHA256},
				Artifacts: []*stages.DeclarativeArtifact{{
					Artifact:     &models.Artifact{Size: e.Size, Digests: hashlib.SHA256Hex(e.SHA256)},
					URLs:         []string{location.String()},
					RelativePath: e.Path,
					Remote:       m.remote,
					Deferred:     m.remote.Policy != models.Immediate,
				}},
			}
			// Put waits while the next stage is busy, so a long manifest does not fill the memory.
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			p.Add(1)
		}
		return nil
	})
}

func (m *manifestStage) fetch(ctx context.Context) error {
	return m.env.Progress(ctx, "Downloading Metadata", "sync.downloading.metadata", func(p *tasking.Progress) error {
		res, err := m.env.Fetch(ctx, m.remote, m.remote.URL, nil)
		if err != nil {
			return err
		}
		// The file stays in the work directory until the task ends: a mirror is published with it.
		m.path = res.Path
		p.Add(1)
		return nil
	})
}

// defaultManifest is the path of a remote's manifest if its URL has none.
const defaultManifest = "PULP_MANIFEST"

// publish makes the publication of a mirror: the files of the version, and the manifest that the remote gave.
func (m *manifestStage) publish(ctx context.Context, version *models.RepositoryVersion) error {
	name := path.Base(m.base.Path)
	if !models.ValidPath(name) { // the url has no path, or an odd one
		name = defaultManifest
	}
	pub := &Publication{Manifest: &name}
	pub.RepositoryVersionID, pub.PassThrough = version.ID, true
	return models.Publish(ctx, m.env.DB, m.env.Store, pub, func(p *models.NewPublication) error {
		f, err := os.Open(m.path)
		if err != nil {
			return fmt.Errorf("file: open manifest: %w: %w", pulperr.Unavailable, err)
		}
		defer f.Close()
		return p.Metadata(ctx, name, f)
	})
}
