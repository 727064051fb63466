package stages

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// DeclarativeContent is a unit that shall be in the new version, with its files. The pipeline replaces Content by the
// saved unit, and the artifacts by saved ones where there are bytes.
type DeclarativeContent struct {
	Content   models.AnyContent // required; unsaved is fine
	Artifacts []*DeclarativeArtifact
	Extra     any // for the plugin's own stages; the stock stages leave it alone

	awaited  atomic.Bool
	thaw     atomic.Pointer[thaw]
	once     sync.Once
	resolved chan struct{} // made by done, closed by resolve
	found    bool          // the unit existed before
}

// DeclarativeArtifact is one file of a declared unit.
type DeclarativeArtifact struct {
	// Artifact says what is known of the file: any digests, and the size if it is not 0. Required; an empty one means
	// that nothing is known. A saved artifact is used as it is and needs neither URLs nor Remote.
	Artifact *models.Artifact

	// URLs are where the file can be downloaded, the first choice first.
	URLs []string

	// RelativePath is the file's path within the unit. Required.
	RelativePath string

	// Remote is where the file comes from, and whose settings are used to download it.
	Remote models.AnyRemote

	// Deferred leaves the bytes at the remote until a client asks for them. Plugins set it to
	// remote.Policy != models.Immediate.
	Deferred bool

	Extra any // for the plugin's own stages

	contentArtifact uuid.UUID // once saved
}

// Resolution waits until the unit has been saved and returns it. The pipeline hurries: batches that hold the unit are
// not held back any longer. Call it after Put, from the stage that put it.
//
// Errors: the cause of ctx.
func (dc *DeclarativeContent) Resolution(ctx context.Context) (models.AnyContent, error) {
	dc.awaited.Store(true)
	if t := dc.thaw.Load(); t != nil {
		t.call()
	}
	select {
	case <-dc.done():
		return dc.Content, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// resolve wakes everybody who waits for the unit.
func (dc *DeclarativeContent) resolve() {
	select {
	case <-dc.done():
	default:
		close(dc.resolved)
	}
}

func (dc *DeclarativeContent) done() <-chan struct{} {
	dc.once.Do(func() { dc.resolved = make(chan struct{}) })
	return dc.resolved
}

// check makes sure that the required fields are there.
func (dc *DeclarativeContent) check() error {
	if dc == nil || dc.Content == nil {
		return pulperr.Public(pulperr.Invalid, "stages: a DeclarativeContent needs its Content")
	}
	seen := make(map[string]bool, len(dc.Artifacts))
	for _, da := range dc.Artifacts {
		switch {
		case da.Artifact == nil:
			return pulperr.Public(pulperr.Invalid, "stages: a DeclarativeArtifact needs its Artifact")
		case !models.ValidPath(da.RelativePath):
			return pulperr.Field("relative_path", "Relative path is not in canonical form. %s", da.RelativePath)
		case seen[da.RelativePath]:
			return pulperr.Field("relative_path", "The path %q stands twice in one unit.", da.RelativePath)
		case !da.saved() && (len(da.URLs) == 0 || da.Remote == nil):
			return pulperr.Public(pulperr.Invalid,
				"stages: the artifact at %q is not saved, so it needs a URL and a Remote", da.RelativePath)
		}
		seen[da.RelativePath] = true
	}
	return nil
}

// saved reports whether the artifact has a row.
func (da *DeclarativeArtifact) saved() bool { return da.Artifact.ID != uuid.Nil }
