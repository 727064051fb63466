package rest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// elsewhere returns a handle on a domain of its own.
func elsewhere(t *testing.T, db *models.DB) *models.DB {
	t.Helper()
	d := &models.Domain{Name: "elsewhere", Labels: models.Labels{}}
	d.ID, d.Created, d.Updated = models.NewID(), models.Now(), models.Now()
	_, err := db.Bun().NewInsert().Model(d).Exec(t.Context())
	must(t, err)
	other, err := db.InDomain(t.Context(), d.Name)
	must(t, err)
	return other
}

// reference is a text that names a row, and why it is refused.
type reference struct{ name, text, reason string }

// remoteReferences returns texts for a field that refers to a remote. The first ones name the remote that is returned.
func remoteReferences(t *testing.T, b *bundle) (good []string, id uuid.UUID, bad []reference) {
	t.Helper()
	href := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
	id = uuid.MustParse(strings.Split(href, "/")[7])
	prn := "prn:file.fileremote:" + id.String()
	foreign := &Remote{}
	foreign.Name, foreign.URL = "foreign", "http://x.example/"
	must(t, remotes.Create(t.Context(), elsewhere(t, b.db), foreign))
	const (
		dir     = "/pulp/api/v3/remotes/file/file/"
		none    = "Invalid hyperlink - Object does not exist."
		noMatch = "Invalid hyperlink - No URL match."
		other   = "Invalid hyperlink - Incorrect URL match."
	)
	return []string{href, "https://pulp.example" + href, prn}, id, []reference{
		{"an href of another domain", dir + foreign.ID.String() + "/", none},
		{"a PRN of another domain", models.PRNOf(foreign), none},
		{"an href of a row that is gone", dir + nowhere + "/", none},
		{"a PRN of a row that is gone", "prn:file.fileremote:" + nowhere, none},
		{"an href of a repository", b.repo(), other},
		{"an href of a version", b.repo() + "versions/0/", other},
		{"a PRN of an artifact", "prn:core.artifact:" + nowhere, other},
		{"an href without the last slash", strings.TrimSuffix(href, "/"), noMatch},
		{"an href of no view", "/pulp/api/v3/remotes/file/other/" + id.String() + "/", noMatch},
		{"a malformed key", dir + "x/", noMatch},
		{"a PRN of no type", "prn:file.nothing:" + id.String(), noMatch},
		{"a text", "remote", noMatch},
	}
}

// TestReferencesInRequests names rows of other types, of other domains, and none.
func TestReferencesInRequests(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		good, id, bad := remoteReferences(t, b)
		repo := b.repo()
		for _, text := range good {
			b.completed("PATCH", repo, map[string]any{"remote": text})
			if got := b.do("GET", repo, nil).str("remote"); !strings.Contains(got, id.String()) {
				t.Errorf("remote %q is answered as %q", text, got)
			}
			b.completed("PATCH", repo, map[string]any{"remote": nil})
		}
		for _, ref := range bad {
			want := jsonOf(t, map[string]any{"remote": []string{ref.reason}})
			for method, path := range map[string]string{"POST": "repositories/file/file/", "PATCH": repo, "PUT": repo} {
				a := b.do(method, path, map[string]any{"name": "n", "remote": ref.text})
				if a.status != 400 || strings.TrimSpace(string(a.body)) != want {
					t.Errorf("%s with %s = %d: %s, want 400: %s", method, ref.name, a.status, a.body, want)
				}
			}
		}
		for _, value := range []any{1, true, []string{good[0]}, map[string]any{"href": good[0]}} {
			a := b.do("PATCH", repo, map[string]any{"remote": value}).want(400)
			if !strings.Contains(string(a.body), "Incorrect type. Expected URL string") {
				t.Errorf("remote %v: %s", value, a.body)
			}
		}
	})
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return string(raw)
}

// TestReferencesInDictionaries gives the same references to a Serializer.
func TestReferencesInDictionaries(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		good, id, bad := remoteReferences(t, b)
		plain, err := rest.NewSerializer(b.db.Registry(), repositories)
		must(t, err)
		s := plain.WithHrefs(b.api)
		decode := func(s *rest.Serializer[Repository], text string) (*Repository, error) {
			return s.Decode(t.Context(), b.db, map[string]any{"name": "n", "remote": text})
		}
		for _, text := range good {
			row, err := decode(s, text)
			if err != nil || row.RemoteID == nil || *row.RemoteID != id {
				t.Errorf("Decode with remote %q = %+v, %v, want the remote %s", text, row, err, id)
			}
		}
		for _, ref := range bad {
			_, err := decode(s, ref.text)
			faults, ok := errors.AsType[rest.FieldErrors](err)
			if !ok || len(faults) != 1 || len(faults["remote"]) != 1 || faults["remote"][0] != ref.reason {
				t.Errorf("Decode with %s: %v, want %q for remote", ref.name, err, ref.reason)
			}
			if pulperr.KindOf(err) != pulperr.Invalid {
				t.Errorf("Decode with %s: kind %v, want Invalid", ref.name, pulperr.KindOf(err))
			}
		}
		// Without an API there are no paths, and a PRN will do.
		if _, err := decode(plain, good[0]); err == nil {
			t.Error("Decode without an API takes an href, want an error")
		}
		if row, err := decode(plain, good[2]); err != nil || *row.RemoteID != id {
			t.Errorf("Decode without an API and a PRN: %v", err)
		}
	})
}

// TestLabelKeys has keys and values that labels cannot have.
func TestLabelKeys(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.repo()
		for _, key := range []string{"a\nb", "a\n", "\n", "a\rb", "a\x00", "a=b", "a,b", "", "é\n", strings.Repeat("\n", 10_000)} {
			for _, a := range []*answer{
				b.do("POST", repo+"set_label/", map[string]any{"key": key, "value": "v"}),
				b.do("PATCH", repo, map[string]any{"pulp_labels": map[string]any{key: "v"}}),
				b.do("POST", "repositories/file/file/", map[string]any{"name": "n", "pulp_labels": map[string]any{key: "v"}}),
			} {
				if a.status != 400 {
					t.Errorf("a label with the key %.20q = %d: %s, want 400", key, a.status, a.body)
				}
			}
		}
		if labels := b.do("GET", repo, nil).get("pulp_labels"); len(labels.(map[string]any)) > 0 {
			t.Errorf("labels = %v, want none", labels)
		}
		// A text that reads like the escape of a character is a text.
		for _, value := range []string{`\u0000`, `a\`, `'`, `\'`, `"`, `\\u0000'`} {
			b.do("POST", repo+"set_label/", map[string]any{"key": "k", "value": value}).want(201)
			if got := b.do("GET", repo, nil).get("pulp_labels").(map[string]any)["k"]; got != value {
				t.Errorf("the label %q is answered as %q", value, got)
			}
		}
	})
}
