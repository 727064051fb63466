package rest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

type counted struct {
	Rows int64  `json:"rows"`
	User string `json:"user"`
}

// pyRoutes are routes that answer as actions do.
func pyRoutes() []rest.Route {
	upload := func(ctx context.Context, r *rest.Request[rest.Empty]) (*rest.Accepted, error) {
		index, err := indexes.One(ctx, r.DB, models.Eq("name", r.HTTP.PathValue("index")))
		if err != nil {
			return nil, err
		}
		return rest.SaveUpload(ctx, r, "content", &Wheel{}, index)
	}
	return []rest.Route{
		{Pattern: "POST /py/legacy/{index}/", Mount: rest.Answer(upload)},
		{Pattern: "GET /py/count/", Mount: rest.Answer(
			func(ctx context.Context, r *rest.Request[rest.Empty]) (*counted, error) {
				n, err := wheels.Count(ctx, r.DB)
				return &counted{n, r.User.Username}, err
			})},
		{Pattern: "POST /py/nothing/", Mount: rest.Answer(
			func(context.Context, *rest.Request[rest.Empty]) (*rest.Empty, error) { return &rest.Empty{}, nil })},
		{Pattern: "GET /py/fault/{kind}/", Mount: rest.Answer(
			func(_ context.Context, r *rest.Request[rest.Empty]) (*rest.Empty, error) {
				switch r.HTTP.PathValue("kind") {
				case "field":
					return nil, pulperr.Field("name", "is odd")
				case "public":
					return nil, pulperr.Public(pulperr.Conflict, "It is there.")
				}
				return nil, errors.New("secret")
			})},
		{Pattern: "GET /py/resolve/", Allow: rest.Accounts, Mount: rest.Answer(
			func(ctx context.Context, r *rest.Request[rest.Empty]) (*rest.Empty, error) {
				_, err := rest.Resolve(ctx, r, indexes, "repository", r.HTTP.FormValue("repository"))
				return nil, err
			})},
	}
}

func setupPyRoutes(t *testing.T, db *models.DB, opts *rest.Options) *bundle {
	t.Helper()
	opts.Routes = pyRoutes()
	return setupViews(t, db, opts, pyViews())
}

func TestRouteAnswersAsAnActionDoes(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		b = setupPyRoutes(t, b.db, &rest.Options{Auth: actor("superuser")})
		diff(t, b.do("GET", "/py/count/", nil).want(200).body, `{"rows": 0, "user": "root"}`)
		if a := b.do("POST", "/py/nothing/", nil).want(204); len(a.body) != 0 {
			t.Errorf("POST /py/nothing/ has the body %q, want none", a.body)
		}
		diff(t, b.do("GET", "/py/fault/field/", nil).want(400).body, `{"name": ["is odd"]}`)
		diff(t, b.do("GET", "/py/fault/public/", nil).want(409).body, `{"detail": "It is there."}`)
		diff(t, b.do("GET", "/py/fault/other/", nil).want(500).body, `{"detail": "Internal error."}`)
		href := b.create("repositories/py/index/", map[string]any{"name": "main"})
		b.do("GET", "/py/resolve/?repository="+href, nil).want(204)
		b.do("GET", "/py/resolve/?repository=/x/", nil).want(400)
		// Accounts may use the route, and not the row.
		b = setupPyRoutes(t, b.db, &rest.Options{Auth: actor("account"), Authorizer: reader{}})
		b.do("GET", "/py/resolve/?repository="+href, nil).want(403)
	})
}

// upload returns a form with a file that has a name, behind further fields.
func upload(t *testing.T, field, name, content string) (io.Reader, func(*http.Request)) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	must(t, w.WriteField(":action", "file_upload"))
	must(t, w.WriteField("sha256", "none of the unit's fields is read"))
	part, err := w.CreateFormFile(field, name)
	must(t, err)
	_, err = io.WriteString(part, content)
	must(t, err)
	must(t, w.Close())
	return &buf, func(r *http.Request) { r.Header.Set("Content-Type", w.FormDataContentType()) }
}

// TestSaveUpload sends the form of another client than those of the API to a route that makes content.
func TestSaveUpload(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		b = setupPyRoutes(t, b.db, &rest.Options{Auth: actor("superuser")})
		repo := b.create("repositories/py/index/", map[string]any{"name": "main"})
		body, edit := upload(t, "content", "egg-1.whl", wheel(t, "egg"))
		unit := b.do("GET", b.completed("POST", "/py/legacy/main/", body, edit), nil)
		if name, file, up := unit.str("name"), unit.str("filename"), unit.str("uploaded"); name != "egg" ||
			file != "egg-1.whl" || up != "egg-1.whl" || len(unit.str("sha256")) != 64 {
			t.Errorf("the unit is %s, want it completed from the file", unit.body)
		}
		latest := b.do("GET", repo, nil).str("latest_version_href")
		if n := b.do("GET", "content/py/wheels/?repository_version="+latest, nil).get("count"); n != 1.0 {
			t.Errorf("the repository has %v units, want 1", n)
		}
		for _, tt := range []struct {
			what, field, name, content string
			want                       string
		}{
			{"no file in the field", "other", "egg-1.whl", "", `{"other": ["Unexpected field"]}`},
			{"no archive", "content", "egg-2.whl", "egg", `{"file": ["is no zip archive"]}`},
			{"a name that Validate refuses", "content", "egg.txt", wheel(t, "egg"), `{"filename": ["\"egg.txt\" is not a wheel"]}`},
			{"bytes that ValidateIn refuses", "content", "egg-1.whl", wheel(t, "x"), `{"filename": ["\"egg-1.whl\" exists with other bytes"]}`},
			{"no name", "content", ".", wheel(t, "x"), `{"content": ["Relative path is not in canonical form. ."]}`},
		} {
			t.Run(tt.what, func(t *testing.T) {
				body, edit := upload(t, tt.field, tt.name, tt.content)
				diff(t, b.do("POST", "/py/legacy/main/", body, edit).want(400).body, tt.want)
			})
		}
		diff(t, b.do("POST", "/py/legacy/main/", strings.NewReader("{}"), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
		}).want(400).body, `{"content": ["No file was submitted."]}`)
		body, edit = upload(t, "content", "egg-1.whl", wheel(t, "egg"))
		b.do("POST", "/py/legacy/none/", body, edit).want(404)
	})
}
