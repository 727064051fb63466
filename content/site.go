package content

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// site answers with the content of distributions.
type site struct {
	app      *App // for hooks of plugins
	db       *models.DB
	finder   *lookup.Finder
	files    *fileServer
	listings *listings
	routes   *routeMux // of plugins; nil without any
	log      *slog.Logger
	prefix   string
}

// ServeHTTP answers requests that no route of a plugin matches.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		writeError(s.log, w, r, err)
	}
}

// serve returns an error only before anything was written.
func (s *site) serve(w http.ResponseWriter, r *http.Request) error {
	// net/http has decoded r.URL.Path. A second decoding would turn a name with a percent sign into another one.
	rel, below := strings.CutPrefix(r.URL.Path, s.prefix)
	if !below {
		return errNotFound
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	// base_url ends with a slash, and clients append "/x".
	base, file, doubled := strings.Cut(rel, "//")
	if doubled {
		rel = base + "/" + strings.TrimLeft(file, "/")
		// The mux was not asked about the path with two slashes. A path that a plugin's route covers must not be reached
		// around the route.
		if s.routes.hides(r, s.prefix+rel) {
			return errNotFound
		}
	}
	p := strings.TrimSuffix(rel, "/")
	if rel != "" && !models.ValidPath(p) {
		return errNotFound
	}
	if rel == "" {
		return s.listings.distributions(w, r, "")
	}
	match, err := s.finder.Distribution(r.Context(), p)
	if errors.Is(err, pulperr.NotFound) && !doubled {
		return s.serveParentFolder(w, r, rel)
	}
	if err != nil {
		return err
	}
	basePath := match.Distribution.AsDistribution().BasePath
	// Two slashes are accepted only directly behind a base path.
	if doubled && basePath != base {
		return errNotFound
	}
	// Before any look at files, so that a client without access cannot find out which ones exist.
	if err := s.permit(r, match); err != nil {
		return err
	}
	rest := strings.TrimPrefix(rel, basePath)
	if rest == "" {
		redirectToFolder(w, r)
		return nil
	}
	return s.serveDistribution(w, r, match.Distribution, rest[1:])
}

// serveParentFolder answers for a path that leads to distributions and belongs to none.
func (s *site) serveParentFolder(w http.ResponseWriter, r *http.Request, rel string) error {
	if strings.HasSuffix(rel, "/") {
		return s.listings.distributions(w, r, rel)
	}
	found, err := lookup.DistributionsBelow(r.Context(), s.db, rel+"/", "", 1, s.listings.hideGuarded)
	if err != nil {
		return err
	}
	if len(found.Entries) == 0 {
		return errNotFound
	}
	redirectToFolder(w, r)
	return nil
}

// serveDistribution answers for a path below a base path: empty, or ending with a slash, for a folder.
func (s *site) serveDistribution(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, p string) error {
	if h, ok := d.(Handler); ok {
		handler, err := h.ContentHandler(r.Context(), s.app, p)
		if err != nil {
			return err
		}
		if handler != nil {
			handler.ServeHTTP(w, r)
			return nil
		}
	}
	if d.AsDistribution().Checkpoint {
		return s.serveCheckpoint(w, r, d, p)
	}
	source, err := s.source(r.Context(), d)
	if err != nil {
		return err
	}
	return s.serveSource(w, r, d, source, p)
}

// serveSource answers for a path of what a distribution serves.
func (s *site) serveSource(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, source *lookup.Source,
	p string,
) error {
	if p == "" || strings.HasSuffix(p, "/") {
		return s.serveFolder(w, r, d, source, p)
	}
	// The file first: most requests are for files, which then cost no query for a folder.
	file, err := s.finder.File(r.Context(), source, p)
	if err == nil {
		return s.files.serveFile(&answer{w: w, r: r, header: s.headersOf(d, p), name: path.Base(p)}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	folder, err := source.HasFolder(r.Context(), s.db, p)
	if err != nil {
		return err
	}
	if !folder {
		return errNotFound
	}
	redirectToFolder(w, r)
	return nil
}

// source returns what a distribution serves now.
func (s *site) source(ctx context.Context, d models.AnyDistribution) (*lookup.Source, error) {
	row := d.AsDistribution()
	if row.PublicationID == nil && row.RepositoryID == nil && row.RepositoryVersionID == nil && row.RemoteID == nil {
		return nil, errNoSource
	}
	source, err := s.finder.Source(ctx, row)
	if errors.Is(err, pulperr.NotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	if p, ok := d.(PublicationServer); ok && source.PublicationID == nil && p.NeedsPublication() {
		return nil, errNotFound
	}
	return source, nil
}

// serveFolder answers with the folder's index.html, or else with a listing.
func (s *site) serveFolder(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, from *lookup.Source,
	dir string,
) error {
	index := dir + "index.html"
	file, err := s.finder.File(r.Context(), from, index)
	if err == nil {
		return s.files.serveFile(&answer{w: w, r: r, header: s.headersOf(d, index), name: "index.html"}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	return s.listings.folder(w, r, d, from, dir)
}

// redirectToFolder adds the slash that is missing.
func redirectToFolder(w http.ResponseWriter, r *http.Request) {
	// Escaped, because a name may contain a question mark.
	to := r.URL.EscapedPath() + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	writeStatus(w, http.StatusMovedPermanently, "")
}
