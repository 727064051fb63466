package rest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// smallAnswer is the size in bytes that no answer to a faulty request exceeds: 16 KiB of text, of which JSON writes a
// byte as six at worst.
const smallAnswer = 100 << 10

// members returns a JSON object with n members that nothing knows.
func members(n int) string {
	var s strings.Builder
	s.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&s, `"k%06d":1,`, i)
	}
	return strings.TrimSuffix(s.String(), ",") + "}"
}

// fields returns the names and values of a form of n fields that nothing knows.
func fields(n int) []string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("k%06d", i), "1")
	}
	return pairs
}

func asForm(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }

// TestFaultsAreAnsweredBriefly sends what is wrong in very many places, or repeats very long text.
func TestFaultsAreAnsweredBriefly(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	long := strings.Repeat("<é>", 1<<20)
	many := strings.TrimSuffix(strings.Repeat(`"no state",`, 100_000), ",")
	repos, repo := "repositories/file/file/", b.repo()
	for _, tt := range []struct {
		name, method, path, body string
		form                     []string // a multipart body in place of body
		text                     string   // of the answer
		edit                     func(*http.Request)
	}{
		{name: "700000 members", path: repos, body: members(700_000), text: "more than 200000 values"},
		{name: "1001 members", path: repos, body: members(1001), text: "more than 1000 members"},
		{name: "1000 members", path: repos, body: members(1000), text: "and 901 more"},
		{name: "an update", method: "PATCH", path: repo, body: members(1000), text: "and 900 more"},
		{name: "an action", path: repo + "rename/", body: members(1000), text: "and 901 more"},
		{name: "a change of content", path: repo + "modify/", body: members(1000), text: "and 900 more"},
		{name: "a long member", path: repos, body: `{"` + long + `": 1}`, text: "Unexpected field"},
		{
			name: "long members", path: repos, text: "and 826 more",
			body: strings.ReplaceAll(members(900), `":`, long[:10<<10]+`":`),
		},
		{name: "nested values", path: repos, body: `{"name": "a", "pulp_labels": ` + members(200_000) + `}`, text: "200000 values"},
		{name: "empty objects", path: repos, body: `{"name": [` + strings.Repeat("{},", 200_000) + `1]}`, text: "200000 values"},
		{name: "a long label", path: repos, body: `{"name": "a", "pulp_labels": {"` + long + `": ""}}`, text: "pulp_labels"},
		{name: "a long unit", path: repo + "modify/", body: `{"add_content_units": ["` + long + `"]}`, text: "URI not valid"},
		{name: "many choices", path: "tasks/purge/", body: `{"states": [` + many + `]}`, text: "and 99900 more"},
		{name: "a long choice", path: "tasks/purge/", body: `{"states": ["` + long + `"]}`, text: "states"},
		{name: "a form", path: repos, edit: asForm, body: strings.ReplaceAll(members(1000), ",", "&"), text: "and 901 more"},
		{name: "a form of 1001 fields", path: repos, edit: asForm, body: strings.ReplaceAll(members(1001), ",", "&"), text: "1000 fields"},
		{name: "a form of 10001 values", path: repos, edit: asForm, body: strings.Repeat("a=1&", 10_000) + "a=1", text: "10000 values"},
		{name: "a form with a list", path: repo + "modify/", edit: asForm, text: "Could not find", body: strings.Repeat("add_content_units="+
			url.QueryEscape("/pulp/api/v3/content/file/files/"+noSuchID+"/")+"&", 2000) + "base_version="},
		{name: "parts", path: repos, form: fields(900), text: "and 801 more"},
		{name: "a part with a long name", path: repos, form: []string{long, "1"}, text: "Unexpected field"},
		{name: "a file with a long name", path: repos, form: []string{long, "@1"}, text: "Not a valid string"},
		{name: "an upload with a long name", path: "artifacts/", form: []string{long, "@1"}, text: "Unexpected field"},
		{name: "a text with a long name", path: "artifacts/", form: []string{long, "1"}, text: "Unexpected field"},
		{
			name: "a long type", path: repos, body: "a", edit: func(r *http.Request) { r.Header.Set("Content-Type", long) },
			text: "Unsupported media type",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, edit := tt.method, tt.edit
			var body any = tt.body
			if method == "" {
				method = "POST"
			}
			if tt.form != nil {
				body, edit = form(t, tt.form...)
			}
			if edit == nil {
				edit = func(*http.Request) {}
			}
			got := b.do(method, tt.path, body, edit)
			if got.status != 400 && got.status != 415 || len(got.body) > smallAnswer || !strings.Contains(string(got.body), tt.text) {
				t.Errorf("answer = %d with %d bytes: %.300s, want %q", got.status, len(got.body), got.body, tt.text)
			}
		})
	}
}

