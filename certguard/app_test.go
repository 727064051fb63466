package certguard_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/certguard"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
)

// TestApp makes a guard by the API and asks it by way of a trusted proxy, and without one.
func TestApp(t *testing.T) {
	t.Parallel()
	var self *holder
	root := self.issue(t, "authority", nil)
	client, other := root.issue(t, "client", nil), self.issue(t, "client", nil)
	dbtest.Each(t, func(t *testing.T, dbURL string) {
		t.Parallel()
		for _, trusted := range []bool{true, false} {
			opts := []settings.Option{settings.Value("DATABASE_URL", dbURL)}
			if trusted {
				opts = append(opts, settings.Value("TRUSTED_PROXIES", []string{"127.0.0.1", "::1"}))
			}
			app := pulptest.NewWith(t, opts, file.Plugin(), certguard.Plugin())
			if trusted {
				protect(t, app, bundle(root))
			}
			for _, tt := range []struct {
				name   string
				sent   *holder
				status int
			}{{"the right certificate", client, 404}, {"a forged one", other, 403}, {"none", nil, 403}} {
				r := newRequest(t, "GET", app.URL()+"/pulp/content/x/f", "")
				if tt.sent != nil {
					r.Header.Set("X-CLIENT-CERT", url.PathEscape(bundle(tt.sent)))
				}
				want := tt.status
				if !trusted {
					want = 403
				}
				if status, body := send(t, r); status != want {
					t.Errorf("%s, trusted %v: %d %s, want %d", tt.name, trusted, status, body, want)
				}
			}
		}
	})
}

// protect makes a guard by the API, and a distribution with it that serves nothing, so that a request which passes gets
// 404.
func protect(t *testing.T, app *pulptest.App, authorities string) {
	t.Helper()
	const password = "a password that is long"
	if err := app.SetAdminPassword(t.Context(), password); err != nil {
		t.Fatal(err)
	}
	create := func(ca string) (int, string) {
		raw, err := json.Marshal(map[string]any{"name": "g", "ca_certificate": ca})
		if err != nil {
			t.Fatal(err)
		}
		r := newRequest(t, "POST", app.URL()+"/pulp/api/v3/contentguards/certguard/x509/", string(raw))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth(pulpcore.AdminName, password)
		return send(t, r)
	}
	if status, body := create("no certificate"); status != 400 || !strings.Contains(body, `"ca_certificate"`) {
		t.Errorf("POST of no certificate = %d %s, want 400", status, body)
	}
	status, body := create(authorities)
	var made struct {
		Href string `json:"pulp_href"`
		CA   string `json:"ca_certificate"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != 201 {
		t.Fatalf("POST = %d %s, %v, want 201", status, body, err)
	}
	if strings.TrimSpace(made.CA) != strings.TrimSpace(authorities) {
		t.Errorf("the guard has %q, want %q", made.CA, authorities)
	}
	parts := strings.Split(made.Href, "/")
	d := &file.Distribution{}
	d.Name, d.BasePath, d.ContentGuardID = "x", "x", new(uuid.MustParse(parts[len(parts)-2]))
	if err := models.Create(t.Context(), app.DB(), d); err != nil {
		t.Fatal(err)
	}
}

func newRequest(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
