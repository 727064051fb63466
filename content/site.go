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
	guards   *guards
	pulls    *puller
	adopter  *adopter
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
	req := s.newRequest(r, match.Distribution, pathBelow(match.Distribution, rel))
	if err := s.guards.permit(req, match); err != nil {
		return err
	}
	if rel == basePath {
		redirectToFolder(w, r)
		return nil
	}
	return s.serveDistribution(w, req)
}

func (s *site) newRequest(r *http.Request, d models.AnyDistribution, path string) *Request {
	return &Request{
		HTTP: r, App: s.app, DB: s.db, Distribution: d, Path: path, site: s, pulls: s.pulls, source: new(chosenSource),
	}
}

// guarded returns the request for a path, base path included, if the distribution's guard permits it.
func (s *site) guarded(r *http.Request, path string) (*Request, error) {
	if !models.ValidPath(path) {
		return nil, errNotFound
	}
	match, err := s.finder.Distribution(r.Context(), path)
	if errors.Is(err, pulperr.NotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	req := s.newRequest(r, match.Distribution, pathBelow(match.Distribution, path))
	if err := s.guards.permit(req, match); err != nil {
		return nil, err
	}
	return req, nil
}

// pathBelow returns the part of a path that follows the distribution's base path and the slash behind it.
func pathBelow(d models.AnyDistribution, path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, d.AsDistribution().BasePath), "/")
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

// serveDistribution answers for a path below a base path, which the guard permits.
func (s *site) serveDistribution(w http.ResponseWriter, req *Request) error {
	ctx := req.HTTP.Context()
	if h, ok := req.Distribution.(Handler); ok {
		handler, err := h.ContentHandler(ctx, req)
		if err != nil {
			return err
		}
		if handler != nil {
			handler.ServeHTTP(w, req.HTTP)
			return nil
		}
	}
	if req.Distribution.AsDistribution().Checkpoint {
		return s.serveCheckpoint(w, req)
	}
	source, err := req.chosen(ctx)
	if errors.Is(err, pulperr.NotFound) {
		return s.servePulled(w, req, err)
	}
	if err != nil {
		return err
	}
	return s.serveSource(w, req, source)
}

// serveSource answers for a path of what a distribution serves.
func (s *site) serveSource(w http.ResponseWriter, req *Request, source *lookup.Source) error {
	ctx, p := req.HTTP.Context(), req.Path
	if p == "" || strings.HasSuffix(p, "/") {
		return s.serveFolder(w, req, source)
	}
	// The file first: most requests are for files, which then cost no query for a folder.
	file, err := s.finder.File(ctx, source, p)
	if err == nil {
		return s.files.serveFile(&answer{w: w, r: req.HTTP, header: s.files.headersOf(req), name: path.Base(p)}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	folder, err := source.HasFolder(ctx, s.db, p)
	if err != nil {
		return err
	}
	if !folder {
		return s.servePulled(w, req, errNotFound)
	}
	redirectToFolder(w, req.HTTP)
	return nil
}

// source returns what a distribution serves now at a path below its base path.
func (s *site) source(ctx context.Context, d models.AnyDistribution, p string) (*lookup.Source, error) {
	row := d.AsDistribution()
	if row.PublicationID == nil && row.RepositoryID == nil && row.RepositoryVersionID == nil && row.RemoteID == nil {
		return nil, errNoSource
	}
	if row.Checkpoint {
		return s.checkpointSource(ctx, row, p)
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
func (s *site) serveFolder(w http.ResponseWriter, req *Request, from *lookup.Source) error {
	index := req.at(req.Path + "index.html")
	file, err := s.finder.File(req.HTTP.Context(), from, index.Path)
	if err == nil {
		return s.files.serveFile(&answer{w: w, r: req.HTTP, header: s.files.headersOf(index), name: "index.html"}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	return s.listings.folder(w, req, from)
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
