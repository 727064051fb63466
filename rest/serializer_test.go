package rest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
)

// Rule has a field of each kind.
type Rule struct {
	models.ContentGuard
	Header  string                `json:"header" rest:"required,max=5" doc:"Header."`
	Mode    string                `json:"mode" rest:"choices=a|b,default=a" doc:"Mode."`
	Limit   *int                  `json:"limit" rest:"min=1" doc:"Limit."`
	Since   *time.Time            `json:"since" doc:"Since."`
	Words   []string              `json:"words" doc:"Words."`
	Extra   map[string]string     `json:"extra" doc:"Extra."`
	Secret  secrets.EncryptedText `json:"secret" doc:"Secret."`
	Counted int                   `json:"counted" rest:"readonly" doc:"Counted."`
}

var rules = models.Define[Rule]("py.rule")

// ValidateIn refuses a header that another rule has.
func (r *Rule) ValidateIn(ctx contextType, db *models.DB) error {
	n, err := rules.Count(ctx, db, models.Where("d.header = ? AND d.mode <> ? AND m.pulp_id <> ?", r.Header, r.Mode, r.PulpID()))
	if err == nil && n > 0 {
		return rest.FieldErrors{rest.NonField: {"another rule has the header " + r.Header}}
	}
	return err
}

func setupRules(t testing.TB, url string) *bundle {
	t.Helper()
	db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "py", Types: []models.AnyType{rules}})
	return setupViews(t, db, nil, []rest.View{rest.ViewSet[Rule]{Type: rules, Name: "rule"}})
}

// TestSerializerHasTheRulesOfTheAPI gives the same dictionaries to both.
func TestSerializerHasTheRulesOfTheAPI(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setupRules(t, url)
		s, err := rest.NewSerializer(b.db.Registry(), rules)
		must(t, err)
		b.create("contentguards/py/rule/", map[string]any{"name": "taken", "header": "h", "mode": "b"})
		for _, body := range []string{
			`{}`, `{"name": "taken", "header": "x"}`, `{"name": "n", "header": "longer"}`, `{"name": "n", "header": "h"}`,
			`{"name": "n", "header": "x", "mode": "c", "limit": 0, "since": "never", "words": {}, "extra": {"a": null}}`,
			`{"name": "n", "header": "x", "counted": 1, "unknown": 2}`, `{"name": null, "header": ["x"]}`,
			`[]`, `{"name": "n", "header": "x", "secret": {}}`, `{"name": "n\u0000", "header": "x"}`,
		} {
			a := b.do("POST", "contentguards/py/rule/", body)
			_, err := s.Decode(t.Context(), b.db, json.RawMessage(body))
			faults := rest.FieldErrors{}
			must(t, json.Unmarshal(a.body, &faults))
			if a.status != 400 || err == nil {
				t.Errorf("POST %s = %d, Decode = %v, want two refusals", body, a.status, err)
				continue
			}
			if want := faults.Error(); err.Error() != want {
				t.Errorf("Decode(%s) = %v, want as in the API: %s", body, err, want)
			}
		}
	})
}

func TestSerializerTakesGoValues(t *testing.T) {
	t.Parallel()
	b := setupRules(t, dbtest.SQLite(t))
	s, err := rest.NewSerializer(b.db.Registry(), rules)
	must(t, err)
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r, err := s.Decode(t.Context(), b.db, map[string]any{
		"name": " n ", "header": "x", "limit": 1 << 20, "since": since, "words": []string{"a"}, "extra": map[string]string{"k": "v"},
		"secret": "s",
	})
	must(t, err)
	if r.Name != "n" || r.Mode != "a" || *r.Limit != 1<<20 || !r.Since.Equal(since) || r.Secret.Reveal() != "s" {
		t.Errorf("Decode = %+v", r)
	}
	if diff := cmp.Diff([]string{"a"}, r.Words); diff != "" || r.Extra["k"] != "v" {
		t.Errorf("Decode: words %v, extra %v", r.Words, r.Extra)
	}
	must(t, rules.Create(t.Context(), b.db, r))
	for _, bad := range []any{func() {}, "text", nil, 1} {
		if _, err := s.Decode(t.Context(), b.db, bad); err == nil {
			t.Errorf("Decode(%T) = nil, want an error", bad)
		}
	}
}

