package content

import (
	"context"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
)

// Request is a request for a path of a distribution, as the hooks of plugins get it. A hook must not change it, and
// must not keep it when it has returned.
type Request struct {
	// HTTP is the request of the client. A guard gets a copy without a body.
	HTTP *http.Request
	App  *App
	DB   *models.DB // of the App, in its domain
	// Distribution is the row in its most derived form.
	Distribution models.AnyDistribution
	// Path is what follows the base path and its slash. That of a folder ends with a slash, that of the root is empty.
	// For [Lister] and [HeaderSetter] a checkpoint is the root, and not the folder of all checkpoints.
	Path string

	site   *site
	pulls  *puller
	source *chosenSource
	asked  *asked // nil before a guard was asked
}

// chosenSource is what a request's distribution serves, looked up at most once and shared by the copies of the request.
type chosenSource struct {
	mu  sync.Mutex
	was *lookup.Source
}

func (c *chosenSource) get(find func() (*lookup.Source, error)) (*lookup.Source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.was != nil {
		return c.was, nil
	}
	// An error is not kept: it may come from the deadline of a guard, which the content app does not share.
	found, err := find()
	c.was = found
	return found, err
}

// at returns the request for another path of what it serves.
func (r *Request) at(path string) *Request {
	other := *r
	other.Path = path
	return &other
}

// of returns the request for a path within a source that was chosen already.
func (r *Request) of(source *lookup.Source, path string) *Request {
	other := r.at(path)
	other.source = &chosenSource{was: source}
	return other
}

// Source returns what the content app serves this request from. It is looked up when a hook asks first, and used by the
// content app afterwards, so that the guard and the answer agree on it.
//
// Errors: NotFound if the distribution serves nothing at the path, for example no publication yet.
func (r *Request) Source(ctx context.Context) (*Source, error) {
	found, err := r.chosen(ctx)
	if err != nil {
		return nil, err
	}
	return &Source{
		PublicationID: found.PublicationID, VersionID: found.VersionID, RepositoryID: found.RepositoryID,
		Number: found.Number, db: r.DB,
	}, nil
}

func (r *Request) chosen(ctx context.Context) (*lookup.Source, error) {
	return r.source.get(func() (*lookup.Source, error) { return r.site.source(ctx, r.Distribution, r.Path) })
}

// Source is what a distribution serves at the time of a request: a publication, or a repository version by itself.
type Source struct {
	PublicationID *uuid.UUID // nil if the version is served by itself
	VersionID     uuid.UUID  // also of a publication
	RepositoryID  uuid.UUID
	Number        int // of the version within its repository, ≥ 0

	db *models.DB
}

// Version returns the repository version that is served, or of which the publication was made.
//
// Errors: NotFound if it was deleted since.
func (s *Source) Version(ctx context.Context) (*models.RepositoryVersion, error) {
	return models.VersionByID(ctx, s.db, s.VersionID)
}

// Publication returns the publication in its most derived form, or nil if the version is served by itself.
//
// Errors: NotFound if it was deleted since.
func (s *Source) Publication(ctx context.Context) (models.AnyPublication, error) {
	if s.PublicationID == nil {
		return nil, nil
	}
	row, err := models.Cast(ctx, s.db, models.PublicationMaster, *s.PublicationID)
	if err != nil {
		return nil, err
	}
	return row.(models.AnyPublication), nil
}
