package content

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// serveCore answers what is not a route of a plugin.
func (a *App) serveCore(w http.ResponseWriter, r *http.Request) {
	if err := a.serve(w, r); err != nil {
		a.refuse(w, r, err)
	}
}

// serve returns an error only before anything was written.
func (a *App) serve(w http.ResponseWriter, r *http.Request) error {
	// r.URL.Path was decoded once, and is not decoded again: what it says is the name.
	rel, below := strings.CutPrefix(r.URL.Path, a.opts.Prefix)
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
		if a.routed(r, a.opts.Prefix+rel) {
			return errNotFound
		}
	}
	p := strings.TrimSuffix(rel, "/")
	if rel != "" && !models.ValidPath(p) {
		return errNotFound
	}
	if rel == "" {
		return a.listDistributions(w, r, "")
	}
	match, err := a.finder.Distribution(r.Context(), p)
	if errors.Is(err, pulperr.NotFound) && !doubled {
		return a.serveBetween(w, r, rel)
	}
	if err != nil {
		return err
	}
	basePath := match.Distribution.AsDistribution().BasePath
	if doubled && basePath != base {
		return errNotFound
	}
	if err := a.permit(r, match); err != nil {
		return err
	}
	rest := strings.TrimPrefix(rel, basePath)
	if rest == "" {
		redirectToFolder(w, r)
		return nil
	}
	return a.serveDistribution(w, r, match.Distribution, rest[1:])
}

// serveBetween answers for a path that leads to distributions and belongs to none.
func (a *App) serveBetween(w http.ResponseWriter, r *http.Request, rel string) error {
	if strings.HasSuffix(rel, "/") {
		return a.listDistributions(w, r, rel)
	}
	found, err := lookup.DistributionsBelow(r.Context(), a.db, rel+"/", "", 1, a.opts.HideGuarded)
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
func (a *App) serveDistribution(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, p string) error {
	if h, ok := d.(Handler); ok {
		handler, err := h.ContentHandler(r.Context(), a, p)
		if err != nil {
			return err
		}
		if handler != nil {
			handler.ServeHTTP(w, r)
			return nil
		}
	}
	if d.AsDistribution().Checkpoint {
		return a.serveCheckpoint(w, r, d, p)
	}
	source, err := a.source(r.Context(), d)
	if err != nil {
		return err
	}
	return a.serveSource(w, r, d, source, p)
}

// serveSource answers for a path of what a distribution serves.
func (a *App) serveSource(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, source *lookup.Source,
	p string,
) error {
	if p == "" || strings.HasSuffix(p, "/") {
		return a.serveFolder(w, r, d, source, p)
	}
	file, err := a.finder.File(r.Context(), source, p)
	if err == nil {
		return a.serveFile(&answer{w: w, r: r, header: a.headersOf(d, p), name: path.Base(p)}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	folder, err := source.HasFolder(r.Context(), a.db, p)
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
func (a *App) source(ctx context.Context, d models.AnyDistribution) (*lookup.Source, error) {
	row := d.AsDistribution()
	if row.PublicationID == nil && row.RepositoryID == nil && row.RepositoryVersionID == nil && row.RemoteID == nil {
		return nil, errNoSource
	}
	source, err := a.finder.Source(ctx, row)
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
func (a *App) serveFolder(w http.ResponseWriter, r *http.Request, d models.AnyDistribution, s *lookup.Source,
	dir string,
) error {
	index := dir + "index.html"
	file, err := a.finder.File(r.Context(), s, index)
	if err == nil {
		return a.serveFile(&answer{w: w, r: r, header: a.headersOf(d, index), name: "index.html"}, file)
	}
	if !errors.Is(err, pulperr.NotFound) {
		return err
	}
	return a.listFolder(w, r, d, s, dir)
}

// redirectToFolder adds the slash that is missing.
func redirectToFolder(w http.ResponseWriter, r *http.Request) {
	to := r.URL.EscapedPath() + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	writeStatus(w, http.StatusMovedPermanently, "")
}
