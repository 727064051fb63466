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

	pipeline atomic.Pointer[pipeline] // of the run it was put into; nil before
	awaited  atomic.Bool
	made     sync.Once
	settled  chan struct{} // made by done, closed by end
	settle   sync.Once
	reason   error // set by end: why there is no saved unit
	found    bool  // the unit existed before
}

// DeclarativeArtifact is one file of a declared unit.
type DeclarativeArtifact struct {
	// Artifact holds the known digests of the file, and its size if that is not 0. Required; it is empty if neither is
	// known. A saved artifact is used as it is and needs neither URLs nor Remote.
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

	// Between the download and the row.
	landing *landing
	refetch func(ctx context.Context) error
}

// Resolution waits until the unit has been saved and returns it. Stages that collect a batch with the unit pass it on
// at once. Call it after Put, from the stage that put it.
//
// Errors: the reason why the unit was left out; what made a stage fail; the cause of ctx.
func (dc *DeclarativeContent) Resolution(ctx context.Context) (models.AnyContent, error) {
	// The mark is set before the flush is requested, because a stage that wakes reads it.
	dc.awaited.Store(true)
	l := dc.pipeline.Load()
	if l != nil {
		l.requestFlush()
	} else {
		// A unit that was not put belongs to no run. Only its resolution and ctx end the wait.
		l = &pipeline{err: func() error { return nil }}
	}
	select {
	case <-dc.done():
	case <-ctx.Done():
	case <-l.done:
	}
	// If several channels are ready, the first select chooses one at random. A unit that is resolved is returned even if
	// the run has ended since.
	select {
	case <-dc.done():
		if dc.reason != nil {
			return nil, dc.reason
		}
		return dc.Content, nil
	default:
		return nil, l.ended(ctx)
	}
}

// Skip ends all waiting calls of Resolution with reason, because a stage leaves the unit out. A unit that is resolved
// stays resolved. It is safe for concurrent use.
func (dc *DeclarativeContent) Skip(reason error) {
	if reason == nil {
		reason = errUnsaved
	}
	dc.end(reason)
}

// resolve ends all waiting calls of Resolution without an error.
func (dc *DeclarativeContent) resolve() { dc.end(nil) }

func (dc *DeclarativeContent) end(reason error) {
	dc.settle.Do(func() {
		dc.reason = reason
		// The channel is made at its first use, which may be this one.
		dc.done()
		close(dc.settled)
	})
}

// isAwaited reports whether a call of Resolution waits for the unit now.
func (dc *DeclarativeContent) isAwaited() bool {
	if !dc.awaited.Load() {
		return false
	}
	select {
	case <-dc.done():
		return false
	default:
		return true
	}
}

func (dc *DeclarativeContent) done() <-chan struct{} {
	dc.made.Do(func() { dc.settled = make(chan struct{}) })
	return dc.settled
}

// check makes sure that the required fields are there.
func (dc *DeclarativeContent) check() error {
	if dc == nil || dc.Content == nil {
		return pulperr.Public(pulperr.Invalid, "stages: a DeclarativeContent needs its Content")
	}
	for _, da := range dc.Artifacts {
		switch {
		case da == nil || da.Artifact == nil:
			return pulperr.Public(pulperr.Invalid, "stages: a DeclarativeArtifact needs its Artifact")
		case !models.ValidPath(da.RelativePath):
			return pulperr.Field("relative_path", "Relative path is not in canonical form. %s", da.RelativePath)
		case !da.saved() && (len(da.URLs) == 0 || da.Remote == nil):
			return pulperr.Public(pulperr.Invalid,
				"stages: the artifact at %q is not saved, so it needs a URL and a Remote", da.RelativePath)
		}
	}
	if p := dc.doublePath(); p != "" {
		return pulperr.Field("relative_path", "The path %q stands twice in one unit.", p)
	}
	return nil
}

// doublePath returns a path that two files of the unit have, or "".
func (dc *DeclarativeContent) doublePath() string {
	if len(dc.Artifacts) <= 8 { // cheaper without a map
		for i, da := range dc.Artifacts {
			for _, other := range dc.Artifacts[:i] {
				if da.RelativePath == other.RelativePath {
					return da.RelativePath
				}
			}
		}
		return ""
	}
	seen := make(map[string]bool, len(dc.Artifacts))
	for _, da := range dc.Artifacts {
		if seen[da.RelativePath] {
			return da.RelativePath
		}
		seen[da.RelativePath] = true
	}
	return ""
}

// saved reports whether the artifact has a row.
func (da *DeclarativeArtifact) saved() bool { return da.Artifact.ID != uuid.Nil }