const noSuchID = "0198f000-0000-7000-8000-000000000000"

// TestBodyOfLongNames has parts whose names are what takes the memory.
func TestBodyOfLongNames(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	var pairs []string
	for i := range 11 {
		pairs = append(pairs, fmt.Sprint(i)+strings.Repeat("n", 1<<20), "")
	}
	body, edit := form(t, append(pairs, "file", "@A")...)
	b.do("POST", "artifacts/", body, edit).want(http.StatusRequestEntityTooLarge)
}

func TestTextOfFieldErrors(t *testing.T) {
	t.Parallel()
	many := rest.FieldErrors{rest.NonField: {"the whole"}, "z": {"last"}}
	for i := range 500 {
		many[fmt.Sprintf("k%03d", i)] = []string{"one", "two"}
	}
	long := rest.FieldErrors{"a": {strings.Repeat("é", 1<<20)}, "b": {"two"}}
	for _, tt := range []struct {
		faults rest.FieldErrors
		limit  int
		parts  []string
	}{
		{rest.FieldErrors{"b": {"two", "three"}, "a": {"one"}}, 30, []string{"a: one; b: two three"}},
		{many, 4000, []string{"k000: one two; ", "k048: one two; ", "k049: one; non_field_errors: the whole and 902 more"}},
		{long, 9000, []string{"a: éé", "é…; b: two"}},
	} {
		got := tt.faults.Error()
		if len(got) > tt.limit || got != pulperr.Message(tt.faults) || !errors.Is(tt.faults, pulperr.Invalid) {
			t.Errorf("Error = %.100s with %d bytes, want at most %d", got, len(got), tt.limit)
		}
		for _, part := range tt.parts {
			if !strings.Contains(got, part) {
				t.Errorf("Error = %.3000s, want %q", got, part)
			}
		}
	}
}

// formReader is an authenticator that looks for credentials in forms.
type formReader struct{ http.Handler }

func (f formReader) Authenticate(r *http.Request) (*accounts.User, error) {
	f.ServeHTTP(nil, r)
	return nil, nil
}

// TestFilesOfForms has handlers parse forms whose files no other code removes.
func TestFilesOfForms(t *testing.T) { //nolint:paralleltest // Uploads sets the environment
	uploads := nettest.NewUploads(t)
	db := openDB(t, dbtest.SQLite(t))
	routes := []rest.Route{
		{Pattern: "/closed/", Handler: uploads},
		{Pattern: "/open/", Handler: uploads, Allow: rest.Anybody},
		{Pattern: "/panics", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			uploads.ServeHTTP(w, r)
			panic("boom")
		})},
	}
	api := setupOn(t, db, &rest.Options{Routes: routes}).api
	uploads.Check(api, "/closed/", 200)
	uploads.Check(api, "/open/a", 200)
	uploads.Check(api, "/panics", 500)
	api = setupOn(t, db, &rest.Options{Auth: formReader{uploads}, Routes: routes}).api
	uploads.Check(api, "/closed/", 401)
	uploads.Check(api, "/pulp/api/v3/repositories/file/file/", 401)
}
