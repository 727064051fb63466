package content

import (
	"context"
	"errors"
	"net/http"
	"path"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// PullThrough is implemented by types of distributions that also serve units which only their remote has. The content
// app fetches such a unit at the first request for one of its files, saves it, serves it, and adds it to the
// distribution's repository by a task. The type needs [models.PullsFrom]. Mirrors pull-through caching:
// Remote.get_remote_artifact_url and Content.init_from_artifact_and_relative_path.
type PullThrough interface {
	// RemoteUnit returns the unit that a file at the request's path belongs to, not saved and with its natural key, or nil
	// if no unit of the remote can have such a file. It is called if the distribution has a remote and serves nothing else
	// at the path. It must not ask the remote or the database: that is for FetchUnit.
	RemoteUnit(r *Request) models.RemoteUnit
}

// Remote returns the remote of the distribution, or nil if it has none.
//
// Errors: NotFound if the remote's plugin is not part of this App.
func (r *Request) Remote(ctx context.Context) (models.AnyRemote, error) {
	id := r.Distribution.AsDistribution().RemoteID
	if id == nil {
		return nil, nil
	}
	row, err := models.Cast(ctx, r.DB, models.RemoteMaster, *id)
	if err != nil {
		return nil, err
	}
	return row.(models.AnyRemote), nil
}

// FetchRemote returns what the distribution's remote has at a path below its URL, at most limit bytes: for metadata
// that a [Handler] passes on, and of which nothing is kept. The path is not escaped. Requests for the same path at the
// same time share one download.
//
// Errors: NotFound if the remote has nothing there, or if there is no remote. Return other errors to the content app:
// it answers 502, 503 or 504 with them, as if a file had to be fetched.
func (r *Request) FetchRemote(ctx context.Context, path string, limit int64) ([]byte, error) {
	remote, err := r.Remote(ctx)
	if err != nil {
		return nil, err
	}
	if remote == nil {
		return nil, errNotFound
	}
	return r.pulls.metadata(ctx, remote, path, limit)
}

// servePulled answers with a file that only the remote of the distribution has. It returns absent, why the distribution
// has nothing at the path, if the remote cannot have it either.
func (s *site) servePulled(w http.ResponseWriter, req *Request, absent error) error {
	ctx, row := req.HTTP.Context(), req.Distribution.AsDistribution()
	d, ok := req.Distribution.(PullThrough)
	if !ok || row.RemoteID == nil || row.Checkpoint || !models.ValidPath(req.Path) {
		return absent
	}
	unit := d.RemoteUnit(req)
	if unit == nil {
		return absent
	}
	remote, err := req.Remote(ctx)
	if err != nil {
		return err
	}
	got, err := s.pulls.pull(ctx, remote, unit)
	if err != nil {
		return pullError(err)
	}
	id, ok := got.files[req.Path]
	if !ok {
		return absent
	}
	if row.RepositoryID != nil {
		s.adopter.adopt(ctx, *row.RepositoryID, got.unit)
	}
	file, err := lookup.FileByContentArtifact(ctx, s.db, id)
	if err != nil {
		return err
	}
	return s.files.serveFile(&answer{w: w, r: req.HTTP, header: s.files.headersOf(req), name: path.Base(req.Path)}, file)
}

// pullError turns the error of a pull into the error for the client: 404 if the remote has no such unit, 502 if what it
// has must not be served, and otherwise as for a file that is fetched.
func pullError(err error) error {
	switch {
	case errors.Is(err, pulperr.NotFound):
		return errors.Join(errNotFound, err)
	case errors.Is(err, pulperr.Invalid), errors.Is(err, pulperr.Conflict), errors.Is(err, pulperr.TooLarge):
		return &upstreamError{http.StatusBadGateway, err}
	case pulperr.KindOf(err) == pulperr.Internal, errors.Is(err, pulperr.Locked):
		return err // a fault of the plugin or of the database
	}
	return fetchError(err)
}