// TestSerializerResolvesPRNs also shows that a digest is an ordinary field, which a request must not give.
func TestSerializerResolvesPRNs(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
	prn := b.do("GET", remote, nil).str("prn")
	s, err := rest.NewSerializer(b.db.Registry(), repositories)
	must(t, err)
	repo, err := s.Decode(t.Context(), b.db, map[string]any{"name": "n", "remote": prn})
	must(t, err)
	if repo.RemoteID == nil || !strings.Contains(prn, repo.RemoteID.String()) || *repo.Manifest != "PULP_MANIFEST" {
		t.Errorf("Decode = %+v", repo)
	}
	_, err = s.Decode(t.Context(), b.db, map[string]any{"name": "n", "remote": prn[:len(prn)-1] + "x"})
	if err == nil || !strings.Contains(err.Error(), "remote: Invalid hyperlink") {
		t.Errorf("Decode with a wrong PRN = %v", err)
	}
	py := setupPy(t, dbtest.SQLite(t))
	w, err := rest.NewSerializer(py.db.Registry(), notes)
	must(t, err)
	if n, err := w.Decode(t.Context(), py.db, map[string]any{"text": "x"}); err != nil || n.Text != "x" {
		t.Errorf("Decode of a note = %v, %v", n, err)
	}
	if _, err := rest.NewSerializer(py.db.Registry(), repositories); err == nil {
		t.Error("NewSerializer of a type of no plugin = nil, want an error")
	}
}

// TestCrossFieldChecksOnUpdate shows that a PATCH is checked as the whole row that it makes.
func TestCrossFieldChecksOnUpdate(t *testing.T) {
	t.Parallel()
	b := setupRules(t, dbtest.SQLite(t))
	b.create("contentguards/py/rule/", map[string]any{"name": "one", "header": "h", "mode": "b"})
	two := b.create("contentguards/py/rule/", map[string]any{"name": "two", "header": "x", "limit": 3})
	a := b.do("PATCH", two, map[string]any{"header": "h"}).want(400)
	if want := `{"non_field_errors":["another rule has the header h"]}`; string(a.body) != want {
		t.Errorf("PATCH = %s, want %s", a.body, want)
	}
	// Left out is kept, null is a value.
	b.do("PATCH", two, map[string]any{"mode": "b"}).want(200)
	if got := b.do("GET", two, nil).get("limit"); got != 3.0 {
		t.Errorf("limit after a PATCH without it = %v, want 3", got)
	}
	b.do("PATCH", two, map[string]any{"limit": nil}).want(200)
	if got := b.do("GET", two, nil).get("limit"); got != nil {
		t.Errorf("limit after a PATCH with null = %v, want null", got)
	}
	b.do("PATCH", two, map[string]any{"counted": 1}).want(400)
}

// hasty saves a row while another with the same values is on its way, as a request does that is a moment faster.
type hasty struct {
	models.Distribution
	Faster string `json:"faster" doc:"What the other request has: name or base_path."`
}

