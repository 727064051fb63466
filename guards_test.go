package pulpcore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
)

// guardClient sends requests to an App with content guards.
type guardClient struct {
	t   *testing.T
	app *pulptest.App
}

const guardPassword = "a password that is long"

func (c *guardClient) do(method, path, user string, body any) (int, []byte) {
	c.t.Helper()
	var sent io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.app.URL()+path, sent)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if user != "" {
		r.SetBasicAuth(user, guardPassword)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, text
}

// api sends a request to the API and returns the object that it answers with.
func (c *guardClient) api(method, path string, want int, body any) map[string]any {
	c.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/pulp/api/v3/" + path
	}
	status, text := c.do(method, path, pulpcore.AdminName, body)
	if status != want {
		c.t.Fatalf("%s %s = %d %s, want %d", method, path, status, text, want)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

// id returns the key in an href.
func (c *guardClient) id(row map[string]any) uuid.UUID {
	c.t.Helper()
	parts := strings.Split(row["pulp_href"].(string), "/")
	return uuid.MustParse(parts[len(parts)-2])
}

func withGuards(t *testing.T, fn func(t *testing.T, c *guardClient)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dbURL string) {
		t.Parallel()
		c := &guardClient{t, pulptest.NewWith(t, []settings.Option{settings.Value("DATABASE_URL", dbURL)}, file.Plugin())}
		if err := c.app.SetAdminPassword(t.Context(), guardPassword); err != nil {
			t.Fatal(err)
		}
		other := &accounts.User{Username: "other", IsActive: true}
		if err := accounts.Create(t.Context(), c.app.DB(), other, guardPassword); err != nil {
			t.Fatal(err)
		}
		fn(t, c)
	})
}

