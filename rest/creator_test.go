package rest_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
)

// The types of a plugin whose units complete themselves, shaped like Pulp's python plugin.
type (
	Wheel struct {
		models.Content
		Filename string  `json:"filename" pulp:"natural,repo" rest:"readonly" doc:"Name of the file."`
		SHA256   string  `json:"sha256" pulp:"natural,len=64" doc:"Digest of the file."`
		Name     string  `json:"name" rest:"readonly" doc:"From the metadata."`
		Summary  *string `json:"summary" doc:"A few words."`
		Uploaded string  `json:"uploaded" rest:"readonly" doc:"What the client called the file."`
	}
	Set struct {
		models.Content
		Title string `json:"title" pulp:"natural" doc:"Title."`
		Paths string `json:"paths" rest:"readonly" doc:"The paths of its files."`
	}
	Note struct {
		models.Content
		Text   string `json:"text" pulp:"natural" doc:"Text."`
		Length int    `json:"length" rest:"readonly" doc:"Of the text."`
	}
	Index struct{ models.Repository }
	Vault struct {
		models.ContentGuard
		Token secrets.EncryptedText `json:"token" doc:"What a client must bring."`
	}
	splitInput struct {
		Separator  string     `json:"separator" rest:"required" doc:"Between the parts."`
		Repository *uuid.UUID `json:"repository" rest:"ref=repository"`
	}
)

// InitializeFromFile reads the metadata. It implements [rest.FileInitializer].
func (w *Wheel) InitializeFromFile(ctx context.Context, f *rest.File) error {
	w.Filename, w.Uploaded = path.Base(f.RelativePath), f.Name
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := zip.NewReader(r, r.Size())
	if err != nil {
		return pulperr.Field("file", "is no zip archive")
	}
	m, err := z.Open("METADATA")
	if err != nil {
		return pulperr.Field("file", "has no METADATA")
	}
	defer m.Close()
	text, err := io.ReadAll(m)
	w.Name = strings.TrimSpace(string(text))
	return err
}

// Validate checks the filename, which is known only when the unit is completed.
func (w *Wheel) Validate() error {
	if !strings.HasSuffix(w.Filename, ".whl") {
		return pulperr.Field("filename", "%q is not a wheel", w.Filename)
	}
	return nil
}

// ValidateIn refuses another file of the same name. It implements [rest.ContextValidator].
func (w *Wheel) ValidateIn(ctx context.Context, db *models.DB) error {
	n, err := wheels.Count(ctx, db, models.Where("d.filename = ? AND d.sha256 <> ?", w.Filename, w.SHA256))
	if err == nil && n > 0 {
		return pulperr.Field("filename", "%q exists with other bytes", w.Filename)
	}
	return err
}

var (
	wheels  = models.Define[Wheel]("py.wheel")
	sets    = models.Define[Set]("py.set")
	notes   = models.Define[Note]("py.note")
	indexes = models.Define[Index]("py.index", models.Accepts(wheels, sets))
	vaults  = models.Define[Vault]("py.vault")
)

func pyViews() []rest.View {
	return []rest.View{
		rest.ViewSet[Wheel]{Type: wheels, Name: "wheels"},
		rest.ViewSet[Set]{Type: sets, Name: "sets", Create: rest.MultipleArtifact(
			func(_ context.Context, s *Set, files []*rest.File) error {
				for _, f := range files {
					s.Paths += f.RelativePath + ";"
				}
				return nil
			})},
		rest.ViewSet[Note]{
			Type: notes, Name: "notes", Create: rest.NoArtifact(func(_ context.Context, n *Note) error {
				n.Length = len(n.Text)
				return nil
			}),
			// A request-only field, several files made of one upload, and a unit of another type than the view's.
			Actions: []rest.Action[Note]{rest.Do(rest.Operation{Name: "split", Collection: true, File: true}, split)},
		},
		rest.ViewSet[Index]{Type: indexes, Name: "index"},
		rest.ViewSet[Vault]{Type: vaults, Name: "vault"},
	}
}

