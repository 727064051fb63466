package rest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// suffixInput is what the bodies of POST, PUT and PATCH have besides the fields of a repository.
type suffixInput struct {
	Suffix *string `json:"suffix" rest:"max=5" doc:"What the manifest's name ends with."`
}

func (in *suffixInput) apply(r *Repository) error {
	switch {
	case in.Suffix == nil:
	case *in.Suffix == "bad":
		return pulperr.Field("suffix", "is bad")
	default:
		r.Manifest = new("m" + *in.Suffix)
	}
	return nil
}

// suffixed serves repositories with a field that is in requests only.
func suffixed() rest.ViewSet[Repository] {
	return rest.ViewSet[Repository]{
		Type: repositories, Name: "file",
		Create: rest.Create(false, func(ctx context.Context, r *rest.Request[Repository], in *suffixInput) (*Repository, error) {
			if err := in.apply(r.Row); err != nil {
				return nil, err
			}
			return r.Row, repositories.Create(ctx, r.DB, r.Row)
		}),
		Update: rest.Update(func(_ context.Context, r *rest.Request[Repository], in *suffixInput) error {
			return in.apply(r.Row)
		}),
	}
}

// TestRequestOnlyFields gives fields that are in requests only to POST, PUT and PATCH.
func TestRequestOnlyFields(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setupViews(t, openDB(t, url), nil, []rest.View{suffixed()})
		repo := b.create("repositories/file/file/", map[string]any{"name": "a", "suffix": "1"})
		shows := func(want string) {
			t.Helper()
			a := b.do("GET", repo, nil).want(200)
			if a.str("manifest") != want || strings.Contains(string(a.body), "suffix") {
				t.Errorf("the row is %s, want the manifest %q and no suffix", a.body, want)
			}
		}
		shows("m1")
		b.completed("PATCH", repo, map[string]any{"suffix": "2"})
		shows("m2")
		b.completed("PATCH", repo, map[string]any{"name": "b"})
		shows("m2")
		b.completed("PUT", repo, map[string]any{"name": "b", "suffix": "3"})
		shows("m3")
		// The suffix makes the row what it is already.
		b.do("PATCH", repo, map[string]any{"suffix": "3"}).want(200)
		for body, want := range map[string]string{
			`{"suffix": "bad", "name": "c"}`: `{"suffix": ["is bad"]}`,
			`{"suffix": "too long"}`:         `{"suffix": ["Ensure this field has no more than 5 characters."]}`,
			`{"sufix": "4"}`:                 `{"sufix": ["Unexpected field"]}`,
		} {
			diff(t, b.do("PATCH", repo, body).want(400).body, want)
		}
		shows("m3")
		doc := loadDocument(t, b)
		for _, name := range []string{"file.FileRepository", "Patchedfile.FileRepository"} {
			if doc.Components.Schemas[name].Value.Properties["suffix"] == nil {
				t.Errorf("the schema %s has no suffix", name)
			}
		}
		if doc.Components.Schemas["file.FileRepositoryResponse"].Value.Properties["suffix"] != nil {
			t.Error("the schema of answers has the suffix")
		}
	})
}

// TestDocumentOfPutHasNoFieldsOfPostOnly serves a type whose POST reads a field that PUT does not.
func TestDocumentOfPutHasNoFieldsOfPostOnly(t *testing.T) {
	t.Parallel()
	vs := suffixed()
	vs.Update = rest.Updater[Repository]{}
	b := setupViews(t, openDB(t, dbtest.SQLite(t)), nil, []rest.View{vs})
	doc := loadDocument(t, b)
	put := doc.Paths.Value("{file_file_repository_href}").Put.RequestBody.Value.Content["application/json"].Schema.Value
	post := doc.Paths.Value("/pulp/api/v3/repositories/file/file/").Post.RequestBody.Value.Content["application/json"].Schema.Value
	if put.Properties["suffix"] != nil || put.Properties["name"] == nil || post.Properties["suffix"] == nil {
		t.Errorf("PUT takes suffix: %t, POST takes it: %t, want only POST", put.Properties["suffix"] != nil,
			post.Properties["suffix"] != nil)
	}
}

// TestUpdateOfRowsThatAreNotUpdated has an Updater on a type whose rows do not change.
func TestUpdateOfRowsThatAreNotUpdated(t *testing.T) {
	t.Parallel()
	vs := suffixed()
	vs.ReadOnly, vs.Create = true, rest.Creator[Repository]{}
	twice := rest.Update(func(context.Context, *rest.Request[Remote], *struct {
		URL string `json:"url"`
	},
	) error {
		return nil
	})
	db := openDB(t, dbtest.SQLite(t))
	_, err := rest.New(db, nil, nil, &rest.Options{Views: []rest.View{vs, rest.ViewSet[Remote]{
		Type: remotes, Name: "file", Update: twice,
	}}})
	for _, want := range []string{
		"viewset repositories/file/file/: update: its rows are not updated", `field URL: the type has a field "url" already`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
}