// TestGuardsOnTheWire compares answers with those of Pulp.
func TestGuardsOnTheWire(t *testing.T) {
	withGuards(t, func(t *testing.T, c *guardClient) {
		made := map[string]map[string]any{}
		shape := func(name, prn string, body, want map[string]any) {
			t.Helper()
			body["name"] = name
			got := c.api("POST", "contentguards/core/"+name+"/", 201, body)
			made[name] = got
			id := c.id(got).String()
			for _, member := range []string{"pulp_created", "pulp_last_updated"} {
				delete(got, member)
			}
			want["name"], want["prn"] = name, "prn:core."+prn+":"+id
			want["pulp_href"] = "/pulp/api/v3/contentguards/core/" + name + "/" + id + "/"
			if _, ok := want["description"]; !ok {
				want["description"] = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		shape("rbac", "rbaccontentguard", map[string]any{"description": "d"}, map[string]any{"description": "d"})
		shape("header", "headercontentguard", map[string]any{"header_name": "X-A", "header_value": "v"},
			map[string]any{"header_name": "X-A", "header_value": "v", "jq_filter": nil})
		shape("content_redirect", "contentredirectcontentguard", map[string]any{}, map[string]any{})
		hrefs := []any{made["rbac"]["pulp_href"], made["header"]["pulp_href"]}
		shape("composite", "compositecontentguard",
			map[string]any{"guards": []any{hrefs[0], made["header"]["prn"], hrefs[1]}}, map[string]any{"guards": hrefs})
		if got := c.api("GET", "contentguards/", 200, nil)["count"]; got != 4.0 {
			t.Errorf("there are %v guards, want 4", got)
		}

		composite := made["composite"]["pulp_href"].(string)
		outer := c.api("POST", "contentguards/core/composite/", 201, map[string]any{"name": "o", "guards": []any{composite}})
		faults := []struct {
			method, path string
			body         map[string]any
			field        string
		}{
			{"PATCH", composite, map[string]any{"guards": []any{composite}}, "guards"},
			{"PATCH", composite, map[string]any{"guards": []any{hrefs[0], outer["pulp_href"]}}, "guards"},
			{"PATCH", composite, map[string]any{"guards": []any{"/pulp/api/v3/nothing/"}}, "guards"},
			{"PATCH", composite, map[string]any{"guards": hrefs[0]}, "guards"},
			{"PATCH", composite, map[string]any{"guards": []any{1}}, "guards"},
			{"PATCH", composite, map[string]any{"guards": nil}, "guards"},
			{"PATCH", hrefs[1].(string), map[string]any{"header_name": "a b"}, "header_name"},
			{"PATCH", hrefs[1].(string), map[string]any{"jq_filter": "| |"}, "jq_filter"},
			{"POST", "contentguards/core/header/", map[string]any{"name": "h2"}, "header_value"},
			{"POST", "contentguards/core/content_redirect/", map[string]any{"name": "c", "secret": "x"}, "secret"},
		}
		for _, f := range faults {
			if got := c.api(f.method, f.path, 400, f.body); got[f.field] == nil {
				t.Errorf("%s %s %v = %v, want a fault of %s", f.method, f.path, f.body, got, f.field)
			}
		}
		c.api("PATCH", composite, 200, map[string]any{"guards": []any{}})
		c.api("PATCH", composite, 200, map[string]any{"guards": hrefs})
		c.api("DELETE", hrefs[0].(string), 204, nil)
		got := c.api("GET", composite, 200, nil)
		if diff := cmp.Diff(hrefs[1:], got["guards"]); diff != "" {
			t.Errorf("after a deletion (-want +got):\n%s", diff)
		}
		for _, href := range []string{composite, outer["pulp_href"].(string), hrefs[1].(string)} {
			c.api("DELETE", href, 204, nil)
		}
		document := c.api("GET", "docs/api.json", 200, nil)["paths"].(map[string]any)
		for _, path := range []string{
			"{r_b_a_c_content_guard_href}", "{header_content_guard_href}", "{content_redirect_content_guard_href}",
			"{composite_content_guard_href}",
		} {
			if document[path] == nil {
				t.Errorf("the document has no path %s", path)
			}
		}
	})
}

// TestGuardsOfTheCore asks guards that the API has made.
func TestGuardsOfTheCore(t *testing.T) {
	withGuards(t, func(t *testing.T, c *guardClient) {
		db := c.app.DB()
		protect := func(base string, guard map[string]any) {
			d := &file.Distribution{}
			d.Name, d.BasePath, d.ContentGuardID = base, base, new(c.id(guard))
			if err := models.Create(t.Context(), db, d); err != nil {
				t.Fatal(err)
			}
		}
		rbac := c.api("POST", "contentguards/core/rbac/", 201, map[string]any{"name": "r"})
		protect("rbac", rbac)
		for _, tt := range []struct {
			user string
			want string
		}{
			{pulpcore.AdminName, "404: Distribution is not pointing to a publication, repository, repository version, or remote."},
			{"other", "403: You do not have permission to perform this action."},
			{"nobody", "403: Authentication credentials were not provided."},
			{"", "403: Authentication credentials were not provided."},
		} {
			if _, text := c.do("GET", "/pulp/content/rbac/f", tt.user, nil); string(text) != tt.want {
				t.Errorf("as %q: %s, want %s", tt.user, text, tt.want)
			}
		}
		redirect := c.api("POST", "contentguards/core/content_redirect/", 201, map[string]any{"name": "c"})
		protect("redirect", redirect)
		g, err := guards.ContentRedirects.Get(t.Context(), db, models.Ref[guards.ContentRedirect]{ID: c.id(redirect)})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := g.SignURL("/pulp/content/redirect/f", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if status, text := c.do("GET", signed, "", nil); status != 404 {
			t.Errorf("a signed URL: %d %s, want 404", status, text)
		}
		unsigned, _ := url.Parse(signed)
		if status, text := c.do("GET", unsigned.Path, "", nil); status != 403 {
			t.Errorf("an unsigned URL: %d %s, want 403", status, text)
		}
	})
}

// oneReader is an authorizer that lets the account "other" download behind one guard.
type oneReader struct {
	rest.Authorizer
	guard uuid.UUID
}

func (a *oneReader) Authorize(_ context.Context, p *rest.Permission) error {
	if p.Operation != pulpcore.DownloadOperation || p.Type != "core.rbac" || p.Row != a.guard || p.HTTP == nil {
		return pulperr.NotFound // the row must not show that it exists
	}
	if p.User.Username != "other" {
		return pulperr.Forbidden
	}
	return nil
}

// TestAuthorizerOfDownloads asks the host's authorizer in place of the default.
func TestAuthorizerOfDownloads(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	may := &oneReader{Authorizer: rest.SuperusersOnly()}
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Authorizer: may, Log: slog.New(slog.DiscardHandler)},
		file.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"other", "third"} {
		u := &accounts.User{Username: name, IsActive: true, IsSuperuser: name == "third"}
		if err := accounts.Create(t.Context(), app.DB(), u, guardPassword); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(base string) *guards.RBAC {
		g, d := &guards.RBAC{}, &file.Distribution{}
		g.Name, d.Name, d.BasePath = base, base, base
		if err := models.Create(t.Context(), app.DB(), g); err != nil {
			t.Fatal(err)
		}
		d.ContentGuardID = &g.ID
		if err := models.Create(t.Context(), app.DB(), d); err != nil {
			t.Fatal(err)
		}
		return g
	}
	may.guard = serve("a").ID
	serve("b")
	for _, tt := range []struct {
		path, user string
		status     int
	}{{"a/f", "other", 404}, {"a/f", "third", 403}, {"b/f", "other", 403}, {"a/f", "", 403}} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/pulp/content/"+tt.path, http.NoBody)
		if tt.user != "" {
			r.SetBasicAuth(tt.user, guardPassword)
		}
		w := httptest.NewRecorder()
		app.Content().ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("GET %s as %q = %d %s, want %d", tt.path, tt.user, w.Code, w.Body, tt.status)
		}
	}
}