func split(ctx context.Context, r *rest.Request[Note], in *splitInput) (*rest.Accepted, error) {
	up := r.Upload()
	raw, err := up.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	text, err := io.ReadAll(raw)
	if err != nil {
		return nil, err
	}
	with := &rest.NewContent{}
	for i, part := range strings.Split(string(text), in.Separator) {
		a, err := models.NewArtifact(ctx, r.DB, r.Store, strings.NewReader(part), nil)
		if err != nil {
			return nil, err
		}
		with.Files = append(with.Files, &rest.File{RelativePath: fmt.Sprintf("%s/%d", up.Name(), i), Artifact: a})
	}
	if in.Repository != nil {
		row, err := models.Cast(ctx, r.DB, models.RepositoryMaster, *in.Repository)
		if err != nil {
			return nil, err
		}
		with.Repository, _ = row.(models.AnyRepository)
	}
	return rest.SaveContent(ctx, r, &Set{Title: up.Name()}, with)
}

func setupPy(t testing.TB, url string) *bundle {
	t.Helper()
	db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "py", Types: []models.AnyType{
		wheels, sets, notes, indexes, vaults,
	}})
	return setupViews(t, db, nil, pyViews())
}

func eachPy(t *testing.T, fn func(t *testing.T, b *bundle)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, setupPy(t, url))
	})
}

func wheel(t testing.TB, name string) string {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("METADATA")
	must(t, err)
	_, err = io.WriteString(w, name)
	must(t, err)
	must(t, z.Close())
	return buf.String()
}

func TestUnitIsCompletedFromItsFile(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		index := b.create("repositories/py/index/", map[string]any{"name": "i"})
		body, edit := form(t, "relative_path", "a/tiny.whl", "file", "@"+wheel(t, "tiny"), "summary", "s", "repository", index)
		unit := b.completed("POST", "content/py/wheels/", body, edit)
		got := b.do("GET", unit+"?fields=filename,name,summary,uploaded", nil).want(200)
		want := map[string]any{"filename": "tiny.whl", "name": "tiny", "summary": "s", "uploaded": "x.bin"}
		if diff := cmp.Diff(want, got.JSON()); diff != "" {
			t.Errorf("the unit (-want +got):\n%s", diff)
		}
		inVersion := b.do("GET", "content/py/wheels/?repository_version="+index+"versions/1/", nil).want(200)
		if n := inVersion.get("count"); n != 1.0 {
			t.Errorf("version 1 has %v units, want 1", n)
		}
		// The same from an artifact: the same unit.
		artifact := b.do("GET", unit, nil).str("artifact")
		again := b.completed("POST", "content/py/wheels/", map[string]any{"relative_path": "tiny.whl", "artifact": artifact})
		if again != unit {
			t.Errorf("from an artifact: %s, want %s", again, unit)
		}
		for name, c := range map[string]struct{ path, bytes, want string }{
			"no wheel":     {"tiny.txt", wheel(t, "tiny"), `{"filename":["\"tiny.txt\" is not a wheel"]}`},
			"other bytes":  {"tiny.whl", wheel(t, "other"), `{"filename":["\"tiny.whl\" exists with other bytes"]}`},
			"no archive":   {"none.whl", "x", `{"file":["is no zip archive"]}`},
			"a wrong path": {"../a.whl", wheel(t, "tiny"), `{"relative_path":["Relative path is not in canonical form. ../a.whl"]}`},
		} {
			body, edit := form(t, "relative_path", c.path, "file", "@"+c.bytes)
			a := b.do("POST", "content/py/wheels/", body, edit).want(400)
			if string(a.body) != c.want {
				t.Errorf("%s: %s, want %s", name, a.body, c.want)
			}
		}
	})
}

