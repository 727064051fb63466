package python

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/webserver"
)

// ContentHandler answers at simple/ with the names of all projects, and at simple/<project>/, in any spelling of the
// name, with the files of one. It implements [content.Handler].
func (d *Distribution) ContentHandler(ctx context.Context, r *content.Request) (http.Handler, error) {
	folder, name, _ := strings.Cut(r.Path, "/")
	name, slash := strings.CutSuffix(name, "/")
	switch {
	case folder != "simple" || strings.Contains(name, "/"):
		return nil, nil
	case !slash && r.Path != "simple/": // the links in a page are relative to it
		return http.RedirectHandler(r.HTTP.URL.EscapedPath()+"/", http.StatusMovedPermanently), nil
	}
	source, err := r.Source(ctx)
	if err != nil {
		return nil, err
	}
	version, err := source.Version(ctx)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return projectsPage(ctx, r.DB, models.InVersion(version))
	}
	return filesPage(ctx, r.DB, version, Normalize(name))
}

// page is a page of the index, with the keys of PEP 691.
type (
	page struct {
		Meta     meta      `json:"meta"`
		Name     string    `json:"name,omitempty"`
		Projects []project `json:"projects,omitzero"`
		Files    []File    `json:"files,omitzero"`
	}
	meta struct {
		Version string `json:"api-version"`
	}
	project struct {
		Name string `json:"name"`
	}
)

func projectsPage(ctx context.Context, db *models.DB, where ...models.Cond) (*page, error) {
	p := &page{Meta: meta{"1.0"}, Projects: []project{}}
	// The index on the name makes this a look-up for each project, and not for each file.
	for name, err := range models.Distinct[string](ctx, db, Packages, "name", where...) {
		if err != nil {
			return nil, err
		}
		p.Projects = append(p.Projects, project{name})
	}
	return p, nil
}

func filesPage(ctx context.Context, db *models.DB, v *models.RepositoryVersion, name string) (*page, error) {
	packages, err := Packages.List(ctx, db, models.InVersion(v), models.Eq("name", name))
	if err == nil && len(packages) == 0 {
		err = pulperr.Public(pulperr.NotFound, "there is no project %q", name)
	}
	if err != nil {
		return nil, err
	}
	p := &page{Meta: meta{"1.0"}, Name: name}
	for _, unit := range packages {
		p.Files = append(p.Files, File{
			Filename: unit.Filename, URL: "../../" + unit.Filename, Hashes: db.Checksums().Filter(unit.Hashes),
			RequiresPython: unit.RequiresPython, Size: unit.Size, Yanked: unit.Yanked,
		})
	}
	return p, nil
}

const pageHTML = `<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.0"><title>{{or .Name "Simple index"}}</title></head><body>
{{range .Projects}}<a href="{{.Name}}/">{{.Name}}</a><br>
{{end}}{{range .Files}}<a href="{{.URL}}#sha256={{.Hashes.SHA256}}"
{{- with .RequiresPython}} data-requires-python="{{.}}"{{end}}{{if .Yanked}} data-yanked=""{{end}}>{{.Filename}}</a><br>
{{end}}</body></html>
`

// ServeHTTP answers in the format that the client prefers.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	switch mediaType := webserver.Negotiate(r, typeText, typeHTML, typeJSON); mediaType {
	case "":
		http.Error(w, "the index is "+typeJSON+", "+typeHTML+" or "+typeText, http.StatusNotAcceptable)
	case typeJSON:
		w.Header().Set("Content-Type", typeJSON)
		_ = json.NewEncoder(w).Encode(p) // an error means that the client has gone
	default:
		w.Header().Set("Content-Type", mediaType+"; charset=utf-8")
		_ = template.Must(template.New("").Parse(pageHTML)).Execute(w, p)
	}
}

// projects is the route that lists the projects of all repositories.
func projects(ctx context.Context, r *rest.Request[rest.Empty]) (*page, error) {
	return projectsPage(ctx, r.DB)
}