// TestUniqueViolationNamesTheColumnThatClashed has another request save its row between the check and the saving.
func TestUniqueViolationNamesTheColumnThatClashed(t *testing.T) {
	t.Parallel()
	types := models.Define[hasty]("py.hasty")
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "py", Types: []models.AnyType{types}})
		create := rest.Create(false, func(ctx contextType, r *rest.Request[hasty], _ *rest.Empty) (*hasty, error) {
			other := &hasty{}
			other.Name, other.BasePath = "other "+r.Row.Faster, "other/"+r.Row.Faster
			switch r.Row.Faster {
			case "name":
				other.Name = r.Row.Name
			case "base_path":
				other.BasePath = r.Row.BasePath
			case "key":
				return nil, pulperr.Exists
			}
			if err := types.Create(ctx, r.DB, other); err != nil {
				return nil, err
			}
			return r.Row, types.Create(ctx, r.DB, r.Row)
		})
		b := setupViews(t, db, nil, []rest.View{rest.ViewSet[hasty]{Type: types, Name: "hasty", Create: create}})
		for faster, want := range map[string]string{
			"name": `{"name":["This field must be unique."]}`,
			"key":  `{"non_field_errors":["The distribution exists already."]}`,
		} {
			a := b.do("POST", "distributions/py/hasty/", map[string]any{"name": "n" + faster, "base_path": "p" + faster, "faster": faster})
			if a.status != 400 || string(a.body) != want {
				t.Errorf("a clash of the %s: %d %s, want %s", faster, a.status, a.body, want)
			}
		}
		a := b.do("POST", "distributions/py/hasty/", map[string]any{"name": "n", "base_path": "p", "faster": "base_path"}).want(400)
		if !strings.Contains(string(a.body), "base_path") || strings.Contains(string(a.body), `"name"`) {
			t.Errorf("a clash of the base path: %s, want it to name base_path", a.body)
		}
	})
}

// misspelled has hooks with wrong signatures.
type misspelled struct{ models.Content }

func (*misspelled) InitializeFromFile(contextType, *models.Artifact) error { return nil }
func (*misspelled) ValidateIn(*models.DB) error                            { return nil }

func TestHooksWithWrongSignaturesAreFaults(t *testing.T) {
	t.Parallel()
	wrong := models.Define[misspelled]("py.wrong")
	registry, _ := models.Check(models.PluginModels{Plugin: "py", Types: []models.AnyType{wrong}})
	var text []string
	for _, err := range rest.Check(registry, &rest.Options{Views: []rest.View{rest.ViewSet[misspelled]{Type: wrong, Name: "wrong"}}}) {
		text = append(text, err.Error())
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"InitializeFromFile(context.Context, *models.Artifact) error is never called", "ValidateIn(*models.DB) error is never called"} {
		if !strings.Contains(all, want) {
			t.Errorf("Check = %s, want %q", all, want)
		}
	}
}

func TestReadOnlyViews(t *testing.T) {
	t.Parallel()
	types := models.Define[Index]("py.index")
	db := modelstest.Open(t, dbtest.SQLite(t), nil, models.PluginModels{Plugin: "py", Types: []models.AnyType{types}})
	touch := rest.Post("touch", func(_ contextType, r *rest.Request[Index], _ *rest.Empty) (*renameOutput, error) {
		return &renameOutput{Was: r.Row.Name}, nil
	})
	b := setupViews(t, db, nil, []rest.View{
		rest.ViewSet[Index]{Type: types, Name: "index", ReadOnly: true, Actions: []rest.Action[Index]{touch}},
	})
	row := &Index{}
	row.Name = "i"
	must(t, types.Create(t.Context(), b.db, row))
	b.do("POST", "repositories/py/index/", map[string]any{"name": "x"}).want(405)
	href := hrefs(b.do("GET", "repositories/py/index/", nil).want(200))
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		if a := b.do(method, href, map[string]any{"name": "x"}).want(405); a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: Allow = %q", method, a.header.Get("Allow"))
		}
	}
	for _, missing := range []string{"modify/", "set_label/", "unset_label/"} {
		b.do("POST", href+missing, map[string]any{}).want(404)
	}
	if was := b.do("POST", href+"touch/", nil).want(200).str("was"); was != "i" {
		t.Errorf("the action says %q", was)
	}
	b.do("GET", href+"versions/", nil).want(200)
}