func TestUnitFromURL(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		file := wheel(t, "far")
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			switch {
			case user != "u" || password != "p&p":
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/files/far.whl":
				_, _ = io.WriteString(w, file)
			case r.URL.Path == "/files/none.whl":
				_, _ = io.WriteString(w, "not a zip archive")
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		t.Cleanup(upstream.Close)
		at := strings.Replace(upstream.URL, "://", "://u:p%26p@", 1) + "/files/"
		index := b.create("repositories/py/index/", map[string]any{"name": "i"})
		post := func(name string) *answer {
			return b.task("POST", "content/py/wheels/", map[string]any{
				"relative_path": name, "file_url": at + name, "repository": index, "summary": "s",
			})
		}
		a := post("far.whl")
		if a.str("state") != "completed" {
			t.Fatalf("the task: %s", a.body)
		}
		created, _ := a.get("created_resources").([]any)
		unit := b.do("GET", fmt.Sprint(created[len(created)-1])+"?fields=name,uploaded,filename,summary", nil).want(200)
		want := map[string]any{"filename": "far.whl", "name": "far", "uploaded": "far.whl", "summary": "s"}
		if diff := cmp.Diff(want, unit.JSON()); diff != "" {
			t.Errorf("the unit (-want +got):\n%s", diff)
		}
		// What the request would be refused for fails the task, with the same words.
		for name, want := range map[string]string{"none.whl": "is no zip archive", "missing.whl": "404"} {
			a := post(name)
			if a.str("state") != "failed" || !strings.Contains(string(a.body), want) {
				t.Errorf("%s: the task does not say %q: %s", name, want, a.body)
			}
			if strings.Contains(string(a.body), "p%26p") || strings.Contains(string(a.body), "p&p") {
				t.Errorf("%s: the task shows the password: %s", name, a.body)
			}
		}
	})
}

func TestSourcesOfAUnit(t *testing.T) {
	t.Parallel()
	b := setupPy(t, dbtest.SQLite(t))
	for body, want := range map[string]string{
		`{"relative_path": "a.whl"}`: "Exactly one of upload, artifact, file, file_url must be specified.",
		`{"relative_path": "a.whl", "file_url": "http://h/", "artifact": "/pulp/api/v3/artifacts/1/"}`: "Exactly one of",
		`{"relative_path": "a.whl", "file_url": "file:///etc/passwd"}`:                                 "does not start with any of the allowed",
		`{"relative_path": "a.whl", "file_url": "ftp://h/a"}`:                                          "scheme",
		`{"relative_path": "a.whl", "file_url": "http://u:secret@%zz/"}`:                               "Enter a valid URL.",
		`{"relative_path": "a.whl", "file_url": ""}`:                                                   "may not be blank",
	} {
		a := b.do("POST", "content/py/wheels/", body).want(400)
		if !strings.Contains(string(a.body), want) || strings.Contains(string(a.body), "secret") {
			t.Errorf("POST %s = %s, want %q", body, a.body, want)
		}
	}
	// A Creator's own function is not known to the task that fetches the file.
	plain := setup(t, dbtest.SQLite(t), nil)
	a := plain.do("POST", "content/file/files/", `{"relative_path": "a", "file_url": "http://h.example/a"}`).want(400)
	if !strings.Contains(string(a.body), `"file_url":["Unexpected field"]`) {
		t.Errorf("file_url with a function: %s", a.body)
	}
}

func TestUnitWithSeveralFiles(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		artifact := func(text string) string {
			body, edit := form(t, "file", "@"+text)
			return b.do("POST", "artifacts/", body, edit).want(201).str("pulp_href")
		}
		x, y := artifact("x"), artifact("y")
		index := b.create("repositories/py/index/", map[string]any{"name": "i"})
		unit := b.completed("POST", "content/py/sets/", map[string]any{
			"title": "two", "artifacts": map[string]string{"b/y": y, "a": x}, "repository": index,
		})
		got := b.do("GET", unit+"?fields=paths,artifacts", nil).want(200).JSON()
		want := map[string]any{"paths": "a;b/y;", "artifacts": map[string]any{"a": x, "b/y": y}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the unit (-want +got):\n%s", diff)
		}
		for body, want := range map[string]string{
			`{"title": "t"}`:                                     `{"artifacts":["This field is required."]}`,
			`{"title": "t", "artifacts": {}}`:                    `{"artifacts":["This field must not be empty."]}`,
			`{"title": "t", "artifacts": {"../a": "` + x + `"}}`: `{"artifacts":["Relative path is not in canonical form. ../a"]}`,
			`{"title": "t", "artifacts": {"a": "` + unit + `"}}`: `{"artifacts":["URI not valid: ` + unit + `"]}`,
			`{"title": "t", "artifacts": {"a": "` + x[:len("/pulp/api/v3/artifacts/")] + uuid.NewString() + `/"}}`: "Object does not exist",
		} {
			if a := b.do("POST", "content/py/sets/", body).want(400); !strings.Contains(string(a.body), want) {
				t.Errorf("POST %s = %s, want %s", body, a.body, want)
			}
		}
	})
}

func TestUnitWithoutFiles(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		unit := b.completed("POST", "content/py/notes/", map[string]any{"text": "four", "pulp_labels": map[string]string{"a": "b"}})
		got := b.do("GET", unit+"?fields=length,artifacts,pulp_labels", nil).want(200).JSON()
		want := map[string]any{"length": 4.0, "artifacts": map[string]any{}, "pulp_labels": map[string]any{"a": "b"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the unit (-want +got):\n%s", diff)
		}
		index := b.create("repositories/py/index/", map[string]any{"name": "i"})
		a := b.do("POST", "content/py/notes/", map[string]any{"text": "x", "repository": index}).want(400)
		if want := `{"repository":["Repository type 'py.index' does not support content type 'py.note'."]}`; string(a.body) != want {
			t.Errorf("a repository of another type: %s, want %s", a.body, want)
		}
	})
}

func TestActionMakesContent(t *testing.T) {
	eachPy(t, func(t *testing.T, b *bundle) {
		index := b.create("repositories/py/index/", map[string]any{"name": "i"})
		body, edit := form(t, "file", "@one-two", "separator", "-", "repository", index)
		unit := b.completed("POST", "content/py/notes/split/", body, edit)
		got := b.do("GET", unit+"?fields=title,artifacts", nil).want(200)
		files, _ := got.get("artifacts").(map[string]any)
		if got.str("title") != "x.bin" || len(files) != 2 || files["x.bin/1"] == nil {
			t.Errorf("the unit = %s, want two files", got.body)
		}
		if n := b.do("GET", "content/py/sets/?repository_version="+index+"versions/1/", nil).get("count"); n != 1.0 {
			t.Errorf("version 1 has %v units, want 1", n)
		}
	})
}

func TestSecretsOfEveryMasterAreHiddenFields(t *testing.T) {
	t.Parallel()
	b := setupPy(t, dbtest.SQLite(t))
	vault := b.create("contentguards/py/vault/", map[string]any{"name": "v", "token": "hush"})
	a := b.do("GET", vault, nil).want(200)
	want := []any{map[string]any{"name": "token", "is_set": true}}
	if diff := cmp.Diff(want, a.get("hidden_fields")); diff != "" || strings.Contains(string(a.body), "hush") {
		t.Errorf("the guard = %s, want hidden_fields %v", a.body, want)
	}
	// Absent keeps a secret, null removes it.
	b.do("PATCH", vault, map[string]any{"name": "w"}).want(200)
	if a := b.do("GET", vault, nil); !strings.Contains(string(a.body), `"is_set":true`) {
		t.Errorf("after a PATCH without the secret: %s", a.body)
	}
	b.do("PATCH", vault, map[string]any{"token": nil}).want(200)
	if a := b.do("GET", vault, nil); !strings.Contains(string(a.body), `"is_set":false`) {
		t.Errorf("after a PATCH with null: %s", a.body)
	}
}
